"""What a changed field of the recipe does: the errors of `--set` runs beside those of the same nets without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.report.page import Part, grid
from bench.report.sections.runs import mean_and_spread
from bench.studies.claims import ALIKE
from bench.verdicts.claims import assumed_spread
from bench.verdicts.hypothesis import contrast

HEADERS = ["net", "test error with it, last", "seeds", "without it", "seeds", "difference [95 %]", "verdict"]


def section(heading: str, errors: Mapping[str, tuple[Sequence[float], Sequence[float]]], without: str) -> list[Part]:
    """Errors with a change and without, a value a seed, by what the row is called; `without` says where the latter stand."""
    both = {name: pair for name, pair in errors.items() if all(pair)}
    if not both:
        return []
    rows = [_row(name, *pair) for name, pair in both.items()]
    return [
        f"## {heading}",
        grid(rows, HEADERS, range(1, 6)),
        f"{without} The difference of means over seeds has its 95 % interval (as "
        "[claims](../REPRODUCE.md#how-to-read-a-claim) have theirs; of fewer than three runs, seeds are taken to spread by "
        f"{assumed_spread().value:g} points). *alike*: shown to differ by less than {ALIKE} points, by two one-sided tests "
        "at 5 %. *differ*: the interval does not hold zero. Else *undecided*. Each net by itself: of twenty, one says so by "
        "chance.",
    ]


def effect(changed: Sequence[float], usual: Sequence[float]) -> str:
    """`+0.10 [-0.37, +0.57]`: the difference of means and its 95 % interval."""
    found = contrast(changed, usual, assumed_spread(), ALIKE)
    return f"{found.difference:+.2f} [{found.interval[0]:+.2f}, {found.interval[1]:+.2f}]"


def _row(name: str, changed: Sequence[float], usual: Sequence[float]) -> list[str]:
    return [
        name,
        *(text for values in (changed, usual) for text in (mean_and_spread(list(values)), str(len(values)))),
        effect(changed, usual),
        contrast(changed, usual, assumed_spread(), ALIKE).word,
    ]

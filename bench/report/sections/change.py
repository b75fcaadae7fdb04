"""What a changed field of the recipe does: the errors of `--set` runs beside those of the same nets without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.report.page import Part, grid
from bench.report.sections.runs import mean_and_spread
from bench.studies.claims import ALIKE
from bench.verdicts.claims import assumed_spread
from bench.verdicts.hypothesis import contrast
from models.arch import Arch

HEADERS = ["net", "test error with it, last", "seeds", "without it", "seeds", "difference [95 %]", "verdict"]


def section(errors: Mapping[Arch, tuple[Sequence[float], Sequence[float]]], usual: str) -> list[Part]:
    """`errors` are those with the change and those without, a value a seed; `usual` is the page without it."""
    both = {arch: pair for arch, pair in errors.items() if all(pair)}
    if not both:
        return []
    rows = [_row(arch, *pair) for arch, pair in both.items()]
    return [
        "## What the change does",
        grid(rows, HEADERS, range(1, 6)),
        f"Without it: [{usual}]({usual}.md). The difference of means over seeds has its 95 % interval (as "
        "[claims](../REPRODUCE.md#how-to-read-a-claim) have theirs; of fewer than three runs, seeds are taken to spread by "
        f"{assumed_spread():g} points). *alike*: shown to differ by less than {ALIKE} points, by two one-sided tests "
        "at 5 %. *differ*: the interval does not hold zero. Else *undecided*. Each net by itself: of twenty, one says so by "
        "chance.",
    ]


def _row(arch: Arch, changed: Sequence[float], usual: Sequence[float]) -> list[str]:
    found = contrast(changed, usual, assumed_spread(), ALIKE)
    low, high = found.interval
    return [
        arch.title,
        *(text for values in (changed, usual) for text in (mean_and_spread(list(values)), str(len(values)))),
        f"{found.difference:+.2f} [{low:+.2f}, {high:+.2f}]",
        found.word,
    ]

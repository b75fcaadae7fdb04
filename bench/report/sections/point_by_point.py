"""Our curves beside the paper's at the same iterations: where a number misses, this says since when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from bench.report.figures.curves import SEEDS_DRAWN, Net
from bench.report.page import Part, Section, grid
from bench.verdicts import published

FIGURES = ("fig6_left", "fig6_mid", "fig6_right")
STEP = 1_000
"""Iterations between the points of Fig. 6."""
SHARP = 150
"""Iterations by which a point read off the figure may miss that."""
TOP = 19.9
"""Percent. The figure is cut off at 20, and a line that leaves it is no point of measurement there."""
HEADERS = [
    "net", "learning rate", "points", "test: the paper's", "ours minus that", "at most",
    "training: the paper's", "ours minus that", "at most",
]  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """One iteration at which both curves have a point, in percent."""

    iteration: int
    ours: float
    theirs: float


def pairs(shown: Net, field: str, series: str) -> list[Pair]:
    """The points that a net's curve, in the mean over seeds, has in common with the paper's. Fig. 6."""
    name = (shown.arch.label, series)
    points = [point for figure in FIGURES for point in published.curves().get((figure, " ".join(name)), ())]
    theirs: dict[int, float] = {}
    for x, y in points:
        iteration = STEP * round(x * 1e4 / STEP)
        if abs(x * 1e4 - iteration) <= SHARP and y < TOP:
            theirs.setdefault(iteration, y)
    ours: dict[int, list[float]] = {}
    for run in shown.runs[:SEEDS_DRAWN]:
        for point in run.metrics:
            ours.setdefault(point["iteration"], []).append(point[field])
    return [Pair(i, fmean(ours[i]), theirs[i]) for i in sorted(theirs) if i in ours]


def section(nets: Sequence[Net]) -> list[Part]:
    """A table of the nets that have runs; nothing where their curves have no point in common with the paper's."""
    rows = [row for each in nets if each.runs for row in _rows(each)]
    if not rows:
        return []
    said = (
        f"At each iteration that both have a point at, every {STEP:,} of them: the paper's as read off Fig. 6, below its upper "
        "edge at 20 %; ours in the mean over seeds. *At most*: the largest difference, whichever way. At the high rate single "
        "tests jump. The paper does not say over which images its training error is; "
        "ours is over those since the point before."
    )
    return [Section("Point by point against the paper's curves", [grid(rows, HEADERS, range(1, len(HEADERS))), said])]


def _rows(shown: Net) -> Iterator[list[str]]:
    """One for each learning rate."""
    recipe = shown.runs[0].spec.recipe
    ends = [*recipe.drops, recipe.iterations]
    both = [pairs(shown, "test_error", "test"), pairs(shown, "train_error", "train")]
    for number, (start, end) in enumerate(pairwise([0, *ends])):
        phase = [[pair for pair in found if start < pair.iteration <= end] for found in both]
        if any(phase):
            rate = recipe.lr / recipe.lr_divisor**number
            cells = [text for found in phase for text in _cells(found)]
            yield [shown.arch.title, f"{rate:g}", str(max(map(len, phase))), *cells]


def _cells(found: Sequence[Pair]) -> list[str]:
    if not found:
        return ["", "", ""]
    gaps = [pair.ours - pair.theirs for pair in found]
    return [f"{fmean(pair.theirs for pair in found):.2f}", f"{fmean(gaps):+.2f}", f"{max(gaps, key=abs):+.2f}"]

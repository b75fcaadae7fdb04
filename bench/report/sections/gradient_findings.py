"""Sentences on gradients, the paper's and others', and whether they were seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.measure.probes.gradients_record import Ratio, backward, forward
from bench.report.page import Table, grid
from bench.report.sections.gradient_rows import Row, number
from bench.studies.gradients import ARCHS, Condition

FAR = 1000.0
"""From one end of a net to the other: a signal that falls by more vanishes, one that grows by more explodes."""


def word(ratio: float | None) -> str:
    """What a ratio from one end of a net to the other says."""
    if ratio is None:
        return ""
    return "vanishes" if ratio < 1 / FAR else "explodes" if ratio > FAR else "keeps"


@dataclass(frozen=True)
class Finding:
    """A sentence on some rows, true of them where a ratio of all of them lies in a range. No test: it says what was seen."""

    sentence: str
    whose: str
    wanted: Callable[[Row], bool]
    ratio: Ratio
    low: float = 0.0
    high: float = math.inf
    through_training: bool = False

    def holds(self, ratio: float) -> bool:
        return self.low <= ratio <= self.high

    def worst(self, row: Row) -> float | None:
        """Of the ratios that it is about, the one that is nearest to leaving the range, or furthest out of it."""
        points = [found if self.through_training else found[:1] for found in row.points]
        ratios = [ratio for of_run in points for point in of_run if (ratio := self.ratio(point)) is not None]
        if not ratios:
            return None
        return min(ratios, key=lambda ratio: min(_log(ratio) - _log(self.low), _log(self.high) - _log(ratio)))


def _log(value: float) -> float:
    return math.log(value) if 0 < value < math.inf else (-1e9 if value <= 0 else 1e9)


def _with(residual: bool, batch_norm: bool, *scales: float) -> Callable[[Row], bool]:
    how = [Condition(batch_norm, scale) for scale in scales]
    return lambda row: row.arch.residual == residual and row.condition in how


FINDINGS = (
    Finding(
        "With batch norm, signals of plain nets do not vanish forward: not at first", "the paper",
        _with(False, True, 1.0), forward, low=1 / FAR,
    ),
    Finding(
        "... nor while they are trained.", "the paper",
        _with(False, True, 1.0), forward, low=1 / FAR, through_training=True,
    ),
    Finding(
        "With batch norm, gradients of plain nets do not vanish backward: not at first", "the paper",
        _with(False, True, 1.0), backward, low=1 / FAR,
    ),
    Finding(
        "... nor while they are trained.", "the paper",
        _with(False, True, 1.0), backward, low=1 / FAR, through_training=True,
    ),
    Finding(
        "Nor do they explode backward: their norms are healthy either way.", "the paper, read strictly",
        _with(False, True, 1.0), backward, high=FAR,
    ),
    Finding(
        "With batch norm, gradients of residual nets neither vanish nor explode backward.", "ours",
        _with(True, True, 1.0), backward, low=1 / FAR, high=FAR, through_training=True,
    ),
    Finding(
        "With batch norm nothing vanishes in plain nets at first from half and from twice He's weights either.", "ours",
        _with(False, True, 0.5, 2.0), backward, low=1 / FAR,
    ),
    Finding(
        "Without it, from He's weights, gradients of plain nets do not vanish at first.", "lectures",
        _with(False, False, 1.0), backward, low=1 / FAR,
    ),
    Finding(
        "Without it, from half of He's weights, signals of plain nets vanish forward", "lectures",
        _with(False, False, 0.5), forward, high=1 / FAR,
    ),
    Finding("... and their gradients vanish backward.", "lectures", _with(False, False, 0.5), backward, high=1 / FAR),
    Finding(
        "Without it, from twice He's weights, signals of plain nets explode forward", "lectures",
        _with(False, False, 2.0), forward, low=FAR,
    ),
    Finding("... and their gradients explode backward.", "lectures", _with(False, False, 2.0), backward, low=FAR),
    Finding(
        "Without it, from half of He's weights, shortcuts keep the gradient of residual nets from vanishing.", "lectures",
        _with(True, False, 0.5), backward, low=1 / FAR,
    ),
)  # fmt: skip


HEADERS = ["what is said", "by whom", "of", "ratio, by layers", "seen"]


def table(all_rows: Sequence[Row]) -> Table:
    """A line for each finding."""
    return grid([_cells(finding, all_rows) for finding in FINDINGS], HEADERS)


def _cells(finding: Finding, all_rows: Sequence[Row]) -> list[str]:
    """Seen where the ratio of every net lies in the range."""
    shown = [row for row in all_rows if finding.wanted(row) and row.arch in ARCHS]
    worst = {row: finding.worst(row) for row in shown}
    ratios = "; ".join(f"{row.arch.depth}: {number(value) or 'missing'}" for row, value in worst.items())
    outside = [str(row.arch.depth) for row, value in worst.items() if value is not None and not finding.holds(value)]
    known = [value for value in worst.values() if value is not None]
    if outside:
        verdict = f"no: not at {', '.join(dict.fromkeys(outside))} layers"
    elif known:
        verdict = "yes" if len(known) == len(worst) else "yes, as far as measured"
    else:
        verdict = "missing"
    when = "all points" if finding.through_training else "at first"
    return [finding.sentence, finding.whose, f"{RATIOS[finding.ratio]}, {when}", ratios, verdict]


RATIOS: dict[Ratio, str] = {forward: "forward, last over first", backward: "backward, first over last"}

"""Fig. 7 redrawn: responses in the order of the layers, and sorted; the paper's own values faint behind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Protocol

from bench.measure.probes.responses_record import OURS, Magnitudes
from bench.report.figures.chart import Axis, Chart, Panel, Series, Style, colour
from bench.verdicts import published
from models.arch import Arch

PANELS = (("layer index (original)", "fig7_orig", False), ("layer index (sorted by magnitude)", "fig7_sorted", True))
"""Label of the axis, name of the paper's curves, whether sorted."""
WIDTHS = {20: 1.2, 56: 1.9, 110: 2.8}
"""Depth -> width of its curve, to be told apart in grey."""
LINEAR = 10.0
"""Three times the largest response in the paper's figure."""


class Row(Protocol):
    """A net with what was measured of each of its runs."""

    @property
    def arch(self) -> Arch: ...
    @property
    def measured(self) -> Sequence[Magnitudes]: ...


def figure_7(rows: Sequence[Row], paper: bool, heading: str) -> Chart:
    """Both of the figure's panels, one above the other as in the paper. `paper`: whether its own values lie behind."""
    series = [[s for row in rows for s in _net(row, name if paper else "", by_size)] for _, name, by_size in PANELS]
    axis = _axis(
        [y for panel in series for each in panel for y in (*each.y, *each.low, *each.high) if math.isfinite(y)]
    )
    deepest = max(row.arch.depth for row in rows)
    panels = [
        Panel("", Axis(label, 0, deepest + 1), axis, found) for (label, _, _), found in zip(PANELS, series, strict=True)
    ]
    return Chart(panels, heading, stacked=True, named=True)


def _axis(values: Sequence[float]) -> Axis:
    """From zero, as in the paper; by powers where one net's responses would press all others flat."""
    top = max(values, default=1.0)
    if top > LINEAR and (low := min(values)) > 0:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(top)) + 1)
        ticks = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        within = [tick for tick in ticks if low <= tick <= top]
        return Axis("std", low / 1.1, top * 1.1, log=True, ticks=within)
    power = 10.0 ** math.floor(math.log10(max(top, 1.0)))
    step = next(step * power for step in (0.1, 0.2, 0.5, 1, 2) if top / (step * power) <= 6)
    ticks = [step * i for i in range(int(top / step) + 2)]
    return Axis("std", 0, ticks[-1], ticks=ticks)


def _net(row: Row, paper: str, by_size: bool) -> list[Series]:
    """The paper's values of a net, and ours: the mean over seeds, with a band where there are several."""
    kind, label, shade = "residual" if row.arch.residual else "plain", row.arch.label, colour(row.arch.depth)
    style = Style(WIDTHS.get(row.arch.depth, 1.8), "solid" if row.arch.residual else "dashed")
    found = []
    if points := sorted(published.curves().get((paper, label), [])):
        x, y = zip(*points, strict=True)
        theirs = replace(style, width=0.6 * style.width, opacity=0.45, order=1)
        found.append(Series(label, f"the paper's {kind}", x, y, shade, theirs))
    curves = [sorted(each.std[OURS], reverse=True) if by_size else each.std[OURS] for each in row.measured]
    across = list(zip(*curves, strict=True))
    low, high = (list(map(min, across)), list(map(max, across))) if len(curves) > 1 else ((), ())
    mean = [fmean(values) for values in across]
    found.append(Series(label, kind, range(1, row.arch.depth), mean, shade, style, low, high))
    return found

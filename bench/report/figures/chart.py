"""What a figure shows, before it is drawn: matplotlib makes SVG and PNG of it, chart.js the curves of report.html."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Marker = Literal["", "circle", "square", "diamond", "triangle", "inverted_triangle", "x"]


@dataclass(frozen=True)
class Style:
    """How a series looks, but for its colour. Width in points."""

    width: float = 2.2
    dash: Literal["solid", "dashed", "dotted"] = "solid"
    opacity: float = 1.0
    marker: Marker = ""
    filled: bool = True
    order: int = 2
    """Of drawing: higher lies above."""


@dataclass(frozen=True)
class Series:
    """A curve, or points."""

    net: str
    """`ResNet-56`: what is switched on and off together in HTML."""
    kind: str
    """`test error`: what the legend says of its style; likewise."""
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    style: Style
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    """A band about a curve, or intervals of points; NaN where there is none."""
    names: Sequence[str] = ()
    """What each point is."""
    end: str = ""
    """Written where a curve ends."""


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`; with `ticks` these alone are marked."""

    label: str
    low: float
    high: float
    log: bool = False
    ticks: Sequence[float] = ()


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    marks: Sequence[float] = ()
    """Where a thin vertical line stands: the learning rate is divided there."""
    named: bool = False
    """Whether the names of points are written beside them."""
    identity: bool = False
    """Whether the line on which both axes agree is drawn."""


@dataclass(frozen=True)
class Chart:
    """Panels, side by side unless they are stacked. Series of the same kind look alike in all of them."""

    panels: Sequence[Panel]
    heading: str = ""
    """Says in the picture itself that the runs are not the paper's, so that it can travel alone."""
    stacked: bool = False
    """Whether the panels stand one above the other, wide."""
    named: bool = False
    """Whether the legend has each net in its own colour and style: where curves end in the middle of a panel."""

    @property
    def kinds(self) -> dict[str, Style]:
        """Kind -> its style, ours before the paper's."""
        found: dict[str, Style] = {}
        for panel in self.panels:
            for series in panel.series:
                found.setdefault(series.kind, series.style)
        return dict(sorted(found.items(), key=lambda item: "the paper's" in item[0]))

    @property
    def firsts(self) -> list[Series]:
        """The first series of each net that is ours, in order."""
        found: dict[str, Series] = {}
        for panel in self.panels:
            for series in panel.series:
                if "the paper's" not in series.kind:
                    found.setdefault(series.net, series)
        return list(found.values())

    @property
    def nets(self) -> dict[str, str]:
        """Net -> its colour, in order of first mention."""
        found: dict[str, str] = {}
        for panel in self.panels:
            for series in panel.series:
                found.setdefault(series.net, series.colour)
        return found


SHADES = ("#44bf70", "#1f9f88", "#287d8e", "#375a8c", "#46307e", "#440154")
"""From matplotlib's viridis, its lightest third left out: even steps of lightness, for colour-blind readers and for grey."""
MARKS: dict[str, Marker] = dict(
    zip(SHADES, ("circle", "square", "diamond", "triangle", "inverted_triangle", "x"), strict=True)
)
"""Colour of a depth -> the mark on its curves, for grey."""
COLOURS = {
    **dict(zip((20, 32, 44, 56, 110, 1202), SHADES, strict=True)),
    **dict(zip((18, 34, 50, 101, 152), (SHADES[0], *SHADES[2:]), strict=True)),
}
"""Depth -> colour; darker is deeper."""
PLAIN, RESIDUAL, GREY = "#e69f00", "#0072b2", "#808080"
"""The two families where depth is an axis (Okabe and Ito's palette), and all else."""

TEST = Style(2.2)
TRAINING = Style(1.0, "dashed")


def faint(style: Style) -> Style:
    """The same for the paper's own curves, behind ours."""
    return replace(style, width=0.65 * style.width, opacity=0.45, order=1, dash="solid")


def colour(depth: int) -> str:
    """Of a curve; grey for depths that the paper does not have."""
    return COLOURS.get(depth, GREY)


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Round numbers from `low` to `high`: about a dozen at most, evenly spread on a logarithmic axis."""
    fine, finest = (1, 1.5, 2, 3, 4, 5, 6, 8), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    steps = finest if high < 4 * low else fine if high < 20 * low else (1, 2, 5)
    return tuple(tick for power in range(-3, 13) for step in steps if low <= (tick := step * 10.0**power) <= high)

"""Charts as SVG and PNG, in the paper's style: training error thin and dashed, test error bold, curves named at their ends."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report.figures import labels
from bench.report.figures.chart import MARKS, Axis, Chart, Panel, Series, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MARKERS = {
    "circle": "o", "square": "s", "diamond": "D", "triangle": "^", "inverted_triangle": "v", "x": "x", "": "",
}  # fmt: skip


def theme() -> None:
    """Begin a figure: the look of all of them, and the same bytes on any machine and after any other figure.

    The font is the one that comes with matplotlib, since one that a machine may lack moves every label.
    """
    import matplotlib
    import seaborn

    matplotlib.use("agg")
    matplotlib.rcdefaults()
    settings = {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"]}
    seaborn.set_theme(style="ticks", context="notebook", rc=settings)


def draw(chart: Chart) -> Figure:
    """The chart as a figure of matplotlib."""
    import matplotlib.pyplot as plt
    import seaborn

    theme()
    count = len(chart.panels)
    wide = 5.2 if count > 1 else 5.8 if chart.panels[0].identity else 7.4
    shape, size = ((count, 1), (8.4, 3.7 * count)) if chart.stacked else ((1, count), (wide * count, 4.9))
    figure, axes = plt.subplots(*shape, figsize=size, squeeze=False, layout="constrained")
    ends = any(series.end for panel in chart.panels for series in panel.series)
    for axis, panel in zip(axes.flat, chart.panels, strict=True):
        _panel(axis, panel, marked=ends)
        if not chart.stacked and panel is not chart.panels[0] and panel.y == chart.panels[0].y:
            axis.set_ylabel("")
    if chart.heading:
        figure.suptitle(chart.heading, size=labels.SIZE, color="0.2")
    handles = _legend(chart)
    if handles:
        columns = min(len(handles), 3 if chart.named else 2 * count + 1)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=labels.SIZE)
    seaborn.despine(figure)
    points = any(panel.named for panel in chart.panels)
    for name in [labels.name_ends] * ends + [labels.name_points] * points:
        figure.draw_without_rendering()
        figure.draw_without_rendering()  # a panel with equal axes finds its place only now
        for axis, panel in zip(axes.flat, chart.panels, strict=True):
            name(axis, panel)
    return figure


UNDATED: dict[str, dict[str, None]] = {
    "svg": {"Date": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
}
"""Format -> what must not stand in the file, that the same data be the same bytes."""


def save(
    chart: Chart | Figure, path: Path, formats: Iterable[str] = ("svg", "png"), source: str = ""
) -> dict[Path, bytes]:
    """`path`.svg and `path`.png of a chart, or of a figure that is drawn already: the same bytes for the same data.

    `source` is written into the picture, so that it can travel alone.
    """
    import matplotlib.pyplot as plt

    if isinstance(chart, Chart):
        figure = draw(replace(chart, heading=_lines(chart.heading, source)))
    else:
        figure = chart
        figure.suptitle(_lines(figure.get_suptitle(), source), size=labels.SIZE, color="0.2")
    found = {}
    for suffix in formats:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, dpi=160, metadata=UNDATED[suffix])
        found[path.with_name(f"{path.name}.{suffix}")] = buffer.getvalue()
    plt.close(figure)
    return found


def _lines(*texts: str) -> str:
    return "\n".join(filter(None, texts))


def _panel(axis: Axes, panel: Panel, marked: bool) -> None:
    for series in panel.series:
        _series(axis, series, marked)
    axis.set_title(panel.title)
    _scale(axis, "x", panel.x)
    _scale(axis, "y", panel.y)
    for mark in panel.marks:
        axis.axvline(mark, color="0.85", lw=0.8, zorder=0)
    if panel.identity:
        ends = (panel.x.low, panel.x.high)
        axis.plot(ends, ends, color="0.6", lw=1, zorder=1)
        axis.set_aspect("equal")


def _scale(axis: Axes, which: str, scale: Axis) -> None:
    axis.set(**{f"{which}label": scale.label})
    if scale.log:
        axis.set(**{f"{which}scale": "log"})
    axis.set(**{f"{which}lim": (scale.low, scale.high)})
    if scale.ticks:
        axis.set(**{f"{which}ticks": scale.ticks, f"{which}ticklabels": [f"{tick:g}" for tick in scale.ticks]})
        getattr(axis, f"{which}axis").minorticks_off()


def _look(style: Style, colour: Any) -> dict[str, Any]:
    dashes = {"solid": "-", "dashed": (0, (4, 2)), "dotted": (0, (1, 2))}
    face = {"markerfacecolor": colour if style.filled else "white", "markeredgecolor": colour, "markeredgewidth": 1.4}
    line = {"lw": style.width, "ls": dashes[style.dash] if style.width else "", "alpha": style.opacity}
    return {
        "color": colour,
        "marker": MARKERS[style.marker],
        "markersize": 5.5 if style.filled else 9,
        "zorder": style.order,
        **line,
        **face,
    }


MARK_EVERY = 0.13
"""Of a panel's diagonal, between two marks on a curve."""


def _series(axis: Axes, series: Series, marked: bool) -> None:
    """`marked`: whether a curve has the mark of its depth, to be told apart in grey."""
    style = series.style
    if series.low and style.marker:
        below = [y - low for y, low in zip(series.y, series.low, strict=True)]
        above = [high - y for y, high in zip(series.y, series.high, strict=True)]
        axis.errorbar(series.x, series.y, (below, above), fmt="none", ecolor=series.colour, capsize=4, lw=1.4, zorder=1)
    elif series.low:
        axis.fill_between(series.x, series.low, series.high, color=series.colour, alpha=0.15, lw=0)
    look = _look(style, series.colour)
    if marked and series.colour in MARKS and style.dash == "solid" and style.opacity == 1 and not style.marker:
        look |= {"marker": MARKERS[MARKS[series.colour]], "markevery": MARK_EVERY, "markersize": 4}
    axis.plot(series.x, series.y, **look)


def _legend(chart: Chart) -> list[Line2D]:
    """What the styles mean; not what a curve says itself where it ends."""
    from matplotlib.lines import Line2D

    if chart.named:
        lines = {kind: style for kind, style in chart.kinds.items() if "the paper's" in kind}
        nets = [Line2D([], [], label=each.net, **_look(each.style, each.colour)) for each in chart.firsts]
        return nets + [Line2D([], [], label=kind, **_look(style, "0.25")) for kind, style in lines.items()]
    named = {series.kind for panel in chart.panels for series in panel.series if series.end and series.style.marker}
    lines = {kind: style for kind, style in chart.kinds.items() if kind not in named}
    handles = [Line2D([], [], label=kind, **_look(style, "0.25")) for kind, style in lines.items()]
    if any(panel.identity for panel in chart.panels):
        square = Style(0, marker="square")
        handles += [Line2D([], [], label=net, **_look(square, colour)) for net, colour in chart.nets.items()]
    return handles

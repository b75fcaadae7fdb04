"""The figure of `--table throughput`: how many times as fast as the reference loop, and how near to the floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.measure.speed.ceilings import Ceilings
from bench.measure.speed.records import Machine, Speed, label
from bench.measure.speed.settings import Setting
from bench.report.figures.drawing import theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WAYS = {"eager": 0.78, "compiled": 0.42, "captured": 0.0}
"""Place in a palette made for colour-blind readers, far enough apart to be told in grey."""
TICKS = (0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
MARKERS = {"fp32": "o", "tf32": "s", "bf16": "^", "fp16": "D"}
NET_INCHES = 0.3


def draw(machines: Sequence[Machine]) -> Figure:
    """A row of two panels for each machine's training and testing."""
    import matplotlib.pyplot as plt
    import seaborn

    theme()
    rows = [
        (f"{what} on {machine.name}", shown, machine.ceilings)
        for machine in machines
        for training, what in ((True, "Training"), (False, "Testing"))
        if (shown := [speed for speed in machine.speeds if speed.setting.training == training])
    ]
    nets = [list(dict.fromkeys(speed.setting.net for speed in shown)) for _, shown, _ in rows]
    heights = [NET_INCHES * len(each) + 1.1 for each in nets]
    figure, grid = plt.subplots(
        len(rows), 2, figsize=(10.4, sum(heights) + 0.8), squeeze=False, layout="constrained",
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    for axes, (title, shown, best), members in zip(grid, rows, nets, strict=True):
        panels(axes, title, shown, members, best)
    grid[-1][0].set_xlabel("times the reference loop, 95 % intervals")
    grid[-1][1].set_xlabel("images/s over the floor's (%)")
    handles = _handles([speed.setting for _, shown, _ in rows for speed in shown])
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    seaborn.despine(figure)
    return figure


def panels(axes: Sequence[Axes], title: str, speeds: Sequence[Speed], nets: Sequence[str], best: Ceilings) -> None:
    """Left the ratio to the reference, right the share of the floor; a net has a line, its ways of executing lie around it."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    left, right = axes
    ways = list(dict.fromkeys(_way(speed.setting) for speed in sorted(speeds, key=lambda speed: _place(speed.setting))))
    for speed in speeds:
        own = [
            way for way in ways if any(s.setting.net == speed.setting.net and _way(s.setting) == way for s in speeds)
        ]
        y = nets.index(speed.setting.net) + 0.6 * ((own.index(_way(speed.setting)) + 0.5) / len(own) - 0.5)
        style = _style(speed.setting)
        low, high = speed.interval
        left.errorbar(
            speed.ratio, y, xerr=[[speed.ratio - low], [high - speed.ratio]], elinewidth=1.2, capsize=2, **style
        )
        if (reached := speed.of_floor(best)) is not None:
            right.plot(100 * reached, y, **style)
    left.set_title(title, loc="left", fontsize="medium")
    left.set_xscale("log", base=2)
    left.xaxis.set_major_locator(FixedLocator(TICKS))
    left.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    left.xaxis.set_minor_locator(NullLocator())
    left.axvline(1, color="0.4", lw=1.2, ls=(0, (4, 2)), zorder=1)
    right.set_xlim(0, max(100.0, right.get_xlim()[1]))
    for axis in axes:
        axis.set_ylim(len(nets) - 0.5, -0.5)
        axis.set_yticks(range(len(nets)), [label(net) for net in nets])
        axis.grid(axis="x", color="0.92")
        axis.set_axisbelow(True)
        for y in range(1, len(nets)):
            axis.axhline(y - 0.5, color="0.92", lw=0.8, zorder=0)
    right.set_yticklabels([])


Way = tuple[str, str, str]


def _way(setting: Setting) -> Way:
    return setting.how, setting.precision, setting.memory_format


def _place(setting: Setting) -> tuple[object, ...]:
    return list(WAYS).index(setting.how), list(MARKERS).index(setting.precision), setting.memory_format


def _style(setting: Setting) -> dict[str, Any]:
    """Darker is nearer to the machine; the mark is the precision; hollow is NCHW. So it reads in grey too."""
    import seaborn

    colour = seaborn.color_palette("viridis", as_cmap=True)(WAYS[setting.how])
    hollow = setting.memory_format == "contiguous"
    return {
        "color": colour, "marker": MARKERS[setting.precision], "ls": "", "markersize": 5.5,
        "markerfacecolor": "white" if hollow else colour, "markeredgecolor": colour,
    }  # fmt: skip


def _handles(settings: Sequence[Setting]) -> list[Any]:
    from matplotlib.lines import Line2D

    shown = {_way(setting): setting for setting in sorted(settings, key=_place)}
    return [
        Line2D([], [], label=f"{way[0]}, {way[1]}" + (", NCHW" if way[2] == "contiguous" else ""), **_style(setting))
        for way, setting in shown.items()
    ]

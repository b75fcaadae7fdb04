"""Figures of the loss around nets: the same axes and levels for every net, plain left and residual right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from bench.measure.probes.surface_record import NOTHING_LEFT, Surface, one_more
from bench.report.figures.chart import GREY, Axis, Chart, Panel, Series, Style, colour
from bench.report.figures.drawing import theme

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox
    from numpy.typing import NDArray

GUESSING = math.log(10)
"""Nats that guessing ten classes costs."""
COARSE, FINE = (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)
"""Levels of loss in each decade: few where many decades are shown."""
LEAST_NAMED = 0.25
"""Extent of the shortest contour that has a name, in lengths from the middle to an edge."""
OFF_EDGES = 0.93
"""How far from the middle a name may stand, in the same lengths."""
LOOKS = (Style(1.1, "dashed"), Style(1.4), Style(1.1, "dotted"))
"""Of depths, shallow ones first: to be told apart without colours too."""


def losses(surfaces: Sequence[Surface]) -> Chart:
    """The loss along every random direction."""
    levels = _levels(surfaces)
    axis = Axis("loss (nats)", levels[0], levels[-1], True, _ticks(levels))
    return _along(surfaces, axis, GUESSING, lambda surface, row: [min(v, 1e30) for v in surface.losses[row]])


def errors(surfaces: Sequence[Surface]) -> Chart:
    """The error along every random direction."""
    axis = Axis("error (%)", 0, 100, ticks=range(0, 101, 20))
    return _along(surfaces, axis, 90, lambda surface, row: list(surface.errors[row]))


def _along(
    surfaces: Sequence[Surface], y: Axis, guessing: float, values: Callable[[Surface, int], list[float]]
) -> Chart:
    depths, families = _places(surfaces)
    panels = []
    for residual in families:
        series = []
        for surface in (surface for surface in surfaces if surface.part.arch.residual == residual):
            grid, arch = surface.part.grid, surface.part.arch
            x = [grid.coefficient(column) for column in range(grid.columns)]
            look = LOOKS[depths.index(arch.depth) % len(LOOKS)]
            for row in range(grid.rows):
                shade = colour(arch.depth)
                series.append(Series(arch.label, f"{arch.depth} layers", x, values(surface, row), shade, look))
        ends = (-surfaces[0].part.grid.reach, surfaces[0].part.grid.reach)
        series.append(Series("guessing", "guessing", ends, [guessing] * 2, GREY, Style(0.8, "dotted", order=0)))
        ticks = [ends[0], ends[0] / 2, 0, ends[1] / 2, ends[1]]
        name = "residual" if residual else "plain"
        panels.append(Panel(name, Axis("distance, in norms of the filters", *ends, ticks=ticks), y, series))
    return Chart(panels)


def _places(surfaces: Sequence[Surface]) -> tuple[list[int], list[bool]]:
    """Depths from top to bottom, and whether plain or residual from left to right."""
    archs = [surface.part.arch for surface in surfaces]
    return sorted({arch.depth for arch in archs}), sorted({arch.residual for arch in archs})


def _levels(surfaces: Sequence[Surface]) -> list[float]:
    """Levels of loss that all these nets share, from below the lowest loss of any to where nothing of a net is left."""
    lowest = min(loss for surface in surfaces for row in surface.losses for loss in row)
    every = [round(part * 10.0**power, 9) for power in range(-5, 1) for part in (FINE if lowest > 0.1 else COARSE)]
    first = sum(level <= lowest for level in every[:-1])
    return [*every[max(first - 1, 0) :], NOTHING_LEFT]


def _ticks(levels: Sequence[float]) -> list[float]:
    """The levels at which an axis has a number: whole decades where there are several, else 1, 2 and 5 of each."""
    parts = COARSE if levels[0] > 0.1 else (1,)
    return [level for level in levels if any(f"{level:e}".startswith(f"{part}.000") for part in parts)]


def contours(surfaces: Sequence[Surface], heading: str) -> Figure:
    """The loss over a plane, the same levels and axes for every net."""
    import matplotlib.pyplot as plt
    import numpy as np
    from matplotlib.colors import BoundaryNorm

    theme()
    depths, families = _places(surfaces)
    levels = _levels(surfaces)
    logs = [math.log10(level) for level in levels]
    norm = BoundaryNorm(logs, plt.get_cmap("viridis").N, extend="max")
    figure, axes = plt.subplots(
        len(depths), len(families), figsize=(4.4 * len(families) + 1, 4.2 * len(depths)), sharex=True, sharey=True,
        layout="constrained", squeeze=False,
    )  # fmt: skip
    # The layout reckons with the places of axes, and square ones are narrower: their labels would leave the picture.
    figure.get_layout_engine().set(rect=(0.02, 0, 0.98, 1))  # type: ignore[union-attr, call-arg]
    for axis in axes.flat:
        axis.set_visible(False)
    named: list[tuple[Axes, Sequence[Text], list[tuple[float, float]]]] = []
    for surface in surfaces:
        arch, grid = surface.part.arch, surface.part.grid
        axis = axes[depths.index(arch.depth)][families.index(arch.residual)]
        axis.set_visible(True)
        across = [grid.coefficient(j) for j in range(grid.columns)]
        up = [grid.second(i) for i in range(grid.rows)]
        # Between points the logarithm is straight. Its last bit depends on the processor.
        heights = np.log10(np.clip(surface.losses, levels[0], 1e30)).round(12)
        filled = axis.contourf(across, up, heights, levels=logs, norm=norm, cmap="viridis", extend="max")
        inks = ["white" if 2 * number < len(levels) else "0.1" for number in range(len(levels))]  # on dark, on light
        drawn = axis.contour(across, up, heights, levels=logs, colors=inks, linewidths=0.7)
        places = [place for line in _pieces(drawn.get_paths()) if (place := _name_at(line, grid.reach))]
        names = axis.clabel(drawn, fmt=lambda log: f"{10**log:g}", fontsize=8, manual=places)
        risen = math.log10(one_more(surface.loss))
        axis.contour(across, up, heights, levels=[risen], colors="white", linewidths=3.5)  # to be seen on dark too
        line = axis.contour(across, up, heights, levels=[risen], colors="black", linewidths=1.8, linestyles="dashed")
        named.append((axis, names, [(0.0, 0.0), *(point for path in line.get_paths() for point in path.vertices)]))
        axis.plot(0, 0, "+", color="white", ms=9, mew=1.5)
        ends = [-grid.reach, -grid.reach / 2, 0, grid.reach / 2, grid.reach]
        axis.set(title=arch.label, aspect="equal", xticks=ends, yticks=ends)
    for row in axes:
        row[0].set_ylabel("second direction")
    for axis in axes[-1]:
        axis.set_xlabel("first direction")
    bar = figure.colorbar(filled, ax=axes, label="loss (nats)", shrink=0.8, ticks=logs)
    bar.ax.set_yticklabels([f"{level:g}" for level in levels])
    figure.suptitle(heading, size=10, color="0.2")
    figure.draw_without_rendering()  # now the places of all things are known
    for axis, names, points in named:
        _thin_out(axis, names, points)
    return figure


def _pieces(paths: Iterable[Path]) -> list[NDArray[np.float64]]:
    """The separate lines of a set of contours, as (points, 2) in data coordinates."""
    import numpy as np

    return [np.asarray(line) for path in paths for line in path.to_polygons(closed_only=False)]


def _name_at(line: NDArray[np.float64], reach: float) -> tuple[float, float] | None:
    """Where a contour is named: at its lowest point off the edges; None where it is short, or all on an edge.

    Left to itself matplotlib takes the straightest piece, and of two that are alike the last bit of a processor decides.
    """
    import numpy as np

    inner = [(round(float(y), 9), round(float(x), 9)) for x, y in line if max(abs(x), abs(y)) < OFF_EDGES * reach]
    if not inner or np.ptp(line, axis=0).max() < LEAST_NAMED * reach:
        return None
    y, x = min(inner)
    return x, y


def _thin_out(axis: Axes, names: Sequence[Text], points: Sequence[tuple[float, float]]) -> None:
    """Take away the names of contours that lie on one another, or on one of these points."""
    taken: list[Bbox] = []
    full = axis.transData.transform(points)
    for name in names:
        box = name.get_window_extent()
        if box.count_overlaps(taken) or any(box.contains(x, y) for x, y in full):
            name.remove()
        else:
            taken.append(box)


def surfaces(shown: Sequence[Surface], heading: str) -> Figure:
    """The same as surfaces, all on one scale, seen from the same side."""
    import matplotlib.pyplot as plt
    import numpy as np

    theme()
    depths, families = _places(shown)
    levels = _levels(shown)
    low, high = np.log10(levels[0]), np.log10(levels[-1])
    figure, axes = plt.subplots(
        len(depths), len(families), figsize=(5.2 * len(families), 4.4 * len(depths)), squeeze=False,
        subplot_kw={"projection": "3d"},
    )  # fmt: skip
    for axis in axes.flat:
        axis.set_visible(False)
    for surface in shown:
        arch, grid = surface.part.arch, surface.part.grid
        axis = axes[depths.index(arch.depth)][families.index(arch.residual)]
        axis.set_visible(True)
        x, y = np.meshgrid(
            [grid.coefficient(j) for j in range(grid.columns)], [grid.second(i) for i in range(grid.rows)]
        )
        z = np.log10(np.clip(surface.losses, levels[0], levels[-1]))
        axis.plot_surface(
            x, y, z, cmap="viridis", vmin=low, vmax=high, rcount=100, ccount=100, linewidth=0.2, edgecolor=(0, 0, 0, 0.3),
            rasterized=True,
        )  # fmt: skip
        ends = [-grid.reach, 0, grid.reach]
        ticks = _ticks(levels)
        axis.set(
            title=arch.label, zlim=(low, high), zticks=np.log10(ticks), zticklabels=[f"{tick:g}" for tick in ticks]
        )
        axis.set(xlabel="first direction", ylabel="second direction", zlabel="loss (nats)", xticks=ends, yticks=ends)
        axis.tick_params(labelsize=8)
        axis.view_init(elev=30, azim=-60)
    figure.subplots_adjust(left=0.02, right=0.93, bottom=0.03, top=0.92, wspace=0.08, hspace=0.1)
    figure.suptitle(heading, size=10, color="0.2")
    return figure

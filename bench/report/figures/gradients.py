"""Pictures of gradients: signals of every layer before the first iteration, layer against iteration, and the ratio of the
first to the last layer through training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from bench.measure.probes.gradients_record import Point, backward
from bench.report.figures.chart import GREY, Axis, Chart, Marker, Panel, Series, Style
from bench.report.figures.drawing import theme
from bench.runs.derived import GradientRun
from bench.runs.finished import Finished
from bench.studies.gradients import CONDITIONS, Condition
from models.arch import Arch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure


SHADES = (1e-6, 1e3)
"""Norms between which a heat map has different colours."""
RATIOS = (1e-6, 1e6)
"""Between which the ratio of the first to the last layer is shown."""
SCALES = {1.0: "#1f9f88", 0.5: "#440154", 2.0: "#e69f00"}
"""Factor on He's weights -> colour: far apart in lightness too."""


class Row(Protocol):
    """A net under one condition, with its runs and what was measured of each."""

    @property
    def arch(self) -> Arch: ...
    @property
    def condition(self) -> Condition: ...
    @property
    def runs(self) -> Sequence[Finished[GradientRun]]: ...
    @property
    def points(self) -> Sequence[Sequence[Point]]: ...


def nets(rows: Sequence[Row]) -> list[Arch]:
    """Shallow ones first, the plain net before the residual one."""
    return list(dict.fromkeys(row.arch for row in rows))


def signals(rows: Sequence[Row], heading: str) -> Figure:
    """A column for each net; the signal on its way forward above, its gradient on the way back below."""
    import matplotlib.pyplot as plt
    import seaborn

    theme()
    archs = nets(rows)
    figure, axes = plt.subplots(
        2, len(archs), figsize=(max(7.4, 2.7 * len(archs)), 6.4), sharex="col", squeeze=False, layout="constrained"
    )
    for column, arch in zip(axes.T, archs, strict=True):
        for row in rows:
            if row.arch == arch and row.points and row.points[0]:
                first = row.points[0][0]
                _line(column[0], first.signal[:-1], row.condition)
                _line(column[1], first.signal_gradient[:-1], row.condition)
        column[0].set_title(arch.label)
        column[1].set_xlabel("layer")
        for axis in column:
            axis.set(yscale="log", xlim=(0, arch.depth))
            axis.axhline(1, color="0.85", lw=0.8, zorder=0)
    for depth in {arch.depth for arch in archs}:
        for of_kind in axes:
            _same_frame([axis for axis, arch in zip(of_kind, archs, strict=True) if arch.depth == depth])
    axes[0][0].set_ylabel("std of the response")
    axes[1][0].set_ylabel("norm of its gradient")
    if heading:
        figure.suptitle(heading, size=10, color="0.2")
    _legend(figure)
    seaborn.despine(figure)
    return figure


def _same_frame(axes: Sequence[Axes]) -> None:
    """Give a plain net and its residual twin the same limits."""
    limits = [axis.get_ylim() for axis in axes]
    for axis in axes:
        axis.set_ylim(min(0.05, *(low for low, _ in limits)), max(20.0, *(high for _, high in limits)))


def _legend(figure: Figure) -> None:
    """One for all panels, in the order of CONDITIONS."""
    found: dict[str, Any] = {}
    for axis in figure.axes:
        found |= {str(label): line for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    known = [how.label for how in CONDITIONS if how.label in found]
    figure.legend(
        [found[label] for label in known], known, loc="outside lower center", ncols=min(3, len(known)), frameon=False,
        fontsize="small",
    )  # fmt: skip


def _line(axis: Axes, values: Sequence[float | None], condition: Condition) -> None:
    known = [(layer, value) for layer, value in enumerate(values, start=1) if value]
    # with batch norm the three coincide: the later ones are thinner, so that all are seen
    width = {1.0: 6.0, 0.5: 3.5, 2.0: 1.5}.get(condition.scale, 1.5)
    style: dict[str, Any] = {"lw": width} if condition.batch_norm else {"lw": 1.6, "ls": (0, (3, 2))}
    x, y = zip(*known, strict=True) if known else ((), ())
    axis.plot(x, y, color=SCALES.get(condition.scale, GREY), label=condition.label, **style)


def heat(rows: Sequence[Row], heading: str) -> Figure:
    """A row for each condition, a column for each net: layer against iteration, the gradient's norm as colour."""
    import matplotlib.pyplot as plt
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    theme()
    archs = nets(rows)
    shown = [how for how in CONDITIONS if any(row.condition == how for row in rows)]
    figure, axes = plt.subplots(
        len(shown),
        len(archs),
        figsize=(max(6.0, 2.7 * len(archs) + 1.6), 1.9 * len(shown) + 1.1),
        squeeze=False,
        layout="constrained",
    )
    shades = LogNorm(*SHADES)
    for line, how in zip(axes, shown, strict=True):
        for axis, arch in zip(line, archs, strict=True):
            row = next((row for row in rows if row.arch == arch and row.condition == how), None)
            if row is None:
                axis.text(0.5, 0.5, "missing", transform=axis.transAxes, ha="center", va="center", color="0.5")
                axis.set(xticks=[], yticks=[])
            else:
                _panel(axis, row, shades)
            if how == shown[0]:
                axis.set_title(arch.label)
            if how == shown[-1]:
                axis.set_xlabel("iteration")
        line[0].set_ylabel(f"{how.label.replace(', ', chr(10))}\n\nlayer", fontsize="small")
    bar = figure.colorbar(ScalarMappable(shades, "viridis"), ax=axes, extend="both", aspect=40, pad=0.01)
    bar.set_label("norm of the gradient of a layer's weights")
    if heading:
        figure.suptitle(heading, size=10, color="0.2")
    return figure


def _panel(axis: Axes, row: Row, shades: LogNorm) -> None:
    """The first run of a net: a column for each point that was measured."""
    import numpy as np

    points = row.points[0]
    planned = row.runs[0].spec.probe_at
    norms = np.full((row.arch.depth, len(planned)), np.nan)  # the classifier is the last of them
    for point in points:
        norms[:, planned.index(point.iteration)] = [
            np.nan if norm is None else max(norm, 1e-300) for norm in point.norm
        ]
    extent = (-0.5, len(planned) - 0.5, 0.5, row.arch.depth + 0.5)
    axis.imshow(norms, "viridis", shades, aspect="auto", interpolation="nearest", origin="lower", extent=extent)
    ticks = _spaced(planned)
    axis.set_xticks([planned.index(iteration) for iteration in ticks], [_short(iteration) for iteration in ticks])
    axis.tick_params(labelsize="x-small")
    if row.runs[0].result.status == "diverged":
        said = f"diverged within\n{row.runs[0].result.iterations:,} iterations"
        axis.text(0.97, 0.5, said, transform=axis.transAxes, ha="right", va="center", fontsize="x-small", color="0.3")


def _spaced(planned: Sequence[int]) -> list[int]:
    """Some five of the iterations, first and last among them."""
    step = max(1, (len(planned) - 1) // 4)
    chosen = list(planned[: -step or None : step])
    return list(dict.fromkeys([*chosen, planned[-1]]))


def _short(iteration: int) -> str:
    return f"{iteration / 1000:g}k" if iteration >= 10_000 else str(iteration)


RATIO_STYLES = {(True, 1.0): Style(3.0), (False, 1.0): Style(1.4), (False, 0.5): Style(1.4), (False, 2.0): Style(1.4)}
"""Conditions whose ratios are shown: with batch norm bold, and without it."""


def ratios(rows: Sequence[Row], heading: str) -> Chart:
    """The gradient of the first response over that of the last, through training; a panel for each depth, the first seeds."""
    panels = []
    for depth in sorted({row.arch.depth for row in rows}):
        shown = [row for row in rows if row.arch.depth == depth and _key(row) in RATIO_STYLES]
        end = max((row.runs[0].spec.steps for row in shown), default=1)
        panels.append(
            Panel(
                f"{depth} layers",
                Axis("iteration + 1", 1, end + 1, log=True, ticks=_decades(1, end + 1)),
                Axis(
                    "first over last layer",
                    RATIOS[0] / 3,
                    3 * RATIOS[1],
                    log=True,
                    ticks=[10.0**power for power in (-6, -3, 0, 3, 6)],
                ),
                [series for row in shown for series in _ratio(row)],
            )
        )
    return Chart(panels, heading, named=True)


def _key(row: Row) -> tuple[bool, float]:
    return row.condition.batch_norm, row.condition.scale


def _decades(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(12) if low <= 10**power <= high]


def _ratio(row: Row) -> list[Series]:
    found = [(point.iteration + 1.0, value) for point in row.points[0] if (value := backward(point))]
    if not found:
        return []
    x, y = zip(*found, strict=True)
    inside = [min(max(value, RATIOS[0]), RATIOS[1]) for value in y]  # what is beyond lies on the frame
    style = RATIO_STYLES[_key(row)]
    kind = "residual" if row.arch.residual else "plain"
    dashed = Style(style.width, "solid" if row.arch.residual else "dashed")
    colour, named = SCALES[row.condition.scale], row.condition.label.replace("batch norm", "BN")
    dashed = dashed if len(x) > 1 else replace(dashed, marker="circle")  # a line of one point is not seen
    found_series = [Series(f"{kind}, {named}", kind, x, inside, colour, dashed)]
    arrows: tuple[tuple[float, Marker], ...] = ((RATIOS[0], "inverted_triangle"), (RATIOS[1], "triangle"))
    for edge, marker in arrows:  # what is clipped points to where it lies
        if left := [at for at, shown, value in zip(x, inside, y, strict=True) if shown == edge != value]:
            style = Style(0, marker=marker, order=4)
            found_series.append(Series(f"{kind}, {named}", kind, left, [edge] * len(left), colour, style))
    return found_series

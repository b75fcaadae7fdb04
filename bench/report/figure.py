"""Fig. 6 redrawn: training error dashed, test error bold, the paper's own curves faint behind."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report import published
from bench.report.cifar_depth import SEEDS_APART, SEEDS_DRAWN, Row, Variant
from bench.store import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.report.imagenet import Row as ImageNetRow
    from bench.report.imagenet import Variant as ImageNetVariant

DEPTHS = (20, 32, 44, 56, 110, 1202)


def colours() -> dict[int, Any]:
    """A colour for each depth of the study, from a palette made for colour-blind readers; darker is deeper."""
    import seaborn

    return dict(zip(DEPTHS, seaborn.color_palette("viridis_r", len(DEPTHS)), strict=True))


def draw(path: Path, rows: Sequence[Row], variant: Variant) -> list[Path]:
    """Write `path`.svg and `path`.png: plain nets left, residual nets right, and 110 against 1202 where there is one."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import seaborn

    seaborn.set_theme(style="ticks", context="notebook", rc={"svg.hashsalt": "bench", "svg.fonttype": "none"})
    shown = [row for row in rows if row.runs]
    panels = [
        ("plain", [row for row in shown if not row.arch.residual], "fig6_left"),
        ("residual", [row for row in shown if row.arch.residual and row.arch.depth <= 110], "fig6_mid"),
    ]
    deepest = [row for row in shown if row.arch.residual and row.arch.depth >= 110]
    if any(row.arch.depth > 110 for row in deepest):
        panels.append(("residual, deepest", deepest, "fig6_right"))
    figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 4.6), sharey=True, layout="constrained")
    for axis, (title, members, paper) in zip(axes, panels, strict=True):
        panel(axis, title, members, paper, variant)
    return _finish(figure, path)


def _finish(figure: Figure, path: Path) -> list[Path]:
    """Label and write a figure as SVG and PNG, the same bytes for the same data."""
    import matplotlib.pyplot as plt
    import seaborn

    figure.axes[0].set_ylabel("error (%)")
    seaborn.despine(figure)
    written = []
    for suffix in ("svg", "png"):
        buffer = io.BytesIO()
        metadata = {"Date": None} if suffix == "svg" else {"Software": None}
        figure.savefig(buffer, format=suffix, dpi=160, metadata=metadata)
        target = path.with_name(f"{path.name}.{suffix}")
        write_bytes(target, buffer.getvalue())
        written.append(target)
    plt.close(figure)
    return written


def draw_imagenet(path: Path, rows: Sequence[ImageNetRow], variant: ImageNetVariant) -> list[Path]:
    """Fig. 4: write `path`.svg and `path`.png, plain nets left and residual nets right, the paper's curves faint behind."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import seaborn

    seaborn.set_theme(style="ticks", context="notebook", rc={"svg.hashsalt": "bench", "svg.fonttype": "none"})
    figure, axes = plt.subplots(1, 2, figsize=(10.4, 4.6), sharey=True, layout="constrained")
    palette = seaborn.color_palette("viridis_r", 2)
    recipe = variant.specs()[0].imagenet
    unit, unit_name = (1e4, "1e4") if recipe.iterations >= 10_000 else (1, "")
    for axis, title, paper in zip(axes, ("plain", "residual"), ("fig4_left", "fig4_right"), strict=True):
        for row in rows:
            if row.arch.residual != (title == "residual"):
                continue
            colour = palette[row.arch.depth == 34]
            for kind, width in (("train", 0.6), ("val", 1.4)) if variant.dataset == "imagenet" else ():
                points = published.curves().get((paper, f"{row.arch.label} {kind}"), [])
                scale = recipe.iterations / 600_000 * 1e4 / unit
                axis.plot([x * scale for x, _ in points], [y for _, y in points], color=colour, alpha=0.3, lw=width)
            if row.runs:
                errors(axis, row, colour, unit)
        top = (20, 60) if variant.comparable else (0, 100)
        axis.set(title=title, xlim=(0, recipe.iterations / unit), ylim=top)
        axis.set_xlabel(f"iterations ({unit_name})" if unit_name else "iterations")
        if variant.dataset == "imagenet":
            label = "the paper's" + ("" if variant.schedule == "paper" else " (to scale)")
            axis.plot([], [], color="0.3", alpha=0.4, lw=1.4, label=label)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return _finish(figure, path)


def panel(axis: Axes, title: str, rows: Sequence[Row], paper: str, variant: Variant) -> None:
    """One panel: the curves of every run, in the colour of its depth; the paper's frame of 20 % for the paper's schedule."""
    palette = colours()
    total = max((row.runs[0].spec.recipe.iterations for row in rows), default=1)
    unit, unit_name = (1e4, "1e4") if total >= 10_000 else (1e3, "1e3") if total >= 1_000 else (1, "")
    top = 20 if variant.dataset == "cifar10" and variant.schedule == "paper" else 100
    faint = variant.dataset == "cifar10" and published.curves()
    for row in rows:
        colour = palette.get(row.arch.depth, "0.5")
        if faint:
            for kind, width in (("train", 0.6), ("test", 1.4)):
                points = published.curves().get((paper, f"{row.arch.label} {kind}"), [])
                scale = total / 64_000 * 1e4 / unit  # the paper's length is drawn over this schedule's
                axis.plot([x * scale for x, _ in points], [y for _, y in points], color=colour, alpha=0.25, lw=width)
        errors(axis, row, colour, unit)
    axis.set(title=title, xlim=(0, total / unit), ylim=(0, top))
    axis.set_xlabel(f"iterations ({unit_name})" if unit_name else "iterations")
    for drop in {drop for row in rows for drop in row.runs[0].spec.recipe.drops}:
        axis.axvline(drop / unit, color="0.85", lw=0.8, zorder=0)
    if rows and faint:
        axis.plot(
            [], [], color="0.3", alpha=0.4, lw=1.4, label="the paper's" + (" (to scale)" if total != 64_000 else "")
        )
    if rows:
        below = (0.5, -0.16)  # under the axis, where no curve can run through it
        axis.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=below, ncols=3)


def errors(axis: Axes, row: Row | ImageNetRow, colour: Any, unit: float) -> None:
    """The curves of a net: each seed's where they are few, else their mean with a band from the lowest to the highest."""
    curves = [run.metrics for run in row.runs[:SEEDS_DRAWN]]
    x = [point["iteration"] / unit for point in curves[0]]
    styles: list[tuple[str, dict[str, Any]]] = [
        ("train_error", {"lw": 0.9, "ls": (0, (4, 2))}),
        ("test_error", {"lw": 2.2}),
    ]
    for name, style in styles:
        values = [[point[name] for point in curve] for curve in curves]
        if len(values) > SEEDS_APART:
            across = list(zip(*values, strict=True))
            axis.fill_between(x, list(map(min, across)), list(map(max, across)), color=colour, alpha=0.15, lw=0)
            values = [[sum(at) / len(at) for at in across]]
        for number, y in enumerate(values):
            label = row.arch.label if name == "test_error" and number == 0 else None
            axis.plot(x, y, color=colour, label=label, **style)

"""Figures 1, 4 and 6 redrawn from our runs, the paper's own curves faint behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from bench.report.figures.chart import TEST, TRAINING, Axis, Chart, Panel, Series, Style, colour, faint
from bench.runs.finished import FinishedRun
from bench.runs.spec import CifarRecipe, ImageNetRecipe
from bench.verdicts import published
from models.arch import Arch

SEEDS_APART = 3
"""Seeds of a net whose curves a figure shows one by one; more become their mean and a band."""
SEEDS_DRAWN = 25
"""Seeds whose curves are read at all: more would not change the band for the eye."""

BOTH = (("test_error", "test error", TEST), ("train_error", "training error", TRAINING))
"""Field of a point, what the legend calls it, and its line."""

Errors = tuple[tuple[str, str, str, Style], ...]
"""(field of an evaluation point, its name in the paper's curves, what the legend calls ours, how ours looks)."""
TESTED, TRAINED = ("test_error", "test", "test error", TEST), ("train_error", "train", "training error", TRAINING)


class Net(Protocol):
    """A net with its finished runs."""

    @property
    def arch(self) -> Arch: ...
    @property
    def runs(self) -> tuple[FinishedRun, ...]: ...


def figure_6(nets: Sequence[Net], paper: bool, top: float) -> Chart:
    """Plain nets left, residual nets right, as far as there are runs, and 110 against 1202; errors up to `top` percent.

    `paper`: whether the paper's own curves lie behind.
    """
    shown = [net for net in nets if net.runs]
    residual = [net for net in shown if net.arch.residual]
    panels = [
        ("plain", [net for net in shown if not net.arch.residual], "fig6_left"),
        ("residual", [net for net in residual if net.arch.depth <= 110], "fig6_mid"),
    ]
    if any(net.arch.depth > 110 for net in residual):
        panels.append(("residual, deepest", [net for net in residual if net.arch.depth >= 110], "fig6_right"))
    return Chart(
        [
            _panel(title, members, (TESTED, TRAINED), figure if paper else "", top)
            for title, members, figure in panels
            if members
        ]
    )


def figure_1(nets: Sequence[Net], paper: bool, top: float) -> Chart:
    """plain-20 and plain-56: training error left, test error right."""
    shown = [net for net in nets if net.runs and not net.arch.residual and net.arch.depth in (20, 56)]
    training, test = ("train_error", "train", "ours", TEST), ("test_error", "test", "ours", TEST)
    return Chart(
        [
            _panel("training error", shown, (training,), "fig1_train" if paper else "", top),
            _panel("test error", shown, (test,), "fig1_test" if paper else "", top),
        ]
    )


def figure_4(nets: Sequence[Net], paper: bool, bottom: float, top: float) -> Chart:
    """18 and 34 layers on ImageNet: plain nets left, residual nets right. The test images are the validation images."""
    shown = [net for net in nets if net.runs]
    errors = (("test_error", "val", "validation error", TEST), TRAINED)
    return Chart(
        [
            _panel(
                title, [net for net in shown if net.arch.residual == (title == "residual")], errors, figure, top, bottom
            )
            for title, figure in (("plain", "fig4_left" if paper else ""), ("residual", "fig4_right" if paper else ""))
        ]
    )


def _panel(title: str, nets: Sequence[Net], errors: Errors, paper: str, top: float, bottom: float = 0) -> Panel:
    """Curves of every net. `paper` is the figure whose curves lie behind, drawn over the length of our schedule."""
    recipes = [net.runs[0].spec.recipe for net in nets]
    total = max((recipe.iterations for recipe in recipes), default=1)
    unit, power = unit_of(total)
    series = []
    for net in nets:
        whole = (ImageNetRecipe() if net.arch.family == "imagenet" else CifarRecipe()).iterations
        for field, name, kind, style in errors:
            series += _ours(net, field, kind, style, unit)
            series += _of_paper(paper, net.arch, name, kind, style, total / whole * 1e4 / unit)
    step = (top - bottom) / 4 if top - bottom <= 40 else 20
    ticks = [bottom + step * i for i in range(round((top - bottom) / step) + 1)]
    drops = {drop / unit for recipe in recipes for drop in recipe.drops}
    return Panel(
        title,
        Axis(f"iterations{power}", 0, total / unit),
        Axis("error (%)", bottom, top, ticks=ticks),
        series,
        sorted(drops),
    )


def unit_of(iterations: int) -> tuple[float, str]:
    """What so many iterations are counted in, and how an axis says so."""
    return (1e4, " (1e4)") if iterations >= 10_000 else (1e3, " (1e3)") if iterations >= 1_000 else (1, "")


def _of_paper(figure: str, arch: Arch, name: str, kind: str, style: Style, scale: float) -> list[Series]:
    points = published.curves().get((figure, f"{arch.label} {name}"), [])
    if not points:
        return []
    theirs = "the paper's" if kind == "ours" else f"the paper's {kind}"
    x, y = zip(*((x * scale, y) for x, y in points), strict=True)
    return [Series(arch.label, theirs, x, y, colour(arch.depth), faint(style))]


def _ours(net: Net, field: str, kind: str, style: Style, unit: float) -> list[Series]:
    named = Series(net.arch.label, kind, (), (), colour(net.arch.depth), style, end=f"{net.arch.depth} layers")
    return of_seeds(net.runs, field, unit, named)


def of_seeds(
    runs: Sequence[FinishedRun], field: str, unit: float, named: Series, last: float = math.inf
) -> list[Series]:
    """Each seed's curve where they are few, else their mean with a band from the lowest to the highest.

    `named` is what they are called and look like; one curve of the test error has its end written beside it. Points beyond
    iteration `last` are left out.
    """
    curves = [[point for point in run.metrics if point["iteration"] <= last] for run in runs[:SEEDS_DRAWN]]
    x = [point["iteration"] / unit for point in curves[0]]
    values = [[point[field] for point in curve] for curve in curves]
    named = replace(named, x=x, end=named.end if named.style is TEST else "")
    if not x:
        return []
    if len(values) <= SEEDS_APART:
        return [replace(named, y=y, end="" if seed else named.end) for seed, y in enumerate(values)]
    across = list(zip(*values, strict=True))
    mean = [sum(at) / len(at) for at in across]
    return [replace(named, y=mean, low=list(map(min, across)), high=list(map(max, across)))]

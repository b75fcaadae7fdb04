"""Numbers for what the eye sees of a loss surface: how far one can go before the loss has risen, and how rough the way is.

Distances are in the grid's unit: 1 is where each filter has been moved by its own norm. They are read off the measured
points, with straight lines of log-loss between them, so that they are as fine as the grid is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

from bench.errors import UserError
from bench.files import read_rows
from bench.runs.derived import SurfacePart
from bench.runs.finished import find
from bench.runs.folder import RunFolder
from bench.runs.ranges import Range, check

NOTHING_LEFT = 10.0
"""Nats. A loss above this counts as this: guessing ten classes costs 2.3, and nothing of the net is left."""
RAYS = 36
"""Directions in which one leaves the middle of a plane."""


@dataclass(frozen=True)
class SurfacePoint:
    """A line of points.jsonl."""

    row: int
    column: int
    loss: Annotated[float | None, Range("loss", least=0)]
    """Nats; None where it was not finite."""
    error: Annotated[float, Range("error in percent", least=0, most=100)]
    weights: str
    seconds: Annotated[float, Range("seconds", least=0)]

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Surface:
    """All points of a grid around the net of one run."""

    part: SurfacePart
    """One of its parts: they have net and grid in common."""
    losses: tuple[tuple[float, ...], ...]
    """Nats; infinite where it was not finite. (rows, columns)."""
    errors: tuple[tuple[float, ...], ...]
    """Percent. (rows, columns)."""
    folders: tuple[RunFolder, ...]
    """Where its parts lie."""

    @property
    def loss(self) -> float:
        """Of the net itself."""
        return self._middle(self.losses)

    @property
    def error(self) -> float:
        """Of the net itself, in percent."""
        return self._middle(self.errors)

    def _middle(self, values: tuple[tuple[float, ...], ...]) -> float:
        grid = self.part.grid
        return values[grid.rows // 2 if grid.kind == "plane" else 0][grid.columns // 2]


def load(parts: tuple[SurfacePart, ...], *results: Path) -> Surface | None:
    """The surface that these parts make, from the first of the results folders that has each; None where one is missing.

    Raises UserError where a part is damaged, or parts were measured around different weights.
    """
    folders = [find(part, *results) for part in parts]
    there = [folder for folder in folders if folder]
    if len(there) < len(parts):
        return None
    weights = {folder.read_measured().weights: folder for folder in there}
    if len(weights) > 1:
        one, other, *_ = weights.values()
        raise UserError(
            f"{one.path} and {other.path} were measured around different weights of one run: move both away and give the "
            "same command again"
        )
    grid = parts[0].grid
    points = {(p.row, p.column): p for folder in there for p in read_rows(SurfacePoint, folder.points)}
    try:
        rows = [[points[i, j] for j in range(grid.columns)] for i in range(grid.rows)]
        losses = tuple(tuple(math.inf if p.loss is None else p.loss for p in row) for row in rows)
        errors = tuple(tuple(p.error for p in row) for row in rows)
    except KeyError as error:
        names = ", ".join(str(folder.points) for folder in there)
        raise UserError(f"{names}: point {error} is missing: move their folders away and run again") from error
    return Surface(parts[0], losses, errors, tuple(there))


def doubled(loss: float) -> float:
    """The level at which a loss has doubled: for one net, how sharp its minimum is relative to what it has reached."""
    return 2 * loss


def one_more(loss: float) -> float:
    """The level at which a loss is one nat higher: comparable between nets that have reached different losses."""
    return loss + 1


def radii(surface: Surface, level: Callable[[float], float]) -> list[float]:
    """How far one can go before the loss first reaches `level` of the net's own, infinite where the grid ends before.

    One number for each way out: both ways along each line, or the rays of a plane.
    """
    grid, target = surface.part.grid, level(surface.loss)
    middle = grid.columns // 2
    if grid.kind == "lines":
        steps = [grid.coefficient(middle + k) for k in range(middle + 1)]
        ways = [row[middle:] for row in surface.losses] + [row[middle::-1] for row in surface.losses]
        return [_reaches(steps, way, target) for way in ways]
    import numpy as np
    from scipy.interpolate import RegularGridInterpolator

    across = [grid.coefficient(j) for j in range(grid.columns)]
    up = [grid.second(i) for i in range(grid.rows)]
    height = RegularGridInterpolator((up, across), np.log(np.clip(surface.losses, 1e-12, 1e30)))
    distances = np.linspace(0, grid.reach, 2 * max(grid.columns, grid.rows))
    found = []
    for angle in 2 * np.pi * np.arange(RAYS) / RAYS:
        way = np.exp(height(np.outer(distances, [np.sin(angle), np.cos(angle)])))
        found.append(_reaches(distances.tolist(), way.tolist(), target))
    return found


def radius(surface: Surface, level: Callable[[float], float]) -> float:
    """The median of `radii`; infinite where half of the ways do not reach the level."""
    return median(radii(surface, level))


def _reaches(steps: list[float], losses: list[float] | tuple[float, ...], target: float) -> float:
    """Where a way out first reaches a loss."""
    heights = [math.log(min(max(loss, 1e-12), 1e30)) for loss in losses]
    wanted = math.log(max(target, 1e-12))
    for number in range(1, len(steps)):
        low, high = heights[number - 1], heights[number]
        if high >= wanted:
            share = 0.0 if high == low else (wanted - low) / (high - low)
            return steps[number - 1] + max(share, 0.0) * (steps[number] - steps[number - 1])
    return math.inf


def roughness(surface: Surface) -> float | None:
    """Of all ups and downs of log-loss between neighbouring points, going outwards, the share of the downs, in percent.

    0 is a bowl, in which every step away from the net costs; 50 is as much down as up. It does not depend on the loss that
    was reached, but on how fine the grid is. Losses count up to NOTHING_LEFT. None where there is nothing but that.
    """
    heights = [[math.log(min(max(loss, 1e-12), NOTHING_LEFT)) for loss in row] for row in surface.losses]
    steps = [step for row in heights for step in _outwards(row)]
    if surface.part.grid.kind == "plane":
        steps += [step for column in zip(*heights, strict=True) for step in _outwards(column)]
    way = sum(map(abs, steps))
    return 100 * sum(-step for step in steps if step < 0) / way if way else None


def _outwards(heights: list[float] | tuple[float, ...]) -> list[float]:
    """Differences between neighbours, each away from the middle."""
    middle = len(heights) // 2
    right = [heights[k + 1] - heights[k] for k in range(middle, len(heights) - 1)]
    left = [heights[k - 1] - heights[k] for k in range(middle, 0, -1)]
    return right + left

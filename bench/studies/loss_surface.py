"""The loss around trained nets, with and without shortcuts (Li et al. 2018); no picture of the paper, but of its argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.runs.derived import Grid, SurfacePart, parts
from bench.runs.spec import RunSpec, Schedule, Spec
from bench.studies.seeds import Seeds
from models.arch import Arch

TITLE = "Loss around trained nets (after Li et al. 2018)"
ARCHS = (Arch("cifar", 20), Arch("cifar", 56), Arch("cifar", 20, "A"), Arch("cifar", 56, "A"))

GRIDS: dict[Schedule, tuple[Grid, Grid]] = {
    "paper": (Grid("lines", 10, 51, 10_000), Grid("plane", 51, 51, 10_000)),
    "short": (Grid("lines", 5, 41, 500), Grid("plane", 21, 21, 500)),
    "smoke": (Grid("lines", 2, 17, 256), Grid("plane", 9, 9, 256)),
}
"""Schedule -> lines and plane. Schedules differ in how fine the grid is, not in where it lies; `short` takes all four nets
less than an hour on a core."""
ROWS = {"paper": 3, "short": 7, "smoke": 5}
"""Rows of a part."""


def surface(run: RunSpec) -> tuple[SurfacePart, ...]:
    """All that is measured around the net of a run."""
    schedule = run.recipe.schedule
    return tuple(part for grid in GRIDS[schedule] for part in parts(run, grid, ROWS[schedule]))


def works(run: Callable[[Arch, int], RunSpec], seeds: Seeds, archs: Sequence[Arch] = ARCHS) -> tuple[Spec, ...]:
    """The trainings, which the depth study has too, and the parts of each surface."""
    trained = [run(arch, seed) for arch in archs for seed in seeds.of(arch)]
    return (*trained, *(part for one in trained for part in surface(one)))

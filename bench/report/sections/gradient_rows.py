"""What a page of gradients is made of: a net under one condition, with its runs and what was measured of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from bench.measure.probes.gradients_record import Point, Ratio
from bench.measure.probes.gradients_record import read as points_of
from bench.report.sections.runs import Found
from bench.runs.derived import GradientRun
from bench.runs.finished import Finished
from bench.studies import gradients as study
from bench.studies.gradients import ARCHS, CONDITIONS, Condition
from bench.studies.variant import GRADIENTS_OF_PAPER, GradientVariant
from models.arch import Arch

TABLE = "gradients"
Run = Finished[GradientRun]


@dataclass(frozen=True)
class Row:
    """A net under one condition, with its runs, seeds in order."""

    arch: Arch
    condition: Condition
    runs: tuple[Run, ...]

    @cached_property
    def points(self) -> list[list[Point]]:
        """What was measured of each run, read once."""
        return [points_of(run.folder) for run in self.runs]

    def at(self, ratio: Ratio, share: float) -> float | None:
        """The ratio after that share of the iterations, or the last point before: the geometric mean over runs."""
        values = []
        for run, points in zip(self.runs, self.points, strict=True):
            before = [point for point in points if point.iteration <= share * run.spec.recipe.iterations]
            ended = run.result.status == "diverged" and share * run.spec.recipe.iterations > run.result.iterations
            values.append(None if ended or not before else ratio(before[-1]))
        return geometric(values)

    @property
    def shares(self) -> list[float]:
        """What measuring took, of the time that each run took without it; of runs that were trained to their end."""
        found = []
        for run, points in zip(self.runs, self.points, strict=True):
            took = sum(point.seconds for point in points)
            if run.result.status == "done":
                found.append(took / (run.result.wall_seconds - took))
        return found


def geometric(values: Sequence[float | None]) -> float | None:
    """The geometric mean; None for none, or where one is not known."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return 0.0 if min(known) <= 0 else math.exp(fmean(math.log(value) for value in known))


def rows(found: Found, variant: GradientVariant) -> list[Row]:
    """A row for each net of the study under each condition, and for each other CIFAR net that has runs of this variant."""
    of: dict[tuple[Arch, Condition], list[Run]] = {(a, c): [] for a in ARCHS for c in CONDITIONS}
    for one in found.watched.values():
        spec = one.spec
        condition = Condition(spec.batch_norm, spec.init_scale)
        if spec == study.run(spec.arch, condition, variant.schedule, variant.dataset, spec.seed):
            of.setdefault((spec.arch, condition), []).append(one)
    order = sorted(of, key=lambda key: (key[0].depth, key[0].residual, CONDITIONS.index(key[1])))
    return [Row(*key, tuple(sorted(of[key], key=lambda one: one.spec.seed))) for key in order]


def variants(found: Found) -> list[GradientVariant]:
    """The pages for which something is measured."""
    others = {GradientVariant.of(run.spec) for run in found.watched.values()} - {GRADIENTS_OF_PAPER}
    return [GRADIENTS_OF_PAPER, *sorted(others, key=lambda variant: variant.name)]


def number(value: float | None) -> str:
    """Two digits, with a power of ten where that is shorter."""
    if value is None:
        return ""
    return f"{value:.2g}" if value == 0 or 0.001 <= abs(value) < 1000 else f"{value:.1e}"

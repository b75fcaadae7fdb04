"""Section 4.1, and lectures on it: do signals and gradients vanish, with batch norm and without, with shortcuts and without?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.runs.derived import GradientRun
from bench.runs.spec import CifarRecipe, RunSpec, Schedule
from bench.studies import cifar_depth
from bench.studies.seeds import Seeds
from models.arch import Arch

TITLE = "Gradients and signals of layers (section 4.1)"

ARCHS = tuple(Arch("cifar", depth, option) for depth in (20, 56, 110) for option in (None, "A"))
CHAIN = (0.5, 1.0, 1.5, 0.01)
"""Factors a of the chain Y = W^l X, W = a I."""
PROBE_IMAGES = 64
"""As many as one of the paper's GPUs saw at a time, and half the cost of a whole batch."""


@dataclass(frozen=True)
class Condition:
    """How a net differs from the paper's: whether it has batch norm, and the factor on its initial weights."""

    batch_norm: bool
    scale: float

    @property
    def label(self) -> str:
        return f"{'batch norm' if self.batch_norm else 'no batch norm'}, He × {self.scale:g}"


AS_IN_THE_PAPER = Condition(True, 1.0)
CONDITIONS = tuple(Condition(batch_norm, scale) for batch_norm in (True, False) for scale in (1.0, 0.5, 2.0))

SHORT = replace(
    cifar_depth.SHORT,
    iterations=cifar_depth.PAPER.iterations // 400,
    drops=tuple(drop // 400 for drop in cifar_depth.PAPER.drops),
    warmup_window=cifar_depth.PAPER.warmup_window // 20,
)
"""All conditions of 20 and 56 layers in an hour of a CPU."""
SMOKE = replace(cifar_depth.SMOKE, iterations=160, drops=(80, 120), evaluate_every=80)
SCHEDULES: dict[Schedule, CifarRecipe] = {"paper": cifar_depth.PAPER, "short": SHORT, "smoke": SMOKE}


def recipe(arch: Arch, schedule: Schedule, dataset: str) -> CifarRecipe:
    """That of the depth study, the same for every condition, as long as this study's schedules are."""
    ours, base = SCHEDULES[schedule], cifar_depth.recipe(arch, schedule, dataset)
    return replace(
        base,
        iterations=ours.iterations,
        drops=ours.drops,
        warmup_window=ours.warmup_window,
        evaluate_every=ours.evaluate_every,
    )


def probe_at(iterations: int) -> tuple[int, ...]:
    """The iterations at which gradients are measured: 0, powers of two (four in short runs), up to 32 equal steps.

    A look takes no longer than an iteration, on images of 32x32 half as long, and they are so few that it is under 5 % of a
    run.
    """
    base = 2 if iterations >= 1000 else 4
    powers = {base**i for i in range(iterations.bit_length()) if 2 * base**i < iterations}
    parts = 2 * max(1, min(16, iterations // 400))
    return tuple(sorted({0} | powers | {iterations * part // parts for part in range(1, parts + 1)}))


def run(arch: Arch, condition: Condition, schedule: Schedule, dataset: str, seed: int) -> GradientRun:
    """One training of the study."""
    return watched(RunSpec(arch, recipe(arch, schedule, dataset), dataset, seed), condition)


def watched(run: RunSpec, condition: Condition = AS_IN_THE_PAPER) -> GradientRun:
    """A run with its gradients measured."""
    return GradientRun(run, condition.batch_norm, condition.scale, PROBE_IMAGES, probe_at(run.recipe.iterations))


def works(schedule: Schedule, dataset: str, seeds: Seeds, archs: Sequence[Arch] = ARCHS) -> tuple[GradientRun, ...]:
    """Every net under every condition, shallow nets first."""
    return tuple(
        run(arch, how, schedule, dataset, seed) for arch in archs for how in CONDITIONS for seed in seeds.of(arch)
    )


def share(spec: GradientRun) -> float:
    """Of the images that a run passes forward and backward, those that it passes only to look at its gradients."""
    looked = len(spec.probe_at) * spec.probe_images
    return looked / (looked + spec.recipe.iterations * spec.recipe.batch)

"""Section 1: the solution by construction, which a deeper plain net has and training does not find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.runs.derived import Extension
from bench.runs.spec import RunSpec, Spec
from bench.studies.seeds import Seeds
from models.arch import Arch

TITLE = "Deeper nets by construction (section 1)"
SHALLOW, DEEP, RESIDUAL = Arch("cifar", 20), Arch("cifar", 56), Arch("cifar", 56, "A")
ARCHS: tuple[Arch, ...] = ()
"""No further net can be asked for: the construction is of these three."""


def extension(shallow: RunSpec, deep: RunSpec) -> Extension:
    """The constructed net, and how it is trained on: by our choice, as if the last part of the schedule went on.

    The learning rate is the last of the schedule, for as many iterations as the schedule has at that rate: at a higher one
    the solution would be left before it could be seen whether it can be bettered.
    """
    recipe = deep.cifar
    reached = [drop for drop in recipe.drops if drop < recipe.iterations]
    rate = recipe.lr / recipe.lr_divisor ** len(reached)
    length = recipe.iterations - max(reached, default=0)
    return Extension(shallow, deep.arch, replace(recipe, iterations=length, lr=rate, drops=(), warmup_lr=None))


def works(run: Callable[[Arch, int], RunSpec], seeds: Seeds, archs: Sequence[Arch] = ()) -> tuple[Spec, ...]:
    """The three trainings of each seed, and the construction; `run` gives the depth study's runs."""
    trained = [run(arch, seed) for arch in (SHALLOW, DEEP, RESIDUAL) for seed in seeds.of(arch)]
    return (*trained, *(extension(run(SHALLOW, seed), run(DEEP, seed)) for seed in seeds.of(SHALLOW)))

"""Section 4.2 and footnote 5: ResNet-110 with and without a learning rate of 0.01 at the start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.runs.spec import RunSpec
from bench.studies.seeds import Seeds
from bench.studies.variant import Variant
from models.arch import Arch

TITLE = "ResNet-110 with and without warm-up (section 4.2)"
ARCHS = (Arch("cifar", 110, "A"),)
VARIES = ("warmup_lr",)
"""Fields of the recipe that the table itself varies, so that nobody can set them."""


def with_warmup(spec: RunSpec) -> RunSpec:
    """The run as the depth study has it; a net that warms up there by no means gets the tenth that ResNet-110 has."""
    low = spec.recipe.warmup_lr if spec.recipe.warmup_lr is not None else spec.recipe.lr / 10
    return replace(spec, recipe=replace(spec.recipe, warmup_lr=low))


def without_warmup(spec: RunSpec) -> RunSpec:
    """The same run at the full rate from its first iteration."""
    return replace(spec, recipe=replace(spec.recipe, warmup_lr=None))


def works(run: Callable[[Arch, int], RunSpec], seeds: Seeds, archs: Sequence[Arch] = ARCHS) -> tuple[RunSpec, ...]:
    """Both runs of each net and seed; `run` gives the depth study's."""
    return tuple(
        variant(run(arch, seed))
        for arch in archs
        for variant in (with_warmup, without_warmup)
        for seed in seeds.of(arch)
    )


def pair(variant: Variant, arch: Arch, seed: int) -> dict[bool, RunSpec]:
    """The pair of runs of a net and a seed, by whether it warms up."""
    run = variant.spec(arch, seed)
    return {True: with_warmup(run), False: without_warmup(run)}


def variant_of(spec: RunSpec) -> Variant | None:
    """The page of a run that only this table has: one that starts otherwise than the depth study lets its net start."""
    changes = Variant.of(spec).changes if spec.arch.family == "cifar" else ()
    if "warmup_lr" not in dict(changes):
        return None
    variant = replace(Variant.of(spec), changes=tuple(change for change in changes if change[0] != "warmup_lr"))
    return variant if spec in pair(variant, spec.arch, spec.seed).values() else None

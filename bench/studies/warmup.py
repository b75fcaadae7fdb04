"""Section 4.2 and footnote 5: ResNet-110 with and without a learning rate of 0.01 at the start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.runs.spec import RunSpec
from models.arch import Arch

TITLE = "ResNet-110 with and without a low learning rate at the start (section 4.2, footnote 5)"
ARCHS = (Arch("cifar", 110, "A"),)


def with_warmup(spec: RunSpec) -> RunSpec:
    """The run as the depth study has it; a net that warms up there by no means gets the tenth that ResNet-110 has."""
    low = spec.recipe.warmup_lr if spec.recipe.warmup_lr is not None else spec.recipe.lr / 10
    return replace(spec, recipe=replace(spec.recipe, warmup_lr=low))


def without_warmup(spec: RunSpec) -> RunSpec:
    """The same run at the full rate from its first iteration."""
    return replace(spec, recipe=replace(spec.recipe, warmup_lr=None))


def works(
    run: Callable[[Arch, int], RunSpec], seeds: Sequence[int], archs: Sequence[Arch] = ARCHS
) -> tuple[RunSpec, ...]:
    """Both runs of each net and seed; `run` gives the depth study's."""
    return tuple(
        variant(run(arch, seed)) for arch in archs for variant in (with_warmup, without_warmup) for seed in seeds
    )

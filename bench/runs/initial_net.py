"""The net of a run, with the initial weights of its seed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from bench.runs.derived import GradientRun
from bench.runs.spec import ImageNetRecipe, Spec
from models.build import build

if TYPE_CHECKING:
    from torch import nn


_DRAWING = threading.Lock()


def build_for_run(spec: Spec) -> nn.Module:
    """The net of a run with the initial weights of its seed; the caller's random state is left as it was.

    Layers draw from PyTorch's one generator for CPUs, so that threads take it in turns; generators of GPUs are not touched.
    """
    import torch

    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(spec.seed)
        return build_of(spec)


def build_of(spec: Spec) -> nn.Module:
    """A net of the kind of a run, drawn from the caller's generator."""
    import torch
    from torch import nn

    classes = spec.recipe.classes if isinstance(spec.recipe, ImageNetRecipe) else None
    watched = spec if isinstance(spec, GradientRun) else None
    net = build(spec.arch, classes, spec.recipe.bn_group, spec.recipe.init, watched is None or watched.batch_norm)
    if watched and watched.init_scale != 1:
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, nn.Conv2d):
                    module.weight.mul_(watched.init_scale)
    return net

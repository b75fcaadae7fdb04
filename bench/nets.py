"""From an Arch to a net."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from bench.spec import Arch, ImageNetRecipe, Spec

if TYPE_CHECKING:
    from torch import nn


def build(arch: Arch, classes: int | None = None, bn_group: int | None = None, init: str = "fan_in") -> nn.Module:
    """A freshly initialised net; `classes` None is 10 for CIFAR nets and 1000 for ImageNet nets and VGG.

    Raises ValueError, saying what would work, for a depth or an option that the paper does not have.
    """
    if arch.family == "cifar":
        from models.cifar import CifarNet

        return CifarNet(arch.depth, arch.shortcut, classes or 10, bn_group, init)  # type: ignore[arg-type]
    if arch.family == "imagenet":
        from models.imagenet import ImageNetNet

        return ImageNetNet(arch.depth, arch.shortcut, classes or 1000, arch.stride_in, bn_group, init)  # type: ignore[arg-type]
    from torchvision.models import vgg16, vgg19

    makers = {16: vgg16, 19: vgg19}
    if arch.depth not in makers:
        raise ValueError(f"VGG-{arch.depth} is not in the paper: try 16 or 19")
    net: nn.Module = makers[arch.depth](weights=None, init_weights=False, num_classes=classes or 1000)
    return net


_DRAWING = threading.Lock()


def build_for_run(spec: Spec) -> nn.Module:
    """The net of a run with the initial weights of its seed; the caller's random state is left as it was.

    Layers draw from PyTorch's one generator for CPUs, so that threads take it in turns; generators of GPUs are not touched.
    """
    import torch

    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(spec.seed)
        classes = spec.recipe.classes if isinstance(spec.recipe, ImageNetRecipe) else 10
        return build(spec.arch, classes, spec.recipe.bn_group, spec.recipe.init)

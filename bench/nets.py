"""From an Arch to a net."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from bench.inside import GradientRun
from bench.spec import Arch, ImageNetRecipe, Spec

if TYPE_CHECKING:
    from torch import nn


def build(
    arch: Arch, classes: int | None = None, bn_group: int | None = None, init: str = "fan_in", batch_norm: bool = True
) -> nn.Module:
    """A freshly initialised net; `classes` None is 10 for CIFAR nets and 1000 for ImageNet nets and VGG.

    Without `batch_norm` a CIFAR net has in its place an offset for each channel.

    Raises ValueError, saying what would work, for a depth or an option that the paper does not have.
    """
    if arch.family == "cifar":
        from models.blocks import Offset
        from models.cifar import CifarNet

        norm = None if batch_norm else Offset
        return CifarNet(arch.depth, arch.shortcut, classes or 10, bn_group, init, norm)  # type: ignore[arg-type]
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

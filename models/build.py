"""From an Arch to a net."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.arch import Arch

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

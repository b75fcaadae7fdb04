"""The layers of a CIFAR net as section 4.2 counts them: 6n+1 convolutions of 3x3, and the classifier."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Layer:
    """A convolution of 3x3 with what follows it before the nonlinearity or the addition: batch norm, or its offset alone."""

    name: str
    conv: nn.Conv2d
    norm: nn.Module
    """Its output is the layer's response (Fig. 7)."""


def convolutions(net: nn.Module) -> list[Layer]:
    """The 3x3 convolutions in the order of the net, the first one included; projections of shortcuts are none of them."""
    modules = dict(net.named_modules())
    return [
        Layer(name, module, modules[_of_norm(name)])
        for name, module in modules.items()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]


def _of_norm(name: str) -> str:
    """`layer1.0.conv2` is followed by `layer1.0.bn2`."""
    before, _, number = name.rpartition("conv")
    return f"{before}bn{number}"

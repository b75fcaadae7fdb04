"""Parameters and multiply-adds in closed form, from the paper's description of each net and from nothing else.

This is the second opinion on fvcore's count: no module, no tensor and no import of ours but the names of nets. A multiply-add
is one multiplication and one addition of a convolution or of a fully connected layer (section 3.3); biases, batch norm,
activations, pooling and the shortcut's addition cost none. Parameters include batch norm's gain and bias.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from models.arch import Arch, blocks_per_stage


@dataclass(frozen=True)
class Layer:
    """A convolution (k x k, on an output map of side `side`) or, with side 1 and k 1, a fully connected layer."""

    k: int
    c_in: int
    c_out: int
    side: int
    batch_norm: bool = True
    bias: bool = False

    @property
    def parameters(self) -> int:
        return self.k**2 * self.c_in * self.c_out + self.c_out * (2 * self.batch_norm + self.bias)

    @property
    def multiply_adds(self) -> int:
        return self.k**2 * self.c_in * self.c_out * self.side**2

    @property
    def outputs(self) -> int:
        return self.c_out * self.side**2


@dataclass(frozen=True)
class Count:
    """Parameters, and multiply-adds of one image: of the convolutions, and with the fully connected layers."""

    parameters: int
    multiply_adds: int
    conv_multiply_adds: int


@cache
def count(arch: Arch) -> Count:
    """Count a net of the paper: CIFAR nets on 32x32, all others on 224x224 images."""
    layers = _layers(arch)
    return Count(
        sum(layer.parameters for layer in layers),
        sum(layer.multiply_adds for layer in layers),
        sum(layer.multiply_adds for layer in _convolutions(layers)),
    )


def with_offsets(arch: Arch) -> int:
    """Parameters of the net where offsets alone are left of its batch norm."""
    return sum(layer.parameters - layer.c_out * layer.batch_norm for layer in _layers(arch))


def conv_outputs(arch: Arch) -> int:
    """Numbers that all convolutions of a net put out for one image, projections of shortcuts included."""
    return sum(layer.outputs for layer in _convolutions(_layers(arch)))


def _layers(arch: Arch) -> list[Layer]:
    return list({"cifar": _cifar, "imagenet": _imagenet, "vgg": _vgg}[arch.family](arch))


def _convolutions(layers: list[Layer]) -> list[Layer]:
    return [layer for layer in layers if not layer.bias or layer.k > 1]


def _projection(arch: Arch, c_in: int, c_out: int, side: int, changes_shape: bool) -> Iterator[Layer]:
    if arch.shortcut == "C" or (arch.shortcut == "B" and changes_shape):
        yield Layer(1, c_in, c_out, side)


def _pairs(arch: Arch, stages: list[tuple[int, int, int]], c_in: int) -> Iterator[Layer]:
    """Stages of (width, blocks, side) made of two 3x3 convolutions a block."""
    for i, (width, blocks, side) in enumerate(stages):
        for j in range(blocks):
            yield Layer(3, c_in, width, side)
            yield Layer(3, width, width, side)
            yield from _projection(arch, c_in, width, side, changes_shape=i > 0 and j == 0)
            c_in = width


def _cifar(arch: Arch) -> Iterator[Layer]:
    n = blocks_per_stage(arch.depth)
    yield Layer(3, 3, 16, 32)
    yield from _pairs(arch, [(16, n, 32), (32, n, 16), (64, n, 8)], 16)
    yield Layer(1, 64, 10, 1, batch_norm=False, bias=True)


_TABLE_1 = {
    18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3),
}  # fmt: skip


def _imagenet(arch: Arch) -> Iterator[Layer]:
    yield Layer(7, 3, 64, 112)
    stages = list(zip((64, 128, 256, 512), _TABLE_1[arch.depth], (56, 28, 14, 7), strict=True))
    if arch.depth < 50:
        yield from _pairs(arch, stages, 64)
    else:
        yield from _triples(arch, stages)
    yield Layer(1, 512 if arch.depth < 50 else 2048, 1000, 1, batch_norm=False, bias=True)


def _triples(arch: Arch, stages: list[tuple[int, int, int]]) -> Iterator[Layer]:
    """Stages of bottlenecks: 1x1, 3x3, 1x1, the last with four times the width."""
    c_in = 64
    for i, (width, blocks, side) in enumerate(stages):
        for j in range(blocks):
            strides = i > 0 and j == 0
            before = 2 * side if strides and arch.stride_in == "3x3" else side
            yield Layer(1, c_in, width, before)
            yield Layer(3, width, width, side)
            yield Layer(1, width, 4 * width, side)
            yield from _projection(arch, c_in, 4 * width, side, changes_shape=j == 0)
            c_in = 4 * width


def _vgg(arch: Arch) -> Iterator[Layer]:
    repeats = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}[arch.depth]
    c_in = 3
    for width, n, side in zip((64, 128, 256, 512, 512), repeats, (224, 112, 56, 28, 14), strict=True):
        for _ in range(n):
            yield Layer(3, c_in, width, side, batch_norm=False, bias=True)
            c_in = width
    for a, b in ((512 * 7 * 7, 4096), (4096, 4096), (4096, 1000)):
        yield Layer(1, a, b, 1, batch_norm=False, bias=True)

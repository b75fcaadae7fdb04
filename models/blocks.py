"""The building blocks of section 3: pairs and triples of convolutions, with or without a shortcut around them.

One block class serves the plain and the residual net of a depth, so that their state dicts have the same keys and the
only difference between them is the addition (section 3.3: "the residual net is the plain net with shortcuts inserted").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ShortcutOption = Literal["A", "B", "C"]
SHORTCUT_OPTIONS: tuple[ShortcutOption, ...] = ("A", "B", "C")
StrideIn = Literal["1x1", "3x3"]
Init = Literal["fan_in", "fan_out"]
Norm = Callable[[int], nn.Module]


def conv(c_in: int, c_out: int, size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias (it is batch norm's beta), padded so that stride 1 keeps the map's size."""
    return nn.Conv2d(c_in, c_out, size, stride=stride, padding=size // 2, bias=False)


class GhostBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose training statistics are taken over groups of `group` images, as on several GPUs.

    The paper trained CIFAR nets on two GPUs, 64 images each, and batch norm saw 64. Running statistics follow the
    first group, as they follow the first GPU in data-parallel training. Evaluation is ordinary batch norm.
    """

    def __init__(self, channels: int, group: int) -> None:
        super().__init__(channels)
        if group < 2:
            raise ValueError(f"a batch-norm group of {group} images has no variance: try 2 or more")
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) -> (N,C,H,W)."""
        if not self.training or len(x) <= self.group:
            return super().forward(x)
        first, *others = x.split(self.group)
        normalised = [super().forward(first)]
        normalised += [F.batch_norm(g, None, None, self.weight, self.bias, True, 0.0, self.eps) for g in others]
        return torch.cat(normalised)


class Offset(nn.Module):
    """What is left of batch norm without the normalisation: an offset for each channel, zero at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) -> (N,C,H,W)."""
        return x + self.bias[:, None, None]


class ZeroPad(nn.Module):
    """Shortcut option A: every second pixel of every second row, and zeros for the new channels. No parameters.

    The zeros stand half before and half behind the old channels. Where they stand is a permutation of channels, hence
    of no consequence for training; this is the order that released CIFAR weights use.
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        before = (c_out - c_in) // 2
        self.padding = (0, 0, 0, 0, before, c_out - c_in - before)

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) -> (N,C',H/stride,W/stride)."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], self.padding)


def shortcut(option: ShortcutOption, c_in: int, c_out: int, stride: int, norm: Norm) -> nn.Module | None:
    """The shortcut around a block (section 3.3 and Table 3), None for the identity.

    A: identity, zero-padded where the shape changes. B: a 1x1 projection where it changes. C: a projection everywhere.
    """
    same_shape = stride == 1 and c_in == c_out
    if option == "C" or (option == "B" and not same_shape):
        return nn.Sequential(conv(c_in, c_out, 1, stride), norm(c_out))
    return None if same_shape else ZeroPad(c_in, c_out, stride)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (Fig. 2; Fig. 5 left). `option=None` is the plain net's pair."""

    expansion = 1

    def __init__(
        self, c_in: int, width: int, stride: int, option: ShortcutOption | None, norm: Norm, stride_in: StrideIn = "1x1"
    ) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(c_in, width, 3, stride), norm(width)
        self.conv2, self.bn2 = conv(width, width, 3), norm(width)
        self.residual = option is not None
        self.downsample = shortcut(option, c_in, width, stride, norm) if option else None

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) -> (N,width,H/stride,W/stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        if self.residual:
            y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions (Fig. 5 right). The paper strides in the first 1x1; later libraries in the 3x3."""

    expansion = 4

    def __init__(
        self, c_in: int, width: int, stride: int, option: ShortcutOption | None, norm: Norm, stride_in: StrideIn = "1x1"
    ) -> None:
        super().__init__()
        c_out = width * self.expansion
        self.conv1, self.bn1 = conv(c_in, width, 1, stride if stride_in == "1x1" else 1), norm(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride if stride_in == "3x3" else 1), norm(width)
        self.conv3, self.bn3 = conv(width, c_out, 1), norm(c_out)
        self.residual = option is not None
        self.downsample = shortcut(option, c_in, c_out, stride, norm) if option else None

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) -> (N,4*width,H/stride,W/stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        if self.residual:
            y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


def stage(
    block: type[BasicBlock] | type[Bottleneck],
    c_in: int,
    width: int,
    blocks: int,
    stride: int,
    option: ShortcutOption | None,
    norm: Norm,
    stride_in: StrideIn = "1x1",
) -> nn.Sequential:
    """`blocks` blocks of one width; the first one strides. (N,c_in,H,W) -> (N,width*expansion,H/stride,W/stride)."""
    first = block(c_in, width, stride, option, norm, stride_in)
    rest = [block(width * block.expansion, width, 1, option, norm, stride_in) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


def check_option(option: str | None) -> None:
    """Raise ValueError, saying what would work, unless `option` is a shortcut option of the paper or None (plain)."""
    if option is not None and option not in SHORTCUT_OPTIONS:
        raise ValueError(f"shortcut option {option!r} is none of the paper's: try A, B or C, or None for a plain net")


def batch_norm(group: int | None = None) -> Norm:
    """Batch norm over the whole batch, or over groups of `group` images."""
    return nn.BatchNorm2d if group is None else lambda channels: GhostBatchNorm2d(channels, group)


def initialise(net: nn.Module, mode: Init = "fan_in") -> None:
    """He normal weights (reference [13] of the paper) for convolutions and the classifier, unit batch norm, zero biases.

    [13] allows fan-in (its equation 10) and fan-out; the paper does not say which.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            nn.init.zeros_(module.bias)


def load_weights(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state dict strictly; a leading `module.` of data-parallel training is accepted.

    Raises RuntimeError, naming keys and shapes, where it does not fit.
    """
    net.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})

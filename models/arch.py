"""The names of nets: family, depth, plain or residual, shortcut option. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

Family = Literal["cifar", "imagenet", "vgg"]
Shortcut = Literal["A", "B", "C"]
DEEPEST = 10_000
"""Layers of a net, at most."""


def blocks_per_stage(depth: int) -> int:
    """n of depth 6n+2 (section 4.2): pairs of convolutions per stage. Raises ValueError, naming the neighbours."""
    n, rest = divmod(depth - 2, 6)
    if rest or n < 1:
        near = [d for d in (depth - rest, depth - rest + 6) if d >= 8] or [8]
        raise ValueError(f"depth {depth} is not 6n+2: try {' or '.join(map(str, near))}")
    return n


@dataclass(frozen=True)
class Arch:
    """A net. `shortcut` None is the plain net (or VGG, which has no other kind)."""

    family: Family
    depth: int
    shortcut: Shortcut | None = None
    stride_in: Literal["1x1", "3x3"] = "1x1"
    """Where a bottleneck strides: the first 1x1 as in the paper, or the 3x3 as in later libraries."""

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= DEEPEST:
            raise ValueError(f"depth {self.depth} is out of range: give one from 1 to {DEEPEST:,}")
        if self.family == "cifar":
            blocks_per_stage(self.depth)

    @property
    def residual(self) -> bool:
        return self.shortcut is not None

    @property
    def name(self) -> str:
        """`resnet-56-A`, `plain-56`, `imagenet-resnet-50-B`, `vgg-16`: what `--only` globs match."""
        if self.family == "vgg":
            return f"vgg-{self.depth}"
        kind = f"resnet-{self.depth}-{self.shortcut}" if self.residual else f"plain-{self.depth}"
        suffix = "-stride3x3" if self.stride_in == "3x3" else ""
        return ("imagenet-" if self.family == "imagenet" else "") + kind + suffix

    @property
    def label(self) -> str:
        """The paper's way of writing it: `ResNet-56`, `plain-56`, `VGG-16`."""
        if self.family == "vgg":
            return f"VGG-{self.depth}"
        return f"ResNet-{self.depth}" if self.residual else f"plain-{self.depth}"

    @property
    def title(self) -> str:
        """`plain-34`, `ResNet-56`, `ResNet-34 B`: with the option where the paper's own table of such nets names it."""
        named = self.residual and (self.family == "imagenet" or self.shortcut in ("B", "C"))
        return self.label + (f" {self.shortcut}" if named else "")


_ARCH_NAME = re.compile(r"(imagenet-)?(?:(plain)-(\d+)|resnet-(\d+)-([ABC]))(-stride3x3)?|vgg-(\d+)")


def parse_arch(name: str) -> Arch:
    """The Arch of a name such as `resnet-56-A`. Raises ValueError, saying what would work."""
    match = _ARCH_NAME.fullmatch(name)
    if not match:
        raise ValueError(f"{name!r} is no net: try resnet-56-A, plain-20, imagenet-resnet-50-B or vgg-16")
    imagenet, _plain, plain_depth, residual_depth, option, stride, vgg_depth = match.groups()
    if vgg_depth:
        return Arch("vgg", int(vgg_depth))
    family: Family = "imagenet" if imagenet else "cifar"
    return Arch(family, int(plain_depth or residual_depth), cast(Shortcut | None, option), "3x3" if stride else "1x1")

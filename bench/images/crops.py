"""The training images of section 3.4: which ones make up an iteration, how each is scaled, cropped, flipped and coloured.

Everything random here is a pure function of (seed, iteration, place in the batch). That is what makes a resumed run the
same run, whatever the number of processes that share a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.errors import UserError
from bench.images.decode import channels_last, resize_shorter, scaled
from bench.runs.datasets import IMAGENET

SCALE = (256, 480)
"""The shorter side of a training image, both ends included."""
CROP = IMAGENET.side

Way = Literal["whole", "box"]
"""How a crop is made: out of the whole image, resized, to the letter; or out of the part of it that the crop shows."""

EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
"""Of the RGB values of ImageNet's training images, 0..1; (3 channels, 3 vectors). Our choice: the paper says "the standard
color augmentation in [21]", and [21] prints no numbers. These are fb.resnet.torch's (`Lighting`)."""
COLOUR_STD = 0.1

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Draw:
    """For each image of a batch; all (batch,) unless said otherwise."""

    index: Array
    """Into the images, int64."""
    size: Array
    """Shorter side in pixels, int64."""
    y: Array
    """Where the crop lies between the top (0) and the bottom (1) of where it can, float64; the images' sizes are not known
    yet."""
    x: Array
    """The same from left to right."""
    flip: Array
    """Bool."""
    colour: Array
    """(batch,3) float32: what is added to R, G and B, 0..1."""


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, images: int) -> Array:
    """Every image once, in random order: (images,) int64."""
    order: Array = _generator(seed, 0, epoch).permutation(images)
    order.flags.writeable = False
    return order


def batch_draw(
    seed: int, iteration: int, batch: int, images: int, scale: tuple[int, int] = SCALE, crop: int = CROP
) -> Draw:
    """The draws of iteration `iteration`, counted from 0, for a whole batch.

    Epochs follow one another without a gap, so that every batch is full: 600,000 iterations of 256 are 119.9 epochs of
    1,281,167 images. Raises UserError where the crop does not fit into the smallest image.
    """
    if scale[0] < crop:
        raise UserError(f"a crop of {crop} does not fit into a shorter side of {scale[0]}: choose a longer one")
    place = np.arange(iteration * batch, (iteration + 1) * batch)
    epochs = np.unique(place // images)
    index = np.concatenate([epoch_order(seed, int(e), images)[place[place // images == e] % images] for e in epochs])
    rng = _generator(seed, 1, iteration)
    size = rng.integers(scale[0], scale[1] + 1, size=batch)
    y, x = rng.random((2, batch))
    flip = rng.integers(0, 2, size=batch, dtype=np.int8).astype(bool)
    colour = colour_noise(rng.normal(0, COLOUR_STD, size=(batch, 3)))
    return Draw(index, size, y, x, flip, colour)


def _generator(seed: int, purpose: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, purpose, number])))


def colour_noise(alpha: Array) -> Array:
    """Section 4.1 of Krizhevsky et al. (2012): the RGB eigenvectors, each times its eigenvalue and its alpha. (N,3)."""
    noise: Array = (alpha * EIGENVALUES) @ EIGENVECTORS.T
    return noise.astype(np.float32)


def share(draw: Draw, rank: int, count: int) -> Draw:
    """The part of a batch that process `rank` of `count` sees: (batch,) -> (batch/count,). Raises UserError."""
    size, rest = divmod(len(draw.index), count)
    if rest:
        raise UserError(f"a batch of {len(draw.index)} cannot be shared by {count} processes: choose a divisor")
    mine = slice(rank * size, (rank + 1) * size)
    return Draw(*(getattr(draw, field.name)[mine] for field in fields(Draw)))


def crop_of(image: Tensor, size: int, y: float, x: float, flip: bool, crop: int = CROP, way: Way = "box") -> Tensor:
    """One training image without its colour noise, shorter side `size`: (3,H,W) -> (3,crop,crop), both uint8."""
    height, width = scaled(image.shape[1], image.shape[2], size)
    top, left = int(y * (height - crop + 1)), int(x * (width - crop + 1))
    if way == "whole":
        image = resize_shorter(image, size)[:, top : top + crop, left : left + crop]
    else:
        image = _resize_box(image, (height, width), top, left, crop)
    return image.flip(2) if flip else image


def _resize_box(image: Tensor, size: tuple[int, int], top: int, left: int, crop: int) -> Tensor:
    """What the crop shows of `image` resized to `size`, without resizing the rest: (3,H,W) -> (3,crop,crop)."""
    rows, columns = (_slice(image.shape[1], size[0], top, crop), _slice(image.shape[2], size[1], left, crop))
    part = channels_last(image[:, rows.start : rows.stop, columns.start : columns.stop])
    part = F.interpolate(part, scale_factor=(rows.factor, columns.factor), mode="bilinear", antialias=True)[0]
    return part[:, rows.before : rows.before + crop, columns.before : columns.before + crop]


@dataclass(frozen=True)
class _Slice:
    """Source pixels `start` to `stop`, which times `factor` give `before` pixels, then the crop, then a few more."""

    start: int
    stop: int
    factor: float
    before: int


NEAR = 32
"""Pixels before a crop among which its slice may begin."""
ENOUGH, TOO_FAR = 1 / 64, 1 / 16
"""Source pixels by which the grids may miss each other: at which the search ends, and above which it has failed."""


def _slice(source: int, target: int, start: int, crop: int) -> _Slice:
    """Along one axis: the slice of `source` pixels that shows pixels `start` to `start` + `crop` of `target`.

    A resized slice has the pixels of the resized whole if it begins where a pixel of the source and one of the target
    begin at the same place. So it begins a little earlier than it must, where the two grids all but meet, or else at the
    border, where they do; with more than the width of the filter before and behind the crop.
    """
    step = source / target
    factor = target / source * (1 + 1e-9)  # a product with a whole number must not fall short of the whole number it is
    margin = 1 + math.ceil(max(1.0, 1 / step))
    stop = min(source, math.ceil((start + crop + margin) * step))
    best, error = _Slice(0, source, factor, start), TOO_FAR
    nearest = max(0, start - margin)
    for first in range(nearest, max(-1, nearest - NEAR), -1):
        begin = round(first * step)
        off = abs(begin - first * step)
        if off >= error:
            continue
        resized = int((stop - begin) * factor)
        copied = resized == stop - begin and source != target  # torch would take it as it is
        if resized >= start - first + crop and not copied:
            best, error = _Slice(begin, stop, factor, start - first), off
            if error < ENOUGH:
                break
    return best


def finish(
    images: Tensor,
    colour: Tensor | None,
    mean: Tensor,
    std: Tensor,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """A batch as the net sees it: (N,3,H,W) uint8 -> (N,3,H,W) float32, all on the device where the images lie.

    `colour` (N,3) is added to the pixels, 0..1, None in a test; `mean` and `std` are of the channels, (3,), 0..1.
    """
    shift = -mean.expand(len(images), 3) if colour is None else colour - mean
    factor, shift = 1 / (255 * std), shift / std  # (3,), (N,3)
    x = images.to(torch.float32, memory_format=memory_format)
    if memory_format != torch.channels_last:
        return x.mul_(factor[:, None, None]).add_(shift[:, :, None, None])
    width = x.shape[3]
    rows = x.permute(0, 2, 3, 1).view(len(x), -1, 3 * width)  # (N,H,3W): three values at a time are slow on a CPU
    torch.addcmul(shift.repeat(1, width)[:, None], rows, factor.repeat(width), out=rows)
    return x

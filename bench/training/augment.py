"""Which images make up an iteration, and how they are shifted and flipped: whole batches at a time.

Everything random here is a pure function of (seed, iteration). That is what makes a resumed run the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.images.memory import Images
from bench.images.normalise import Normaliser
from bench.runs.spec import CifarRecipe


@dataclass(frozen=True)
class Draw:
    """For each image of a batch or an epoch: its index, the crop's offset (0..2*padding), and whether it is flipped."""

    index: Tensor
    dy: Tensor
    dx: Tensor
    flip: Tensor

    def packed(self) -> Tensor:
        """All of it in one tensor (4,N) int64, to be sent to a device at once."""
        return torch.stack([self.index, self.dy, self.dx, self.flip.long()])

    @staticmethod
    def unpacked(packed: Tensor) -> Draw:
        """The inverse of `packed`."""
        index, dy, dx, flip = packed
        return Draw(index, dy, dx, flip.bool())


SEED_OF_STATISTICS = 1 << 31
"""Draws the crops over which batch norm's statistics are averaged: other ones than those of any iteration. Images as they are
would not do, since a net that has seen crops alone has other statistics on them."""


@lru_cache(maxsize=2)  # two, for a batch of two epochs; a run that takes its batches in order keeps its epoch itself
def epoch_draw(seed: int, epoch: int, images: int, padding: int) -> Draw:
    """The draws of one epoch: every image once, in random order, offsets and flips uniform. All (images,)."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))
    order = rng.permutation(images)
    offsets = rng.integers(0, 2 * padding + 1, size=(2, images))
    flip = rng.integers(0, 2, size=images, dtype=np.int8).astype(bool)
    return Draw(*map(torch.from_numpy, (order, offsets[0], offsets[1], flip)))


def batch_draw(seed: int, iteration: int, batch: int, images: int, padding: int) -> Draw:
    """The draws of iteration `iteration`, counted from 0; all (batch,)."""
    return Draw.unpacked(
        packed_draw(iteration, batch, images, lambda epoch: epoch_draw(seed, epoch, images, padding).packed())
    )


def packed_draw(iteration: int, batch: int, images: int, drawn: Callable[[int], Tensor]) -> Tensor:
    """The same, packed (4,batch), out of the packed draws of its epochs (4,images), wherever those lie.

    Epochs follow one another without a gap, so that every batch is full: 64,000 iterations of 128 are 163.84 epochs of
    50,000 images.
    """
    parts = []
    position, end = iteration * batch, (iteration + 1) * batch
    while position < end:
        epoch, start = divmod(position, images)
        stop = min(images, start + end - position)
        parts.append(drawn(epoch)[:, start:stop])
        position += stop - start
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


class Augmenter:
    """Section 4.2: pad each side, take a random crop of the padded image or of its horizontal flip."""

    def __init__(self, train: Images, normaliser: Normaliser, recipe: CifarRecipe) -> None:
        self.labels, self.normaliser, self.recipe = train.labels, normaliser, recipe
        self.height, self.width = train.images.shape[-2:]
        p = recipe.crop_padding
        self.windows = self._windows(train.padded(p))  # (N,3,2p+1,2p+1,H,W)
        self.mean_windows = self._windows(F.pad(normaliser.mean[None], (p, p, p, p)))[0]  # (3,2p+1,2p+1,H,W)

    def _windows(self, padded: Tensor) -> Tensor:
        """Every crop of padded images, as a view: (N,3,H+2p,W+2p) -> (N,3,2p+1,2p+1,H,W)."""
        return padded.unfold(2, self.height, 1).unfold(3, self.width, 1)

    def __call__(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """A batch as the net sees it: (N,3,H,W) float32 and its labels (N,). The draw lies where the images do."""
        index, dy, dx = draw.index, draw.dy, draw.dx
        images = self.windows[index, :, dy, dx]
        moves = (
            self.recipe.padding_value == "mean"
        )  # the mean moves with the image, and the padding becomes 0 = the mean
        mean = self.mean_windows[:, dy, dx].transpose(0, 1) if moves else self.normaliser.mean
        x = self.normaliser.finish(images, mean)
        if self.recipe.flip:
            x = torch.where(draw.flip[:, None, None, None], x.flip(3), x)
        return x, self.labels[index]

"""The batches of a run, made ahead of it by worker processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.errors import UserError
from bench.images.crops import CROP, SCALE, Draw, Way, batch_draw, crop_of, share
from bench.images.decode import BrokenImage, read
from bench.images.folder import ImageList

AHEAD = 2
"""Batches that a worker makes before they are asked for."""


class Batch(NamedTuple):
    """What one process sees of an iteration, n images. `crops.finish` makes of it what the net sees."""

    images: Tensor
    """(n,3,crop,crop) uint8, channels last in memory, pinned where there is CUDA."""
    labels: Tensor
    """(n,) int64."""
    colour: Tensor
    """(n,3) float32, to be added to pixels of 0..1."""


@dataclass(frozen=True)
class Draws:
    """What is random in iterations `start` to `stop`-1 of process `rank` of `count`, drawn as it is asked for."""

    seed: int
    batch: int
    """Of all processes together."""
    images: int
    start: int
    stop: int
    scale: tuple[int, int]
    crop: int
    rank: int
    count: int

    def __iter__(self) -> Iterator[Draw]:
        for iteration in range(self.start, self.stop):
            draw = batch_draw(self.seed, iteration, self.batch, self.images, self.scale, self.crop)
            yield share(draw, self.rank, self.count)


class Crops(Dataset[Any]):
    """A draw to its batch; this is what worker processes hold."""

    def __init__(self, images: ImageList, crop: int, way: Way, flip: bool) -> None:
        self.images, self.crop, self.way, self.flip = images, crop, way, flip

    def __getitem__(self, draw: Draw) -> Batch | BrokenImage:
        """The batch, or the first image in it that cannot be decoded."""
        pixels = torch.empty((len(draw.index), self.crop, self.crop, 3), dtype=torch.uint8)
        for n, index in enumerate(draw.index.tolist()):
            try:
                image = read(self.images.path(index))
            except BrokenImage as error:
                return error
            flip = self.flip and bool(draw.flip[n])
            crop = crop_of(image, int(draw.size[n]), draw.y[n], draw.x[n], flip, self.crop, self.way)
            pixels[n] = crop.permute(1, 2, 0)  # (crop,crop,3)
        labels = torch.from_numpy(self.images.labels[draw.index])
        return Batch(pixels.permute(0, 3, 1, 2), labels, torch.from_numpy(draw.colour))


class Loader:
    """The batches of iterations `start` to `stop`-1, in order, for process `rank` of `count`; an iterator.

    They depend on everything but `workers`, `start`, `rank` and `count`: a resumed run goes on with the images that it would
    have seen, and several processes see together what one would. At most `AHEAD` batches for each worker wait in memory;
    with `workers=0` each is made when it is asked for. Use it in a `with`, or `close` it: its workers end then.

    Raises UserError, at the latest from the first `next`, where the processes cannot share the batch or the crop does not
    fit, and from `next` where an image cannot be decoded.
    """

    def __init__(
        self,
        images: ImageList,
        seed: int,
        batch: int,
        start: int,
        stop: int,
        workers: int,
        *,
        way: Way = "box",
        scale: tuple[int, int] = SCALE,
        crop: int = CROP,
        flip: bool = True,
        rank: int = 0,
        count: int = 1,
    ) -> None:
        draws = Draws(seed, batch, len(images), start, stop, scale, crop, rank, count)
        self.seconds_waited = 0.0
        """By the consumer, for batches, the start of the workers included."""
        self._batches: Iterator[Any] | None = in_workers(
            Crops(images, crop, way, flip), draws, workers, pin=torch.cuda.is_available()
        )

    def __iter__(self) -> Loader:
        return self

    def __next__(self) -> Batch:
        if self._batches is None:
            raise StopIteration
        began = time.monotonic()
        try:
            found = next(self._batches)
        except StopIteration:
            self.close()
            raise
        finally:
            self.seconds_waited += time.monotonic() - began
        if isinstance(found, BrokenImage):
            self.close()
            raise UserError(f"{found}: mend or replace it and give the same command again")
        return Batch(*found)

    def close(self) -> None:
        """End the workers. What they have made ahead is lost."""
        self._batches = None  # the last reference: torch ends them

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def in_workers(dataset: Dataset[Any], items: Iterable[Any], workers: int, pin: bool = False) -> Iterator[Any]:
    """`dataset[item]` for each item, in order, by `workers` processes, or by this one where it is 0.

    It draws from no generator of the caller's. With `pin`, tensors come in memory that a GPU can fetch by itself.
    """
    return iter(
        DataLoader(
            dataset,
            batch_size=None,
            sampler=items,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=pin,
            prefetch_factor=AHEAD if workers else None,
            worker_init_fn=_hear_nobody_else,
            generator=torch.Generator(),
        )
    )


def _as_it_is(made: Any) -> Any:
    return made


def _hear_nobody_else(worker: int) -> None:
    """Ctrl-C and Slurm's SIGTERM reach every process of a job; the one that trains decides, and still needs its workers.

    Its own SIGTERM must end them: that is how Python ends processes that are still there when it exits.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_wait_for_parents_word, daemon=True).start()


def _wait_for_parents_word() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)

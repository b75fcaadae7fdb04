"""Where batches come from, and what a net is tested on: one face for images in memory and images in folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bench.device.precision import autocast
from bench.device.processes import ALONE, Processes
from bench.images.memory import Dataset, Images
from bench.images.normalise import Normaliser
from bench.runs.folder import RunFolder
from bench.runs.spec import CifarRecipe
from bench.testing.error_rate import error_rate
from bench.training.augment import SEED_OF_STATISTICS, Augmenter, Draw, epoch_draw, packed_draw


class Feed(Protocol):
    """What the loop needs of a data set. Of several processes each has its own; they take parts of the same batches."""

    device: torch.device
    """Where its batches are."""
    train_images: int
    test_images: int

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the run's provenance should say of the data."""

    @property
    def seconds_waited(self) -> float:
        """For data, since the feed was made."""

    def begin(self, iteration: int, seed: int) -> None:
        """Get ready for `iteration` and those that follow."""

    def batch(self) -> tuple[Tensor, Tensor]:
        """This process's part of the next iteration: images (n,3,H,W) as the net sees them, and labels (n,)."""

    def test_error(self, net: nn.Module) -> float:
        """Top-1 error in percent on the images that are reported on. All processes must ask, with the same net."""

    def validation_error(self, net: nn.Module) -> float | None:
        """The same on held-out training images, where there are some."""

    def train_error(self, net: nn.Module) -> float | None:
        """The same on the whole training set, not augmented; None where that is too much."""

    def average_statistics(self, net: nn.Module, trained: bool) -> None:
        """Replace batch norm's moving averages by plain averages over training images.

        `trained`: after the last iteration, over all that the recipe says; else over few, or not at all where that takes long.
        """

    def after(self, net: nn.Module, run: RunFolder, should_stop: Callable[[], bool]) -> None:
        """Whatever else is measured of the trained net, into the run's folder. Raises Interrupted."""

    def close(self) -> None:
        """End whatever loads in the background."""


STATISTICS_BATCHES = 10
"""Of which batch norm's statistics are averaged while a net is trained: moving averages are too old, not of too few images."""


class MemoryFeed:
    """CIFAR-10 or the digits, whole on the device; batches are made there."""

    seconds_waited = 0.0
    facts: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        recipe: CifarRecipe,
        data: Dataset,
        device: torch.device,
        processes: Processes = ALONE,
        judges_training: bool = True,
    ) -> None:
        """`judges_training`: whether a net is tested on the whole training set when it asks for it."""
        self.recipe, self.processes, self.device, self.judges_training = recipe, processes, device, judges_training
        self.data = data.to(device)
        self.train, self.test, self.validation = self.data.train, self.data.test, self.data.validation
        self.train_images, self.test_images = len(self.train), len(self.test)
        self.normalise = Normaliser(self.train, recipe)
        self._augment = Augmenter(self.train, self.normalise, recipe)
        self.iteration = self.seed = 0
        self._epoch: tuple[int, Tensor] | None = None

    @property
    def share(self) -> int:
        """Images of this process in each batch."""
        return self.recipe.batch // self.processes.count

    def begin(self, iteration: int, seed: int) -> None:
        self.iteration, self.seed, self._epoch = iteration, seed, None

    def batch(self) -> tuple[Tensor, Tensor]:
        return self.augment(self.next_draw())

    def next_draw(self) -> Tensor:
        """What the next iteration takes, of this process's part of the batch: a packed draw (4,n) on the device."""
        draw = packed_draw(self.iteration, self.recipe.batch, self.train_images, self._drawn)
        self.iteration += 1
        return draw[:, self.processes.slice(self.recipe.batch)]

    def _drawn(self, epoch: int) -> Tensor:
        """The packed draw of an epoch, sent to the device when the epoch begins rather than batch by batch."""
        if self._epoch is None or self._epoch[0] != epoch:
            draw = epoch_draw(self.seed, epoch, self.train_images, self.recipe.crop_padding)
            self._epoch = epoch, draw.packed().to(self.device)
        return self._epoch[1]

    def augment(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        """The images of a packed draw as the net sees them, and their labels, all on the device."""
        return self._augment(Draw.unpacked(packed))

    def test_error(self, net: nn.Module) -> float:
        return self._error(net, self.test)

    def validation_error(self, net: nn.Module) -> float | None:
        return self._error(net, self.validation) if self.validation else None

    def train_error(self, net: nn.Module) -> float | None:
        return self._error(net, self.train) if self.judges_training else None

    def _error(self, net: nn.Module, data: Images) -> float:
        return error_rate(net, data, self.normalise, self.recipe.precision, self.processes)

    def average_statistics(self, net: nn.Module, trained: bool) -> None:
        batch = self.recipe.batch
        draw = epoch_draw(SEED_OF_STATISTICS, 0, self.train_images, self.recipe.crop_padding).packed().to(self.device)
        batches = draw.split(batch, 1)[: self.train_images // batch if trained else STATISTICS_BATCHES]
        with autocast(self.device, self.recipe.precision):
            torch.optim.swa_utils.update_bn((self.augment(part)[0] for part in batches), net)

    def after(self, net: nn.Module, run: RunFolder, should_stop: Callable[[], bool]) -> None:
        pass

    def close(self) -> None:
        pass

"""ImageNet, and any folder of images, as the loop wants it: batches made by worker processes, tests by the 1-crop."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.device.precision import autocast
from bench.device.processes import ALONE, Processes
from bench.errors import Interrupted, UserError
from bench.images import crops, folder, protocols, scan
from bench.images.folder import ImageList
from bench.images.loader import Batch, Loader
from bench.images.normalise import IMAGENET_MEAN, IMAGENET_STD
from bench.runs import provenance
from bench.runs.datasets import IMAGENET
from bench.runs.folder import RunFolder
from bench.runs.scores import Score, read_scores, write_scores
from bench.runs.spec import ImageNetRecipe, Spec
from bench.training.augment import SEED_OF_STATISTICS
from bench.training.source import Source


class FolderFeed:
    """The images of one run. Decoding is what it costs, so that `seconds_waited` says whether the net waits for data."""

    def __init__(
        self,
        recipe: ImageNetRecipe,
        train: ImageList,
        val: ImageList,
        device: torch.device,
        workers: int,
        processes: Processes = ALONE,
        skipped: dict[str, int] | None = None,
    ) -> None:
        """`skipped` is how many images of train and val were left out because they cannot be decoded."""
        if len(train) < recipe.batch:
            raise UserError(f"{train.root}: {len(train)} images are fewer than the batch of {recipe.batch}: add images")
        self.recipe, self.train, self.val, self.device = recipe, train, val, device
        self.workers, self.processes = workers, processes
        self.train_images, self.test_images = len(train), len(val)
        self.facts = {"skipped_images": skipped} if skipped and any(skipped.values()) else {}
        std = IMAGENET_STD if recipe.normalise == "imagenet" else (1.0, 1.0, 1.0)
        self.mean = torch.tensor(IMAGENET_MEAN, device=device)
        self.std = torch.tensor(std, device=device)
        channels_last = recipe.memory_format == "channels_last"
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.loader: Loader | Again | None = None
        self._waited = 0.0

    @property
    def seconds_waited(self) -> float:
        return self._waited + (self.loader.seconds_waited if self.loader else 0.0)

    def begin(self, iteration: int, seed: int) -> None:
        if iteration < self.recipe.iterations:
            self.loader = self._load(seed, self.recipe.batch, iteration, self.recipe.iterations)

    def _load(self, seed: int, batch: int, start: int, stop: int) -> Loader:
        r, p = self.recipe, self.processes
        return Loader(
            self.train, seed, batch, start, stop, self.workers,
            way=r.resize, scale=r.scale, crop=r.crop, flip=r.flip, rank=p.rank, count=p.count,
        )  # fmt: skip

    def batch(self) -> tuple[Tensor, Tensor]:
        assert self.loader is not None
        found = next(self.loader)
        return self._finish(found.images, found.colour), found.labels.to(self.device, non_blocking=True)

    def _finish(self, images: Tensor, colour: Tensor) -> Tensor:
        noise = colour.to(self.device, non_blocking=True) if self.recipe.colour == "pca" else None
        return crops.finish(images.to(self.device, non_blocking=True), noise, self.mean, self.std, self.format)

    def test_error(self, net: nn.Module) -> float:
        return self.scores(net, [protocols.ONE_CROP])[protocols.ONE_CROP.name].top1

    def scores(
        self, net: nn.Module, how: list[protocols.Protocol], should_stop: Callable[[], bool] = lambda: False
    ) -> dict[str, Score]:
        """Wrong images of the val folder by each protocol. Raises Interrupted once `should_stop()` holds."""

        def look(done: int, of: int) -> None:
            if should_stop():
                raise Interrupted(f"stopped in the test, at {done} of {of} images")

        return protocols.evaluate(
            net, self.val, self.val.labels, how, (self.mean, self.std), self.device, self.processes, self.workers,
            self.recipe.precision, look,
        )  # fmt: skip

    def validation_error(self, net: nn.Module) -> float | None:
        return None

    def train_error(self, net: nn.Module) -> float | None:
        return None  # a second pass over 1.28 million images; the running error of the last epoch is reported

    @torch.no_grad()
    def average_statistics(self, net: nn.Module, trained: bool) -> None:
        """Plain averages of mean and variance over training images, each process its part (the authors' notes)."""
        if not trained:
            return
        layers = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a cumulative average
        training = net.training
        net.train()
        group = self.recipe.bn_group or self.recipe.batch
        batch = group * self.processes.count
        with self._load(SEED_OF_STATISTICS, batch, 0, max(1, self.recipe.bn_images // batch)) as loader:
            for found in loader:
                with autocast(self.device, self.recipe.precision):
                    net(self._finish(found.images, found.colour))
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            for average in (layer.running_mean, layer.running_var):
                assert average is not None
                self.processes.total(average).div_(self.processes.count)
        net.train(training)

    def after(self, net: nn.Module, run: RunFolder, should_stop: Callable[[], bool]) -> None:
        """Test the trained net by every protocol, one after another, and keep each score as soon as it is there."""
        found = read_scores(run.evaluation) if run.evaluation.exists() else {}
        for how in (protocols.ONE_CROP, protocols.TEN_CROP, protocols.MULTI_SCALE):
            if how.name not in found:
                found.update(self.scores(net, [how], should_stop))
                if self.processes.first:
                    write_scores(run.evaluation, found)

    def close(self) -> None:
        if self.loader:
            self._waited += self.loader.seconds_waited
            self.loader.close()
            self.loader = None


def open_folder(
    spec: Spec,
    source: Source,
    device: torch.device,
    processes: Processes,
    look: Callable[[int, int], None] | None = None,
) -> FolderFeed:
    """The feed of a run on the images in a folder, every one of which has been decoded once before.

    `look` gets how many of how many images have been looked at. Raises UserError where folders are missing, are not
    those of the spec, or hold images that cannot be decoded.
    """
    recipe, data, workers = spec.recipe, source.folder, cores() if source.workers is None else source.workers
    assert isinstance(recipe, ImageNetRecipe)
    train, val = folder.find(data)
    if spec.dataset == "imagenet" and len(train.classes) != IMAGENET.classes:
        raise UserError(
            f"--data {data}: {len(train.classes)} class folders, and ImageNet has {IMAGENET.classes}: "
            "give ImageNet's folder, or --dataset imagefolder"
        )
    if spec.dataset.startswith("imagefolder-") and spec.dataset != f"imagefolder-{train.digest[:8]}":
        raise UserError(f"--data {data}: these are not the images that the run was planned for: plan it again")
    if processes.first:  # it looks, and the others read what it has found
        for split in (train, val):
            scan.preflight(split, cache_folder(), look, workers)
    processes.wait()
    sound, skipped = [], {}
    for split in (train, val):
        images, count = scan.raise_or_skip(split, scan.preflight(split, cache_folder()), source.skip_broken)
        sound.append(images)
        skipped[split.root.name] = count
    return FolderFeed(recipe, sound[0], sound[1], device, workers, processes, skipped)


class Again:
    """One batch again and again, in place of a loader."""

    seconds_waited = 0.0

    def __init__(self, batch: Batch) -> None:
        self.made = batch

    def __next__(self) -> Batch:
        return self.made

    def close(self) -> None:
        pass


def of_random_images(recipe: ImageNetRecipe, device: torch.device) -> FolderFeed:
    """A feed that hands out one random batch again and again, at no cost: for timing a net without its images."""
    size = (recipe.batch, recipe.crop, recipe.crop, 3)
    pixels = torch.randint(0, 256, size, dtype=torch.uint8).permute(0, 3, 1, 2)
    parts = [pixels, torch.randint(0, recipe.classes, size[:1]), torch.zeros(recipe.batch, 3)]
    nothing = folder.pack(Path(), ("", ""), np.zeros(recipe.batch, np.int64), [b""] * recipe.batch)
    feed = FolderFeed(recipe, nothing, nothing, device, workers=0)
    feed.loader = Again(Batch(*(part.pin_memory() if device.type == "cuda" else part for part in parts)))
    return feed


def random_test(net: nn.Module, recipe: ImageNetRecipe, device: torch.device) -> Callable[[], Tensor]:
    """A batch of the 1-crop test, of random images that lie decoded on the device: the labels that the net finds, (N,)."""
    feed = of_random_images(recipe, device)
    images = list(torch.randint(0, 256, (recipe.batch, 3, 256, 256), dtype=torch.uint8, device=device))

    @torch.inference_mode()
    def test() -> Tensor:
        with autocast(device, recipe.precision):
            return protocols.outputs_of_crops(net, images, 1, (feed.mean, feed.std))[:, 0].argmax(1)

    return test


def cache_folder() -> Path:
    """Where what was learnt of folders of images is kept, for all results folders."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnet-bench"


def cores() -> int:
    """Cores of this process: Slurm's word for it, or what the machine lets it use."""
    return int(given) if (given := os.environ.get("SLURM_CPUS_PER_TASK", "")).isdigit() else provenance.cores()

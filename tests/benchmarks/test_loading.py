"""How many ImageNet images one core makes ready for the net: ours beside the two usual ways. Measured, never asserted."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from PIL import Image

from bench.images import folder
from bench.images.crops import CROP, SCALE, Way, batch_draw, finish
from bench.images.folder import ImageList
from bench.images.loader import Batch, Crops

SAMPLE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "imagenet-sample"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ROUNDS, BATCH = 21, 40


@pytest.fixture(scope="module")
def images() -> ImageList:
    if not SAMPLE.is_dir():
        pytest.skip("needs ImageNet images: shared/data/imagenet-sample/val/<wnid>/*.JPEG beside the checkout")
    return folder.find_val(SAMPLE)


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def measure(benchmark: Any, images: ImageList, make_all: Callable[[], None]) -> None:
    """Time `make_all`, which makes every image once; seconds of the core are kept beside those of the clock."""
    core: list[float] = []

    def timed() -> None:
        random.seed(0)
        torch.manual_seed(0)
        began = time.process_time()
        make_all()
        core.append(time.process_time() - began)

    benchmark.pedantic(timed, rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info.update(
        images=len(images),
        images_per_second=round(len(images) / benchmark.stats.stats.median, 1),
        images_per_core_second=round(len(images) / median(core[1:]), 1),
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )


@pytest.mark.parametrize("way", ["box", "whole"])
def test_loading_ours(benchmark: Any, images: ImageList, way: Way) -> None:
    """Decode, crop and flip into batches of uint8, then colour and normalise the batch; all on the one core."""
    crops, mean, std = Crops(images, CROP, way, flip=True), torch.tensor(MEAN), torch.tensor(STD)

    def make_all() -> None:
        for iteration in range(len(images) // BATCH):
            batch = crops[batch_draw(0, iteration, BATCH, len(images))]
            assert isinstance(batch, Batch)
            finish(batch.images, batch.colour, mean, std, torch.channels_last)

    measure(benchmark, images, make_all)
    if way == "box":
        benchmark.extra_info["difference"] = difference(images)


def difference(images: ImageList) -> tuple[float, float]:
    """Mean and largest difference of box from whole crops over one draw of every image, in grey levels."""
    box, whole = (Crops(images, CROP, way, flip=True) for way in ("box", "whole"))
    total, largest, pixels = 0.0, 0.0, 0
    for iteration in range(len(images) // BATCH):
        draw = batch_draw(1, iteration, BATCH, len(images))
        one, other = box[draw], whole[draw]
        assert isinstance(one, Batch)
        assert isinstance(other, Batch)
        off = (one.images.int() - other.images.int()).abs()
        total, largest, pixels = total + float(off.sum()), max(largest, float(off.max())), pixels + off.numel()
    return total / pixels, largest


def test_loading_usual(benchmark: Any, images: ImageList) -> None:
    """The paper's crop image by image, as it is usually written. Without colour noise."""
    from torchvision import transforms as T

    rest = T.Compose([T.RandomCrop(CROP), T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize(MEAN, STD)])

    def make_all() -> None:
        for i in range(len(images)):
            image = Image.open(images.path(i)).convert("RGB")
            rest(T.functional.resize(image, random.randint(*SCALE)))

    measure(benchmark, images, make_all)


def test_loading_reference(benchmark: Any, images: ImageList) -> None:
    """torchvision's reference training, which takes another crop."""
    from torchvision import transforms as T

    whole = T.Compose([T.RandomResizedCrop(CROP), T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize(MEAN, STD)])

    def make_all() -> None:
        for i in range(len(images)):
            whole(Image.open(images.path(i)).convert("RGB"))

    measure(benchmark, images, make_all)

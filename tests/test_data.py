"""Data and augmentation: genuine CIFAR-10, the bundled digits, and batches that equal the image-by-image definition."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench.errors import UserError
from bench.images import memory
from bench.images.memory import Images
from bench.images.normalise import Normaliser
from bench.runs.spec import CifarRecipe
from bench.training.augment import Augmenter, Draw, batch_draw, epoch_draw


def images(count: int = 40, side: int = 8) -> Images:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.arange(count) % 10)


def replace_file(link: Path, content: bytes) -> None:
    """Put a file in the place of a link. Never write through the link: behind it lie somebody's data."""
    assert link.is_symlink()
    link.unlink()
    link.write_bytes(content)


def test_cifar10_is_whole(cifar10_folder: Path) -> None:
    loaded = memory.load("cifar10", cifar10_folder)
    assert loaded.train.images.shape == (50_000, 3, 32, 32)
    assert loaded.test.images.shape == (10_000, 3, 32, 32)
    assert loaded.train.images.dtype == torch.uint8
    assert torch.bincount(loaded.train.labels).tolist() == [5_000] * 10
    assert torch.bincount(loaded.test.labels).tolist() == [1_000] * 10
    held_out = memory.load("cifar10", cifar10_folder / "cifar-10-batches-py", "val45k")
    assert (len(held_out.train), len(held_out.validation or [])) == (45_000, 5_000)


def test_digits_are_those_of_the_package_and_split_the_same_way_each_time() -> None:
    from sklearn.datasets import load_digits

    one, two, theirs = memory.digits(), memory.digits(), load_digits()
    assert (len(one.train), len(one.test)) == (1_438, 359)
    assert torch.equal(one.test.images, two.test.images)
    test = torch.arange(len(theirs.target)) % 5 == 4
    assert torch.equal(one.test.labels, torch.from_numpy(theirs.target)[test])
    assert torch.equal(one.train.labels, torch.from_numpy(theirs.target)[~test])
    grey = torch.from_numpy((theirs.images * (255 / 16)).round().astype("uint8"))
    assert torch.equal(one.test.images[:, 1], grey[test])
    assert torch.equal(one.train.images[:, 2], grey[~test])


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "no cifar-10-batches-py in it: give --download"),
        (lambda folder: (folder / "data_batch_3").unlink(), "cifar-10-batches-py/data_batch_3 is missing"),
        (
            lambda folder: replace_file(folder / "test_batch", b"\0" * 99),
            r"test_batch is damaged \(99 bytes, wrong checksum\)",
        ),
        (
            lambda folder: replace_file(folder / "data_batch_1", (folder / "data_batch_1").read_bytes()[:-1]),
            r"data_batch_1 is damaged \(31035703 bytes",
        ),
    ],
)
def test_damaged_cifar10_is_named(cifar10_folder: Path, tmp_path: Path, prepare, message: str) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in (cifar10_folder / "cifar-10-batches-py").iterdir():
        (folder / file.name).symlink_to(file)
    prepare(folder)
    with pytest.raises(UserError, match=message):
        memory.load("cifar10", tmp_path)


def test_a_download_that_fails_says_where_to_put_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens on port 9 of this machine: the download is refused, as it is without a network."""
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(
        UserError, match=r"could not be downloaded \(.*\): put the folder cifar-10-batches-py"
    ) as caught:
        memory.load("cifar10", tmp_path, download=True)
    assert "\n" not in str(caught.value)


def test_an_epoch_shows_every_image_once_and_batches_are_full() -> None:
    n, batch = 50, 16
    drawn = torch.cat([batch_draw(7, i, batch, n, 4).index for i in range(25)])  # 400 = 8 epochs
    for epoch in range(8):
        assert sorted(drawn[epoch * n : (epoch + 1) * n].tolist()) == list(range(n))
    assert not torch.equal(drawn[:n], drawn[n : 2 * n])


def test_a_batch_is_a_pure_function_of_seed_and_iteration() -> None:
    first = batch_draw(3, 1000, 128, 50_000, 4)
    for iteration in (5, 999, 77_000):
        batch_draw(4, iteration, 128, 50_000, 4)
    epoch_draw.cache_clear()
    again = batch_draw(3, 1000, 128, 50_000, 4)
    assert all(torch.equal(getattr(first, f), getattr(again, f)) for f in ("index", "dy", "dx", "flip"))
    assert not torch.equal(first.index, batch_draw(4, 1000, 128, 50_000, 4).index)


def test_offsets_and_flips_are_uniform() -> None:
    """Chi-square over all 162 combinations of offset and flip, at a level that fails once in a million times."""
    from scipy.stats import chisquare

    draw = epoch_draw(0, 0, 50_000, 4)
    counts = torch.bincount((draw.dy * 9 + draw.dx) * 2 + draw.flip.long(), minlength=162)
    assert len(counts) == 162
    assert chisquare(counts.numpy()).pvalue > 1e-6
    assert chisquare(torch.bincount(draw.dy * 9 + draw.dx + (draw.dy == 4), minlength=90).numpy() + 1e-9).pvalue < 1e-6


@pytest.mark.parametrize("padding_value", ["mean", "black"])
@pytest.mark.parametrize("normalise", ["per-pixel", "per-channel", "imagenet"])
def test_batches_equal_the_image_by_image_definition(padding_value: str, normalise: str) -> None:
    recipe = replace(CifarRecipe(), padding_value=padding_value, normalise=normalise)  # type: ignore[arg-type]
    source = images()
    normaliser = Normaliser(source, recipe)
    draw = batch_draw(2, 3, 16, len(source), 4)
    batch, labels = Augmenter(source, normaliser, recipe)(draw)
    for i in range(16):
        index, dy, dx = int(draw.index[i]), int(draw.dy[i]), int(draw.dx[i])
        pixels = source.images[index].float() / 255
        if padding_value == "mean":
            crop = F.pad(pixels - normaliser.mean, (4, 4, 4, 4))[:, dy : dy + 8, dx : dx + 8]
        else:
            crop = F.pad(pixels, (4, 4, 4, 4))[:, dy : dy + 8, dx : dx + 8] - normaliser.mean
        expected = crop / normaliser.std
        torch.testing.assert_close(batch[i], expected.flip(-1) if draw.flip[i] else expected, rtol=1e-5, atol=1e-6)
        assert labels[i] == source.labels[index]


def test_the_mean_of_each_pixel_becomes_zero() -> None:
    source = images()
    normalised = Normaliser(source, CifarRecipe())(source.images)
    assert normalised.mean(0).abs().max() < 1e-6
    per_channel = Normaliser(source, replace(CifarRecipe(), normalise="per-channel"))(source.images)
    torch.testing.assert_close(per_channel.std((0, 2, 3), correction=0), torch.ones(3), rtol=1e-4, atol=0)
    assert per_channel.mean(0).abs().max() > 1e-3


def test_no_flip_means_no_flip() -> None:
    source = images(4)
    recipe = replace(CifarRecipe(), crop_padding=0, flip=False)
    normaliser = Normaliser(source, recipe)
    everything = Draw(
        torch.arange(4), torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64), torch.ones(4) > 0
    )
    batch, _ = Augmenter(source, normaliser, recipe)(everything)
    torch.testing.assert_close(batch, normaliser(source.images))
    flipped, _ = Augmenter(source, normaliser, replace(recipe, flip=True))(everything)
    torch.testing.assert_close(flipped, normaliser(source.images).flip(3))


def test_seeds_differ() -> None:
    orders = {tuple(epoch_draw(seed, 0, 20, 4).index.tolist()) for seed in range(20)}
    assert len(orders) == 20
    assert np.mean([epoch_draw(seed, 0, 20, 4).flip.float().mean() for seed in range(20)]) == pytest.approx(
        0.5, abs=0.1
    )

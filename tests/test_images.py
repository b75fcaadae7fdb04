"""Folders of images to batches: real ImageNet images against PIL and torchvision, and draws that can be repeated."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from bench.errors import UserError
from bench.images import crops, folder, scan
from bench.images.crops import Draw, batch_draw, crop_of, finish, share
from bench.images.decode import BrokenImage, read, resize_shorter, scaled
from bench.images.folder import ImageList
from bench.images.loader import Batch, Loader

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture(scope="session")
def sample(shared: Path) -> ImageList:
    """200 genuine images of ImageNet's validation set."""
    place = shared / "data" / "imagenet-sample"
    if not place.is_dir():
        pytest.skip("needs ImageNet images: shared/data/imagenet-sample/val/<wnid>/*.JPEG")
    return folder.find_val(place)


@pytest.fixture(scope="session")
def photograph(sample: ImageList) -> Image.Image:
    """A real image in colour, wider than high."""
    image = Image.open(sample.path(0))
    image.load()
    assert image.mode == "RGB"
    assert image.width > image.height
    return image


def touch(root: Path, *names: str) -> None:
    """Listing does not look into files."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


SPLITS = ("train/cat/1.jpg", "train/dog/2.JPEG", "train/dog/1.png", "val/cat/3.jpg", "val/dog/4.jpg")


def pil(path: Path) -> torch.Tensor:
    """What PIL makes of a file, the way up that EXIF says: (3,H,W) uint8."""
    with Image.open(path) as image:
        return torch.from_numpy(np.array(ImageOps.exif_transpose(image).convert("RGB"))).permute(2, 0, 1)


def levels(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean absolute difference in grey levels, 0..255."""
    assert one.shape == other.shape
    assert one.dtype == other.dtype == torch.uint8
    return (one.int() - other.int()).abs().float().mean().item()


# Folders


def test_a_split_is_listed_as_torchvision_lists_it(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    names = ["b/2.JPEG", "b/10.jpg", "b/deep/1.Png", "b/a.txt", "a/é.webp", "a/z.TIFF", "a b/x.jpg", "b/deep/er/q.bmp"]
    touch(tmp_path / "val", *names)
    listed, theirs = folder.find_val(tmp_path), ImageFolder(str(tmp_path / "val"))
    assert listed.classes == tuple(theirs.classes)
    assert [(str(listed.path(i)), int(listed.labels[i])) for i in range(len(listed))] == theirs.samples
    assert listed.labels.dtype == np.int64
    assert len(listed) == 7


def test_the_sample_is_listed_as_torchvision_lists_it(sample: ImageList) -> None:
    from torchvision.datasets import ImageFolder

    assert [(str(sample.path(i)), int(sample.labels[i])) for i in range(200)] == ImageFolder(str(sample.root)).samples


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, *SPLITS, "train/.ipynb_checkpoints/1.jpg", "train/cat/._1.jpg")
    train, _ = folder.find(tmp_path)
    assert train.classes == ("cat", "dog")
    assert len(train) == 3


@pytest.mark.parametrize("place", [".", "imagenet", "ILSVRC2012"])
def test_both_splits_are_found_in_the_folder_or_one_below(tmp_path: Path, place: str) -> None:
    touch(tmp_path / place, *SPLITS)
    train, val = folder.find(tmp_path)
    assert (train.root, val.root) == (tmp_path / place / "train", tmp_path / place / "val")
    assert [train.path(i).name for i in range(3)] == ["1.jpg", "1.png", "2.JPEG"]
    assert train.labels.tolist() == [0, 1, 1]
    assert folder.find_val(tmp_path).digest == folder.find_val(tmp_path / place / "val").digest == val.digest


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/cat/1.jpg", "train/dog/1.jpg"], "no folder val in it: give the folder that holds train/<class>"),
        (["cat/1.jpg", "dog/1.jpg"], "no folder train and val in it"),
        ([*SPLITS[:3], "val/cat/a.txt"], r"no images in \S+/val/<class>: give"),
        ([*SPLITS[:3], "val/1.JPEG"], r"the images in \S+/val are not in class folders: put each into"),
        ([*SPLITS, "train/emu/a.txt"], r"no images in \S+/train/emu: fill or delete"),
        (["train/cat/1.jpg", "val/cat/1.jpg"], r"only one class, \S+/train/cat: classification needs two"),
        ([*SPLITS, "val/a/1.jpg", "val/b/1.jpg"], r"differ \(only in val: a, b\): each class needs"),
        (
            [*SPLITS, *(f"train/{c}/1.jpg" for c in "vwxyz"), "val/a/1.jpg"],
            r"\(only in train: v, w, x and 2 more; only in val: a\)",
        ),
        ([f"{home}/{name}" for home in ("one", "two") for name in SPLITS], r"2 data sets in it \(one, two\): give"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_in_one_line(tmp_path: Path, names: list[str], message: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(UserError, match=message) as caught:
        folder.find(tmp_path)
    assert str(caught.value).startswith(f"--data {tmp_path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    for find in (folder.find, folder.find_val):
        with pytest.raises(UserError, match=f"--data {tmp_path}/none: no such folder"):
            find(tmp_path / "none")


def test_the_digest_names_the_data_set_and_not_its_place(tmp_path: Path) -> None:
    touch(tmp_path / "here", *SPLITS)
    touch(tmp_path / "there" / "deeper", *SPLITS)
    here, there = folder.find(tmp_path / "here")[0], folder.find(tmp_path / "there" / "deeper")[0]
    assert here.digest == there.digest
    assert re.fullmatch("[0-9a-f]{64}", here.digest)
    assert here.only([0, 1]).digest != here.digest
    (tmp_path / "here" / "train" / "cat" / "1.jpg").rename(tmp_path / "here" / "train" / "cat" / "7.jpg")
    assert folder.find(tmp_path / "here")[0].digest != here.digest


def test_a_selection_keeps_order_labels_and_classes(tmp_path: Path) -> None:
    touch(tmp_path, *SPLITS)
    train, _ = folder.find(tmp_path)
    chosen = train.only([2, 0])
    assert [chosen.path(i) for i in range(len(chosen))] == [train.path(2), train.path(0)]
    assert chosen.labels.tolist() == [1, 0]
    assert chosen.classes == train.classes
    for outside in (-1, 2):
        with pytest.raises(IndexError):
            chosen.path(outside)


WNIDS = [f"n{number:08}" for number in range(0, 3000, 3)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wnids.txt", "\n".join(WNIDS)),
        ("imagenet_class_index.json", str({str(i): [w, "a name"] for i, w in enumerate(WNIDS)}).replace("'", '"')),
        ("LOC_synset_mapping.txt", "\n".join(f"{w} a name, another" for w in reversed(WNIDS))),
    ],
)
def test_labels_of_some_of_imagenets_classes(tmp_path: Path, name: str, text: str) -> None:
    touch(tmp_path / "val", *(f"{wnid}/{n}.JPEG" for wnid in (WNIDS[7], WNIDS[999]) for n in "ab"))
    images = folder.find_val(tmp_path)
    with pytest.raises(UserError, match=r"2 class folders of ImageNet's 1000: put wnids\.txt, .* beside them"):
        folder.imagenet_labels(images)
    (tmp_path / name).write_text(text)
    assert folder.imagenet_labels(images).tolist() == [7, 7, 999, 999]
    (tmp_path / name).write_text(text.replace(WNIDS[7], "n99999999"))
    with pytest.raises(UserError, match=f"{WNIDS[7]} not among the wnids of"):
        folder.imagenet_labels(images)
    (tmp_path / name).write_text(text.replace(WNIDS[8], ""))
    with pytest.raises(UserError, match=f"{name} names 999 wnids: it must name ImageNet's 1000"):
        folder.imagenet_labels(images)


def test_all_of_imagenets_classes_need_no_file(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{wnid}/a.JPEG" for wnid in WNIDS))
    assert folder.imagenet_labels(folder.find_val(tmp_path)).tolist() == list(range(1000))
    touch(tmp_path / "other", "n00000001/a.jpg", "cat/a.jpg")
    with pytest.raises(UserError, match="must be named by wnids such as n01440764, not cat"):
        folder.imagenet_labels(folder.find_val(tmp_path / "other"))


# Files to pixels


def test_genuine_images_are_what_pil_makes_of_them(sample: ImageList) -> None:
    modes = set()
    for i in range(200):
        with Image.open(sample.path(i)) as image:
            modes.add(image.mode)
        assert levels(read(sample.path(i)), pil(sample.path(i))) < 0.5
    assert modes == {"RGB", "L"}
    assert levels(read(sample.path(0)), pil(sample.path(0)).flip(0)) > 5


def cmyk(image: Image.Image, path: Path) -> None:
    image.convert("CMYK").save(path, quality=95)
    assert b"Adobe" in path.read_bytes()[:200]  # inverted, as Adobe writes it


def cmyk_without_adobe(image: Image.Image, path: Path) -> None:
    cmyk(image, path)
    data = path.read_bytes()
    start = data.index(b"\xff\xee")
    path.write_bytes(data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4]) :])


def see_through(image: Image.Image, path: Path) -> None:
    image = image.copy()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(path)


def sixteen_bits(image: Image.Image, path: Path) -> None:
    Image.fromarray(np.array(image.convert("L")).astype(np.uint16) * 257).save(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("grey.jpg", lambda image, path: image.convert("L").save(path)),
        ("progressive.jpg", lambda image, path: image.save(path, progressive=True)),
        ("cmyk.jpg", cmyk),
        ("cmyk without adobe.jpg", cmyk_without_adobe),
        ("palette.png", lambda image, path: image.convert("P").save(path)),
        ("alpha.png", see_through),
        ("grey alpha.png", lambda image, path: image.convert("LA").save(path)),
        ("one bit.png", lambda image, path: image.convert("1").save(path)),
        ("png inside.JPEG", lambda image, path: image.save(path, format="PNG")),
        (
            "animation.jpg",
            lambda image, path: image.save(path, "GIF", save_all=True, append_images=[ImageOps.invert(image)]),
        ),
        ("a.webp", lambda image, path: image.save(path)),
        ("a.tiff", lambda image, path: image.save(path)),
        ("a.bmp", lambda image, path: image.save(path)),
        ("a.ppm", lambda image, path: image.save(path)),
        ("tiny.jpg", lambda image, path: image.resize((1, 1)).save(path)),
    ],
)
def test_every_kind_of_file(
    tmp_path: Path, photograph: Image.Image, name: str, write: Callable[[Image.Image, Path], object]
) -> None:
    write(photograph, tmp_path / name)
    assert levels(read(tmp_path / name), pil(tmp_path / name)) < 0.5


def test_cmyk_has_the_colours_of_the_photograph(tmp_path: Path, photograph: Image.Image) -> None:
    cmyk(photograph, tmp_path / "cmyk.jpg")
    photograph.save(tmp_path / "rgb.jpg", quality=95)
    assert levels(read(tmp_path / "cmyk.jpg"), read(tmp_path / "rgb.jpg")) < 3
    assert levels(255 - read(tmp_path / "cmyk.jpg"), read(tmp_path / "rgb.jpg")) > 20


@pytest.mark.parametrize("name", ["16.png", "16.tiff"])
def test_sixteen_bits_become_eight(tmp_path: Path, photograph: Image.Image, name: str) -> None:
    sixteen_bits(photograph, tmp_path / name)
    grey = torch.from_numpy(np.array(photograph.convert("L"))).expand(3, -1, -1)
    assert torch.equal(read(tmp_path / name), grey)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation(tmp_path: Path, photograph: Image.Image, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    photograph.save(path, exif=exif, quality=95)
    assert levels(read(path), pil(path)) < 0.5
    as_stored = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)
    assert (orientation == 1) == (as_stored.shape == read(path).shape and levels(read(path), as_stored) < 0.5)


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95, 0.999])
def test_a_truncated_image_is_named(tmp_path: Path, sample: ImageList, kept: float) -> None:
    data, path = sample.path(0).read_bytes(), tmp_path / "cut off.JPEG"
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(BrokenImage, match=r"cut off\.JPEG cannot be decoded \(.*truncated") as caught:
        read(path)
    assert caught.value.path == path
    path.write_bytes(data)
    assert read(path).shape[0] == 3


@pytest.mark.parametrize(
    ("data", "why"), [(b"", "empty file"), (b"no image " * 99, "no image"), (None, "No such file or directory")]
)
def test_what_is_no_image_is_named(tmp_path: Path, data: bytes | None, why: str) -> None:
    path = tmp_path / "a.JPEG"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BrokenImage) as caught:
        read(path)
    assert str(caught.value) == str(pickle.loads(pickle.dumps(caught.value))) == f"{path} cannot be decoded ({why})"


@pytest.mark.parametrize("size", [64, 256, 480])
def test_resizing_is_torchvisions(sample: ImageList, size: int) -> None:
    from torchvision.transforms.functional import resize

    for i in (0, 1, 2, 50, 120):
        theirs = torch.from_numpy(np.array(resize(Image.open(sample.path(i)).convert("RGB"), size))).permute(2, 0, 1)
        ours = resize_shorter(read(sample.path(i)), size)
        assert levels(ours, theirs) < 0.5
        assert min(ours.shape[1:]) == size


# What is broken


@pytest.fixture
def copies(tmp_path: Path, sample: ImageList) -> ImageList:
    """Six real images, one of them cut off."""
    for i in range(6):
        place = tmp_path / "val" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sample.path(i), place / f"{i}.JPEG")
    cut = tmp_path / "val" / "b" / "3.JPEG"
    cut.write_bytes(cut.read_bytes()[:5_000])
    return folder.find_val(tmp_path)


def test_preflight_decodes_all_once_and_what_has_changed_again(
    tmp_path: Path, copies: ImageList, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def watched(path: Path) -> torch.Tensor:
        decoded.append(path.name)
        return read(path)

    monkeypatch.setattr(scan, "read", watched)

    def look(images: ImageList = copies) -> tuple[list[int], list[str]]:
        decoded.clear()
        said: list[tuple[int, int]] = []
        broken = scan.preflight(images, tmp_path / "cache", lambda *counts: said.append(counts))
        assert said[-1] == (len(images), len(images))
        return broken.tolist(), sorted(decoded)

    assert look() == ([4], [f"{i}.JPEG" for i in range(6)])
    assert look() == ([4], ["3.JPEG"])  # what is broken may have been mended without a trace
    changed = copies.path(0)
    changed.write_bytes(changed.read_bytes()[:3_000])
    assert look() == ([0, 4], ["0.JPEG", "3.JPEG"])
    copies.path(1).unlink()
    assert look()[0] == [0, 1, 4]
    assert look(copies.only([2, 3]))[1] == ["1.JPEG", "4.JPEG"]  # another data set
    for cache in (tmp_path / "cache").iterdir():
        cache.write_text(cache.read_text()[:100])
    assert len(look()[1]) == 5  # all that are there
    monkeypatch.setattr(scan, "FORMAT", 2)
    assert len(look()[1]) == 5


def test_preflight_in_processes_is_the_same(tmp_path: Path, copies: ImageList, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "AT_ONCE", 2)
    assert scan.preflight(copies, tmp_path / "cache", workers=2).tolist() == [4]


def test_preflight_keeps_what_it_has_done_when_it_is_stopped(
    tmp_path: Path, copies: ImageList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "AT_ONCE", 1)

    def stop(done: int, of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan.preflight(copies, tmp_path / "cache", stop)
    decoded: list[Path] = []
    monkeypatch.setattr(scan, "read", decoded.append)
    scan.preflight(copies, tmp_path / "cache")
    assert decoded == [copies.path(i) for i in (3, 4, 5)]


def test_broken_images_are_refused_or_skipped(copies: ImageList) -> None:
    broken = np.array([4])
    with pytest.raises(
        UserError, match=r"1 of 6 images cannot be decoded, first \S+/val/b/3\.JPEG \(.*truncated.*\): "
    ):
        scan.raise_or_skip(copies, broken, skip=False)
    left, skipped = scan.raise_or_skip(copies, broken, skip=True)
    assert skipped == 1
    assert [left.path(i).name for i in range(5)] == ["0.JPEG", "2.JPEG", "4.JPEG", "1.JPEG", "5.JPEG"]
    assert left.labels.tolist() == [0, 0, 0, 1, 1]
    assert left.classes == copies.classes
    assert scan.raise_or_skip(copies, np.array([], np.int64), skip=False) == (copies, 0)
    with pytest.raises(UserError, match=r"6 of 6 images cannot be decoded, .*: replace them$"):
        scan.raise_or_skip(copies, np.arange(6), skip=True)


# Draws and crops


def same(one: Draw, other: Draw) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in Draw.__dataclass_fields__)


def test_a_draw_depends_on_seed_and_iteration_alone() -> None:
    first = [batch_draw(3, iteration, 8, 20) for iteration in range(6)]
    crops.epoch_order.cache_clear()
    np.random.seed(0)
    for iteration in reversed(range(6)):
        assert same(batch_draw(3, iteration, 8, 20), first[iteration])
    assert not np.array_equal(batch_draw(4, 0, 8, 20).index, first[0].index)
    assert not np.array_equal(batch_draw(4, 0, 8, 20).y, first[0].y)
    assert not np.array_equal(first[0].y, first[1].y)
    assert not np.array_equal(first[0].y, first[0].x)


@pytest.mark.parametrize(("batch", "images"), [(8, 20), (7, 20), (50, 20), (20, 20)])
def test_every_epoch_has_every_image_once_and_every_batch_is_full(batch: int, images: int) -> None:
    draws = [batch_draw(0, iteration, batch, images) for iteration in range(40)]
    assert {len(getattr(draw, name)) for draw in draws for name in Draw.__dataclass_fields__} == {batch}
    index = np.concatenate([draw.index for draw in draws])
    epochs = index[: len(index) // images * images].reshape(-1, images)
    assert (np.sort(epochs, axis=1) == np.arange(images)).all()
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


def test_draws_are_of_the_papers_ranges() -> None:
    draw = batch_draw(0, 0, 20_000, 20_000)
    assert (draw.size.min(), draw.size.max()) == (256, 480)
    assert abs(draw.size.mean() - 368) < 2
    assert 0 <= draw.y.min() < 0.001 < 0.999 < draw.y.max() < 1
    assert abs(draw.flip.mean() - 0.5) < 0.02
    assert (draw.flip.dtype, draw.index.dtype, draw.colour.dtype) == (np.bool_, np.int64, np.float32)
    with pytest.raises(UserError, match="a crop of 224 does not fit into a shorter side of 200"):
        batch_draw(0, 0, 2, 20, scale=(200, 480))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_shares_make_up_the_batch(count: int) -> None:
    draw = batch_draw(0, 3, 8, 20)
    shares = [share(draw, rank, count) for rank in range(count)]
    assert {len(part.index) for part in shares} == {8 // count}
    joined = [np.concatenate([getattr(part, name) for part in shares]) for name in Draw.__dataclass_fields__]
    assert same(Draw(*joined), draw)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UserError, match="a batch of 8 cannot be shared by 3 processes: choose a divisor"):
        share(batch_draw(0, 0, 8, 20), 0, 3)


def test_colour_noise_moves_along_the_eigenvectors() -> None:
    vectors, values = crops.EIGENVECTORS, crops.EIGENVALUES
    assert np.allclose(vectors.T @ vectors, np.eye(3), atol=2e-3)  # a digit mistyped would show
    assert np.allclose(crops.colour_noise(np.array([[1.0, 0, 0]])), [0.2175 * vectors[:, 0]])
    drawn = batch_draw(0, 0, 20_000, 20_000).colour @ vectors  # (N,3) along each vector
    assert np.allclose(drawn.std(axis=0), 0.1 * values, rtol=0.03)
    assert np.abs(drawn.mean(axis=0)).max() < 0.001


def test_the_whole_way_is_the_papers_words(sample: ImageList) -> None:
    """Section 3.4 step by step with PIL: resize, crop, mirror."""
    draw = batch_draw(0, 0, 12, 200)
    for n, index in enumerate(draw.index):
        image = Image.open(sample.path(index)).convert("RGB")
        height, width = scaled(image.height, image.width, int(draw.size[n]))
        top, left = int(draw.y[n] * (height - 223)), int(draw.x[n] * (width - 223))
        image = image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + 224, top + 224))
        image = ImageOps.mirror(image) if draw.flip[n] else image
        expected = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        assert levels(cropped(sample, draw, n, "whole"), expected) < 0.5


def cropped(images: ImageList, draw: Draw, n: int, way: crops.Way) -> torch.Tensor:
    place = int(draw.size[n]), draw.y[n], draw.x[n], bool(draw.flip[n])
    return crop_of(read(images.path(draw.index[n])), *place, way=way)


def test_a_box_crop_is_the_whole_ones_within_a_grey_level(sample: ImageList) -> None:
    draw = batch_draw(7, 0, 200, 200)
    pairs = [(cropped(sample, draw, n, "box"), cropped(sample, draw, n, "whole")) for n in range(0, 200, 2)]
    apart = [levels(box, whole) for box, whole in pairs]
    assert np.mean(apart) < 0.3
    assert max(apart) < 2
    assert np.mean([levels(box[:, 1:], whole[:, :-1]) for box, whole in pairs]) > 5  # one pixel further


@pytest.mark.parametrize("larger", [-3, -1, 0, 1, 2, 5])
def test_a_box_crop_of_an_image_that_has_the_size_already(sample: ImageList, larger: int) -> None:
    """torch copies what need not change its size, a slice of an image that is resized by one pixel, too."""
    image = read(sample.path(2))
    size = min(image.shape[1:]) + larger
    for y, x in [(0.1, 0.2), (0.5, 0.5), (0.9, 0.8)]:
        box, whole = (crop_of(image, size, y, x, False, way=way) for way in ("box", "whole"))
        assert levels(box, whole) < 0.5


def test_crops_at_every_border_and_of_every_size() -> None:
    rng = np.random.default_rng(0)
    for height, width in [(1, 1), (2, 300), (223, 225), (224, 224), (256, 256), (480, 640), (3000, 40)]:
        image = torch.zeros(3, height, width, dtype=torch.uint8)
        for y, x in [(0, 0), (1 - 1e-12, 1 - 1e-12), *rng.random((6, 2))]:
            size = int(rng.integers(224, 481))
            assert crop_of(image, size, y, x, False).shape == (3, 224, 224)


def test_a_slice_shows_its_crop_to_the_pixel() -> None:
    """Where a slice of source pixels begins, times the factor, is where its resized pixels are."""
    rng = np.random.default_rng(0)
    off = []
    for _ in range(3_000):
        source, target = int(rng.integers(20, 900)), int(rng.integers(224, 900))
        start = int(rng.integers(0, target - 223))
        found = crops._slice(source, target, start, 224)
        assert 0 <= found.start < found.stop <= source
        resized = int((found.stop - found.start) * found.factor)
        assert resized >= found.before + 224
        assert source == target or resized != found.stop - found.start
        off.append(abs(found.start - (start - found.before) * source / target))
        reach = max(1.0, source / target)  # of the filter, in source pixels
        assert found.start == 0 or found.start < (start + 0.5) * source / target - reach + 0.5
        assert found.stop == source or found.stop > (start + 223.5) * source / target + reach - 0.5
    assert max(off) < crops.TOO_FAR


@pytest.mark.parametrize("way", ["box", "whole"])
def test_a_flip_is_the_mirror_image(sample: ImageList, way: crops.Way) -> None:
    image = read(sample.path(1))
    straight, mirrored = (crop_of(image, 300, 0.3, 0.6, flip, way=way) for flip in (False, True))
    assert torch.equal(mirrored, straight.flip(2))
    assert not torch.equal(mirrored, straight)


def test_finishing_is_done_for_each_image_as_usual(sample: ImageList) -> None:
    from torchvision.transforms.functional import normalize, to_tensor

    draw = batch_draw(0, 0, 4, 200)
    images = torch.stack([cropped(sample, draw, n, "box") for n in range(4)])
    colour = torch.from_numpy(draw.colour)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        finished = finish(images, colour, MEAN, STD, memory_format)
        assert finished.is_contiguous(memory_format=memory_format)
        for n in range(4):
            pixels = to_tensor(images[n].permute(1, 2, 0).numpy()) + colour[n][:, None, None]
            assert torch.allclose(finished[n], normalize(pixels, MEAN.tolist(), STD.tolist()), atol=1e-5)
    plain = finish(images, None, MEAN, STD)
    shift = (finish(images, colour, MEAN, STD) - plain).mean((2, 3)) * STD
    assert torch.allclose(shift, colour, atol=1e-5)
    assert colour.abs().min() > 1e-5


# Batches


@pytest.fixture(scope="module")
def few(sample: ImageList) -> ImageList:
    return sample.only(range(0, 200, 10))


def batches(images: ImageList, start: int = 0, stop: int = 7, workers: int = 0, **options: Any) -> list[Batch]:
    with Loader(images, 0, 8, start, stop, workers, **options) as loader:
        return list(loader)


@pytest.fixture(scope="module")
def seven(few: ImageList) -> list[Batch]:
    """Seven batches of 8: two epochs of 20 images, and more."""
    return batches(few)


def equal(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)
    )


def test_a_batch_is_what_was_drawn(few: ImageList, seven: list[Batch]) -> None:
    draw, batch = batch_draw(0, 3, 8, 20), seven[3]
    assert (batch.images.shape, batch.images.dtype) == ((8, 3, 224, 224), torch.uint8)
    assert batch.labels.tolist() == few.labels[draw.index].tolist()
    assert torch.equal(batch.colour, torch.from_numpy(draw.colour))
    assert torch.equal(batch.images, torch.stack([cropped(few, draw, n, "box") for n in range(8)]))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_sees_the_same_batches(few: ImageList, seven: list[Batch], workers: int) -> None:
    assert equal(batches(few, start=4, workers=workers), seven[4:])
    assert not equal(batches(few, start=3, stop=6, workers=workers), seven[4:])


def test_processes_see_together_what_one_would(few: ImageList, seven: list[Batch]) -> None:
    parts = [batches(few, stop=3, rank=rank, count=2) for rank in range(2)]
    assert equal([Batch(*map(torch.cat, zip(*pair, strict=True))) for pair in zip(*parts, strict=True)], seven[:3])
    with pytest.raises(UserError, match="cannot be shared by 3"):
        batches(few, count=3)


def test_what_is_asked_of_a_loader_is_done(few: ImageList, seven: list[Batch]) -> None:
    draw = batch_draw(0, 0, 8, 20)
    straight = batches(few, stop=1, flip=False)[0].images
    assert torch.equal(
        torch.where(torch.from_numpy(draw.flip)[:, None, None, None], straight.flip(3), straight), seven[0][0]
    )
    assert 0 < levels(batches(few, stop=1, way="whole")[0].images, seven[0].images) < 1
    assert batches(few, stop=1, crop=64, scale=(64, 64))[0].images.shape == (8, 3, 64, 64)
    assert batches(few, start=3, stop=3) == []


def test_a_loader_draws_from_nobody_elses_generator(few: ImageList) -> None:
    before = torch.get_rng_state()
    batches(few, stop=1, workers=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_waiting_is_counted_and_working_is_not(few: ImageList) -> None:
    with Loader(few, 0, 8, 0, 3, workers=0) as loader:
        assert loader.seconds_waited == 0
        next(loader)
        waited = loader.seconds_waited
        assert waited > 0
        signal.sigtimedwait([], 0.05)  # the consumer at work
        assert loader.seconds_waited == waited
        next(loader)
        assert waited < loader.seconds_waited < waited + 10


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_breaks_in_mid_run_is_named(tmp_path: Path, copies: ImageList, workers: int) -> None:
    with (
        pytest.raises(UserError, match=r"^\S+/val/b/3\.JPEG cannot be decoded \(.*truncated.*\): mend or replace it"),
        Loader(copies, 0, 2, 0, 3, workers) as loader,
    ):
        list(loader)
    assert not multiprocessing.active_children()


def test_workers_outlive_others_signals_and_end_with_the_loader(few: ImageList, seven: list[Batch]) -> None:
    stranger = "import os, signal, sys; [os.kill(int(pid), signal.SIGTERM) for pid in sys.argv[1:]]"
    with Loader(few, 0, 8, 0, 7, workers=2) as loader:
        seen = [next(loader), next(loader)]
        workers = multiprocessing.active_children()
        assert len(workers) == 2
        subprocess.run(
            [sys.executable, "-c", stranger, *(str(worker.pid) for worker in workers)], check=True, timeout=60
        )
        for worker in workers:
            assert worker.pid
            os.kill(worker.pid, signal.SIGINT)
        seen += [next(loader) for _ in range(3)]
    assert equal(seen, seven[:5])
    assert not any(worker.is_alive() for worker in workers)
    assert list(loader) == []


def test_a_loader_that_nobody_closes_holds_nobody_up(sample: ImageList) -> None:
    """A run that fails keeps its loader in the traceback, and its process must end all the same."""
    lines = [
        "from pathlib import Path",
        "from bench.images import folder, loader",
        f"images = folder.find_val(Path({str(sample.root)!r}))",
        "batches = loader.Loader(images, 0, 8, 0, 99, workers=2)",
        "next(batches)",
        "raise SystemExit(7)",
    ]
    root = Path(__file__).resolve().parents[1]
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=root, timeout=60).returncode == 7

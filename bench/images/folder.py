"""Data sets of one folder for each class, as torchvision extracts ImageNet: `train/<class>/*` and `val/<class>/*`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.errors import UserError
from bench.runs.datasets import IMAGENET

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""torchvision.datasets.folder.IMG_EXTENSIONS, in either case."""

WNID_FILES = ("wnids.txt", "imagenet_class_index.json", "LOC_synset_mapping.txt")
WNID = re.compile(r"\bn\d{8}\b")

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ImageList:
    """The images of one split, in torchvision's order: by class, then by path.

    The paths lie in one array and not in a million strings: reading a string counts references to it, and the pages that
    worker processes share with their parent would be copied one after another over an epoch.
    """

    root: Path
    classes: tuple[str, ...]
    """Names of the class folders, sorted; a label is an index into them."""
    labels: Array
    """(N,) int64."""
    names: Array
    """Paths below `root`, end to end, uint8."""
    ends: Array
    """(N,) int64: where each path ends in `names`."""

    def __len__(self) -> int:
        return len(self.ends)

    def _name(self, i: int) -> bytes:
        start = self.ends[i - 1] if i else 0
        return self.names[start : self.ends[i]].tobytes()

    def path(self, i: int) -> Path:
        """Where image `i` (0..N-1) lies. Raises IndexError."""
        if not 0 <= i < len(self):
            raise IndexError(f"image {i} of {len(self)}")
        return self.root / os.fsdecode(self._name(i))

    def only(self, indices: Sequence[int] | Array) -> ImageList:
        """The images `indices`, in that order, with the same classes."""
        chosen = np.asarray(indices, dtype=np.int64)
        return pack(self.root, self.classes, self.labels[chosen], (self._name(i) for i in chosen.tolist()))

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the class names and the paths below `root`: it names the data set, wherever that lies."""
        said = hashlib.sha256(b"\0".join(os.fsencode(name) for name in self.classes))
        said.update(b"\0\0" + self.ends.astype("<i8").tobytes())
        said.update(self.names.tobytes())
        return said.hexdigest()


def pack(root: Path, classes: tuple[str, ...], labels: Array, names: Iterable[bytes]) -> ImageList:
    """An ImageList of `names`, paths below `root` as the file system writes them."""
    lengths: list[int] = []

    def measured() -> Iterator[bytes]:
        for name in names:
            lengths.append(len(name))
            yield name

    joined = np.frombuffer(b"".join(measured()), dtype=np.uint8)
    return ImageList(root, classes, np.asarray(labels, np.int64), joined, np.cumsum(lengths, dtype=np.int64))


def find(data: Path) -> tuple[ImageList, ImageList]:
    """The images to train on and those to report on: `train/` and `val/` in `data`, or in one folder of it.

    Raises UserError where a split, its classes or its images are missing, or where the two splits differ in classes.
    """
    home = _home(data, ("train", "val"))
    if home is None:
        raise UserError(_lacks(data))
    train, val = (_split(data, home / name) for name in ("train", "val"))
    if train.classes != val.classes:
        parts = []
        for name, one, other in (("train", train, val), ("val", val, train)):
            if extra := sorted(set(one.classes) - set(other.classes)):
                parts.append(f"only in {name}: {_few(extra)}")
        raise UserError(
            f"--data {data}: the class folders of train and val differ ({'; '.join(parts)}): "
            "each class needs a folder of the same name in both"
        )
    return train, val


def look_for(data: Path, classes: int | None = None) -> None:
    """Raise UserError unless `data` holds `train/` and `val/` with class folders, `classes` of them; opens no class folder."""
    home = _home(data, ("train", "val"))
    if home is None:
        raise UserError(_lacks(data))
    if classes is not None and (count := len(_folders(home / "train"))) != classes:
        raise UserError(
            f"--data {data}: {count} class folders, and ImageNet has {classes}: "
            "give ImageNet's folder, or --dataset imagefolder"
        )


def _lacks(data: Path) -> str:
    missing = " and ".join(name for name in ("train", "val") if not (data / name).is_dir())
    return f"--data {data}: no folder {missing} in it: give the folder that holds {_LAYOUT}"


def find_val(data: Path) -> ImageList:
    """The images to report on alone: `val/` in `data` or in one folder of it, or `data` itself where it holds the classes.

    Raises UserError as `find` does.
    """
    home = _home(data, ("val",))
    return _split(data, home / "val" if home else data)


_LAYOUT = "train/<class>/*.JPEG and val/<class>/*.JPEG"


def _home(data: Path, splits: Sequence[str]) -> Path | None:
    """The folder that holds `splits`: `data`, or else the only one in it that does."""
    if not data.is_dir():
        raise UserError(f"--data {data}: no such folder: give the folder that holds {_LAYOUT}")
    if all((data / name).is_dir() for name in splits):
        return data
    homes = [folder for folder in _folders(data) if all((folder / name).is_dir() for name in splits)]
    if len(homes) > 1:
        names = _few([folder.name for folder in homes])
        raise UserError(f"--data {data}: {len(homes)} data sets in it ({names}): give the folder of one")
    return homes[0] if homes else None


def _split(data: Path, root: Path) -> ImageList:
    """The images below `root`. `data` is what the person gave. Raises UserError."""
    found = {folder.name: list(_images(root, folder)) for folder in _folders(root)}
    if not any(found.values()):
        if any(file.suffix.lower() in EXTENSIONS for file in root.iterdir()):
            raise UserError(
                f"--data {data}: the images in {root} are not in class folders: put each into {root / '<class>'} "
                "(torchvision.datasets.ImageNet extracts ImageNet that way)"
            )
        raise UserError(f"--data {data}: no images in {root / '<class>'}: give the folder that holds {_LAYOUT}")
    if empty := [name for name, names in found.items() if not names]:
        raise UserError(f"--data {data}: no images in {root / _few(empty)}: fill or delete such folders")
    if len(found) == 1:
        raise UserError(f"--data {data}: only one class, {root / next(iter(found))}: classification needs two or more")
    labels = np.repeat(np.arange(len(found)), [len(names) for names in found.values()])
    return pack(root, tuple(found), labels, (name for names in found.values() for name in names))


def _folders(root: Path) -> list[Path]:
    """The folders in `root`, sorted, without hidden ones."""
    with os.scandir(root) as entries:
        return sorted(root / entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _images(root: Path, folder: Path) -> Iterator[bytes]:
    """The images anywhere below a class folder, in torchvision's order, as paths below `root`."""
    for place, _, files in sorted(os.walk(folder, followlinks=True)):
        below = os.path.relpath(place, root)
        for file in sorted(files):
            if file.lower().endswith(EXTENSIONS) and not file.startswith("."):
                yield os.fsencode(f"{below}/{file}")


def _few(names: Sequence[str], most: int = 3) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def imagenet_labels(images: ImageList) -> Array:
    """Labels in the order of weights trained on ImageNet: a class's place, 0..999, among the 1,000 sorted wnids. (N,) int64.

    All 1,000 class folders tell that order themselves. Where there are fewer, one of `WNID_FILES` in the val folder or
    beside it must. Raises UserError where it is missing or does not name 1,000 wnids, or not those of the folders.
    """
    if strange := [name for name in images.classes if not WNID.fullmatch(name)]:
        raise UserError(
            f"--data {images.root}: class folders must be named by wnids such as n01440764, not {_few(strange)}"
        )
    if len(images.classes) == IMAGENET.classes:
        return images.labels
    file = next(
        (f for folder in (images.root, images.root.parent) for n in WNID_FILES if (f := folder / n).is_file()), None
    )
    if file is None:
        raise UserError(
            f"--data {images.root}: {len(images.classes)} class folders of ImageNet's {IMAGENET.classes}: "
            f"put {', '.join(WNID_FILES[:-1])} or {WNID_FILES[-1]} beside them, which names all"
        )
    wnids = sorted(set(WNID.findall(file.read_text(encoding="utf-8-sig", errors="replace"))))
    if len(wnids) != IMAGENET.classes:
        raise UserError(f"{file} names {len(wnids)} wnids: it must name ImageNet's {IMAGENET.classes}")
    places = {wnid: place for place, wnid in enumerate(wnids)}
    if strange := [name for name in images.classes if name not in places]:
        raise UserError(f"--data {images.root}: {_few(strange)} not among the wnids of {file}: remove those folders")
    return np.array([places[name] for name in images.classes], np.int64)[images.labels]

"""Data sets, whole in memory as uint8: CIFAR-10, and the handwritten digits that ship with scikit-learn."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.device import lanes
from bench.errors import UserError

DIGITS = "sklearn/datasets/data/digits.csv.gz"


@dataclass(frozen=True)
class Images:
    """Images (N,3,H,W) uint8 and their labels (N,) int64."""

    images: Tensor
    labels: Tensor
    _padded: dict[int, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice) -> Images:
        return Images(self.images[index], self.labels[index])

    def to(self, device: torch.device) -> Images:
        """These on a device; the same object where they are there."""
        images = self.images.to(device)
        return self if images is self.images else Images(images, self.labels.to(device))

    def padded(self, padding: int) -> Tensor:
        """The images with so many black pixels on each side, (N,3,H+2p,W+2p): made once, for all runs that ask."""
        with _PADDING:
            if padding not in self._padded:
                self._padded[padding] = F.pad(self.images, (padding,) * 4)
                lanes.settle(self.images.device)  # another thread's stream knows nothing of this one's
            return self._padded[padding]


_PADDING, _LOADING = threading.Lock(), threading.Lock()


@dataclass(frozen=True)
class Dataset:
    """`train` is trained on, `test` reported on; `validation`, where there is one, was held out of the training set."""

    train: Images
    test: Images
    validation: Images | None = None

    def to(self, device: torch.device) -> Dataset:
        """This on a device; the same object where it is there."""
        train = self.train.to(device)
        if train is self.train:
            return self
        return Dataset(train, self.test.to(device), self.validation and self.validation.to(device))


_HELD: WeakValueDictionary[tuple[object, ...], Dataset] = WeakValueDictionary()


def held(name: str, folder: Path, selection: str, download: bool, device: torch.device) -> Dataset:
    """`load`, on a device: read and sent there once for all runs of this process that use it at the time, who only read it.

    Raises UserError where data are missing or damaged.
    """
    key = (name, folder, selection, device)
    with _LOADING:
        found = _HELD.get(key)
        if found is None:
            found = _HELD[key] = load(name, folder, selection, download).to(device)
            lanes.settle(device)
        return found


CIFAR10_FOLDER = "cifar-10-batches-py"
VALIDATION_IMAGES = 5_000


def load(name: str, folder: Path, selection: str = "all", download: bool = False) -> Dataset:
    """The data set `name`; `folder` is where CIFAR-10 lies. Raises UserError where data are missing or damaged."""
    if name == "digits":
        if selection != "all":
            raise UserError(f"--selection {selection} is a split of cifar10: leave it out for digits")
        return digits()
    train, test = cifar10(folder, download)
    if selection == "val45k":  # section 4.2; the last 5k, since the files are in random order already
        cut = len(train) - VALIDATION_IMAGES
        return Dataset(train[:cut], test, train[cut:])
    return Dataset(train, test)


def check_cifar10(folder: Path, download: bool = False) -> Path:
    """The folder that holds `cifar-10-batches-py`, every file of it whole by torchvision's checksums.

    Raises UserError that names the missing or damaged file and says where to put it.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    root = folder.parent if folder.name == CIFAR10_FOLDER else folder
    batches = root / CIFAR10_FOLDER
    by_hand = f"put the folder {CIFAR10_FOLDER} of cifar-10-python.tar.gz into it"
    remedy = f"give --download, or {by_hand}"
    if not batches.is_dir():
        if not download:
            raise UserError(f"--data {folder}: no {CIFAR10_FOLDER} in it: {remedy}")
        try:
            CIFAR10(str(root), download=True)
        except Exception as error:  # torchvision lets urllib, ssl and socket errors through as they come
            raise UserError(f"--data {folder}: CIFAR-10 could not be downloaded ({error}): {by_hand}") from error
    for name, md5 in [*CIFAR10.train_list, *CIFAR10.test_list, [CIFAR10.meta["filename"], CIFAR10.meta["md5"]]]:
        file = batches / name
        if not file.is_file():
            raise UserError(f"--data {folder}: {CIFAR10_FOLDER}/{name} is missing: {remedy}")
        if not check_integrity(str(file), md5):
            raise UserError(
                f"--data {folder}: {CIFAR10_FOLDER}/{name} is damaged ({file.stat().st_size} bytes, wrong checksum): "
                "delete that folder and download or copy it again"
            )
    return root


def cifar10(folder: Path, download: bool = False) -> tuple[Images, Images]:
    """CIFAR-10's 50,000 training and 10,000 test images, (N,3,32,32), read and verified by torchvision."""
    from torchvision.datasets import CIFAR10

    root = check_cifar10(folder, download)
    parts = []
    for train in (True, False):
        part = CIFAR10(str(root), train=train)
        images = torch.from_numpy(np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)))
        parts.append(Images(images, torch.tensor(part.targets)))
    return parts[0], parts[1]


def digits() -> Dataset:
    """The 1,797 handwritten digits of scikit-learn, 8x8 grey: (N,3,8,8), every fifth one kept for testing.

    The three channels are equal, so that the nets are the CIFAR nets to the last parameter. The package's file is read
    without the package, whose import would be a third of the time in which a run starts.
    """
    table = np.loadtxt(str(distribution("scikit-learn").locate_file(DIGITS)), delimiter=",", dtype=np.float64)
    grey = torch.from_numpy((table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).round().astype(np.uint8))
    images = grey[:, None].repeat(1, 3, 1, 1)  # (N,8,8) -> (N,3,8,8)
    labels = torch.from_numpy(table[:, -1].astype(np.int64))
    test = torch.arange(len(labels)) % 5 == 4
    return Dataset(Images(images[~test], labels[~test]), Images(images[test], labels[test]))

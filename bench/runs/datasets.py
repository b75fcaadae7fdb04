"""The sizes of the paper's data sets, as nets are given them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetSize:
    """Images and classes."""

    train: int
    test: int
    """What errors are reported on: CIFAR-10's test set, ImageNet's validation set."""
    classes: int
    side: int
    """Of an image, in pixels; of ImageNet's, of a crop."""


CIFAR10 = DatasetSize(50_000, 10_000, 10, 32)
IMAGENET = DatasetSize(1_281_167, 50_000, 1_000, 224)

"""What was measured of the responses of a net's layers, by choice; the first of each is this project's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import Annotated, Literal

from bench.files import AGAIN, Damaged, read_rows
from bench.runs.derived import Responses
from bench.runs.folder import RunFolder
from bench.runs.ranges import Range, check

DATA = ("test", "train")
BATCH_NORM = ("eval", "batch")
REDUCTIONS = ("tensor", "channel")
PASSES = tuple(product(DATA, BATCH_NORM))
CHOICES = tuple(" ".join(choice) for choice in product(DATA, BATCH_NORM, REDUCTIONS))
OURS = CHOICES[0]
"""`test eval tensor`: the test set, moving averages, over all values of a layer."""


@dataclass(frozen=True)
class ResponsePoint:
    """A line of points.jsonl: a pass over the images of a set."""

    data: Literal["test", "train"]
    batch_norm: Literal["eval", "batch"]
    tensor: Annotated[tuple[float, ...], Range("standard deviation", least=0)]
    channel: Annotated[tuple[float, ...], Range("standard deviation", least=0)]
    images: Annotated[int, Range("number of images", least=1)]
    weights: str
    seconds: Annotated[float, Range("seconds", least=0)]

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Magnitudes:
    """By choice, the standard deviation of each 3x3 convolution's response, in the net's order."""

    std: dict[str, tuple[float, ...]]
    images: dict[str, int]
    """Images shown, of the test and of the training set."""

    def mean(self, choice: str = OURS) -> float:
        """Over the layers."""
        return fmean(self.std[choice])


def read(spec: Responses, folder: RunFolder) -> Magnitudes:
    """What was measured of a net. Raises UserError where the file is damaged."""
    try:
        points = read_rows(ResponsePoint, folder.points)
        rows: dict[tuple[str, str], ResponsePoint] = {(point.data, point.batch_norm): point for point in points}
        std = {
            " ".join((*of, reduction)): getattr(rows[of], reduction) for of, reduction in product(PASSES, REDUCTIONS)
        }
        if any(len(values) != spec.arch.depth - 1 for values in std.values()):  # 6n+1
            raise ValueError(f"not {spec.arch.depth - 1} layers")
        return Magnitudes(std, {data: rows[data, "eval"].images for data in DATA})
    except (KeyError, ValueError) as error:
        raise Damaged(folder.points, error, AGAIN) from error

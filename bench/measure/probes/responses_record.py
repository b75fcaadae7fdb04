"""What was measured of the responses of a net's layers, by choice; the first of each is this project's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from statistics import fmean

from bench.errors import UserError
from bench.files import read_lines
from bench.runs.derived import Responses
from bench.runs.folder import RunFolder

DATA = ("test", "train")
BATCH_NORM = ("eval", "batch")
REDUCTIONS = ("tensor", "channel")
PASSES = tuple(product(DATA, BATCH_NORM))
CHOICES = tuple(" ".join(choice) for choice in product(DATA, BATCH_NORM, REDUCTIONS))
OURS = CHOICES[0]
"""`test eval tensor`: the test set, moving averages, over all values of a layer."""


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
        rows = {(row["data"], row["batch_norm"]): row for row in read_lines(folder.points)}
        std = {
            " ".join((*of, reduction)): tuple(map(float, rows[of][reduction]))
            for of, reduction in product(PASSES, REDUCTIONS)
        }
        if any(len(values) != spec.arch.depth - 1 for values in std.values()):  # 6n+1
            raise ValueError(f"not {spec.arch.depth - 1} layers")
        return Magnitudes(std, {data: int(rows[data, "eval"]["images"]) for data in DATA})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder.points} is damaged ({error}): move its folder away and run again") from error

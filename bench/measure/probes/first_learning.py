"""When a run begins to learn, read off its evaluation points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

CHANCE = 3.0
"""Standard errors by which an error must lie below a level to count as below it."""


def first_below(points: Sequence[Mapping[str, Any]], batch: int, level: float) -> tuple[int, int] | None:
    """The iterations between which the training error is below `level` percent for the first time; None where it never is.

    An evaluation point has the mean training error since the one before it, and is below where chance does not explain it: by
    three standard errors of as many guesses. A net that guesses at 90 % is now and then a little below by chance.
    """
    begin = 0
    for point in points:
        images = (point["iteration"] - begin) * batch
        chance = CHANCE * math.sqrt(level * (100 - level) / images)
        if point["train_error"] < level - chance:
            return begin, point["iteration"]
        begin = point["iteration"]
    return None

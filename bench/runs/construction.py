"""construction.json: what a net extended by identity layers did before it was trained on."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from bench.files import AGAIN, Damaged, convert, read_json
from bench.runs.ranges import Range, check

PERCENT = Range("error in percent", least=0, most=100)
IMAGES = Range("number of images", least=1)
SIZE = Range("number", least=0)


@dataclass(frozen=True)
class Construction:
    """The shallower net and the deeper one that was made of it, on the same images. Errors in percent."""

    weights: str
    """Digest of the weights of the shallower net."""
    train_error_shallow: Annotated[float, PERCENT]
    train_error: Annotated[float, PERCENT]
    train_images: Annotated[int, IMAGES]
    test_error_shallow: Annotated[float, PERCENT]
    test_error: Annotated[float, PERCENT]
    test_images: Annotated[int, IMAGES]
    logit_difference: Annotated[float, SIZE]
    """The largest one of any logit."""
    logit_size: Annotated[float, SIZE]
    predictions_changed: Annotated[int, SIZE]

    def __post_init__(self) -> None:
        check(self)
        if not re.fullmatch("[0-9a-f]{16}", self.weights):
            raise ValueError(f"weights is {self.weights!r:.80}; expected 16 hexadecimal digits")


def read(path: Path) -> dict[str, Any]:
    """What is in the file, by field. Raises UserError, naming file, field and value."""
    try:
        return asdict(convert(Construction, read_json(path)))
    except ValueError as error:
        raise Damaged(path, error, AGAIN) from error

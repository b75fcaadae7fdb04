"""The evaluation points of a run: metrics.jsonl, a line for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.files import AGAIN, MOST, Damaged, convert, read_lines


@dataclass(frozen=True)
class Point:
    """What an evaluation point has at least. Errors in percent; it may have more numbers, or none in their place."""

    iteration: int
    epoch: float
    lr: float
    train_loss: float
    train_error: float
    test_error: float
    images_per_second: float


NAMES = tuple(Point.__dataclass_fields__)


def read_points(path: Path, iterations: int, most: int = MOST) -> list[dict[str, Any]]:
    """The evaluation points in a file, oldest first. Raises UserError, naming file, line, field and value."""
    rows = read_lines(path, most)
    last = 0
    for number, row in enumerate(rows, start=1):
        try:
            _check(row, last, iterations)
        except ValueError as error:
            raise Damaged(path, f"line {number}: {error}", AGAIN) from error
        last = row["iteration"]
    return rows


def _check(row: dict[str, Any], last: int, iterations: int) -> None:
    convert(Point, {name: row[name] for name in NAMES if name in row})
    convert(dict[str, float | None], row)
    if not last < row["iteration"] <= iterations:
        raise ValueError(f"iteration is {row['iteration']}; expected > {last} and <= {iterations}")
    for name in ("train_error", "test_error", "validation_error"):
        if not 0 <= (0 if (error := row.get(name)) is None else error) <= 100:
            raise ValueError(f"{name} is {error}; expected >= 0 and <= 100")

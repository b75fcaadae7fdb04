"""The paper's numbers, as typed into tables/published by hand. No program writes there."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from bench.files import Damaged, read_table

FOLDER = Path(__file__).absolute().parents[2] / "tables" / "published"


@dataclass(frozen=True)
class PublishedNumber:
    """A number of the paper, with all that decides what it may be compared with."""

    id: str
    locator: str
    """Where it stands: `Table 6, row ResNet-56`."""
    net: str
    quantity: str
    printed: str
    """The printed digits; empty for what was read off a figure."""
    value: str
    """The number in `unit`, or the text."""
    unit: str
    statistic: str
    """`one run, last iterate`, `best of 5 runs`, `reading off a figure`, ..."""
    protocol: str
    """`single view`, `10-crop`, ..."""
    note: str

    @property
    def number(self) -> float:
        """The value as a number. Raises ValueError for text and bounds."""
        return float(self.value)


@cache
def load() -> dict[str, PublishedNumber]:
    """Every published number by its id."""
    rows = read_table(FOLDER / "paper.csv", [f.name for f in fields(PublishedNumber)])
    return {row["id"]: PublishedNumber(**row) for row in rows}


def papers_spread() -> float:
    """Standard deviation over seeds, in points: that of ResNet-110 over five runs, the only one that the paper prints."""
    return load()["T6/ResNet-110/test_error_std"].number


@cache
def curves() -> dict[tuple[str, str], list[tuple[float, float]]]:
    """The paper's curves: (figure, series) -> points (1e4 iterations, percent error), read off its vector figures."""
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    path = FOLDER / "curves.csv"
    for number, row in enumerate(read_table(path, ["figure", "series", "x", "y"]), start=2):
        try:
            point = float(row["x"]), float(row["y"])
        except ValueError as error:
            raise Damaged(path, f"line {number}: {error}") from error
        series.setdefault((row["figure"], row["series"]), []).append(point)
    return series

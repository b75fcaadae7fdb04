"""The paper's numbers, as typed into tables/published by hand. No program writes there."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "tables" / "published"


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
    with (FOLDER / "paper.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [f.name for f in fields(PublishedNumber)]
    return {row["id"]: PublishedNumber(**{name: row[name] for name in names}) for row in rows}


def papers_spread() -> float:
    """Standard deviation over seeds, in points: that of ResNet-110 over five runs, the only one that the paper prints."""
    return load()["T6/ResNet-110/test_error_std"].number


@cache
def curves() -> dict[tuple[str, str], list[tuple[float, float]]]:
    """The paper's curves: (figure, series) -> points (1e4 iterations, percent error), read off its vector figures."""
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with (FOLDER / "curves.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            series.setdefault((row["figure"], row["series"]), []).append((float(row["x"]), float(row["y"])))
    return series

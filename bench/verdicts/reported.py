"""What other people's reproductions report, as typed into tables/published/third_party.csv by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache

from bench.files import Damaged, read_table
from bench.verdicts import published


@dataclass(frozen=True)
class Reported:
    """A number that somebody else reports, as typed into tables/published/third_party.csv by hand."""

    id: str
    paper: str
    """Id of the paper's number that it stands beside; empty where the paper has none."""
    net: str
    quantity: str
    """`test_error`, `top1_error_10-crop`, `top5_accuracy`, ..."""
    value: str
    spread: str
    """Standard deviation over runs, where it is reported."""
    runs: str
    """Number of runs that value and spread are of, where it is reported."""
    unit: str
    protocol: str
    departs: str
    """What is known to be other than in the paper; empty where nothing is."""
    note: str
    source: str
    """Repository, and the files in it."""

    @property
    def error(self) -> float:
        """Percent, whether an error or an accuracy was reported."""
        return 100 - float(self.value) if "accuracy" in self.quantity else float(self.value)

    @property
    def is_of_a_seed(self) -> bool:
        """Whether each seed of its recipe has a row."""
        return "_seed_" in self.id

    @property
    def who(self) -> str:
        return self.source.split(" : ")[0]

    @property
    def top(self) -> str:
        """`top-1` or `top-5`; nothing on CIFAR-10."""
        return self.quantity[:4].replace("top", "top-") if self.quantity.startswith("top") else ""


@cache
def load() -> tuple[Reported, ...]:
    """Every reported number."""
    path = published.FOLDER / "third_party.csv"
    found = tuple(Reported(**row) for row in read_table(path, [field.name for field in fields(Reported)]))
    for line, reported in enumerate(found, start=2):
        for field, expected in _wrong(reported):
            raise Damaged(path, f"line {line}: {field} is {getattr(reported, field)!r:.80}; expected {expected}")
    return found


def _wrong(reported: Reported) -> Iterator[tuple[str, str]]:
    """The fields whose text is not what it must be: name, and what is expected."""
    if not 0 <= _number(reported.value) <= 100:
        yield "value", "percent, 0 to 100"
    if reported.spread and not 0 <= _number(reported.spread) <= 100:
        yield "spread", "points, 0 to 100, or nothing"
    if reported.runs and not (reported.runs.isdecimal() and int(reported.runs) > 1 and reported.spread):
        yield "runs", "a number of 2 or more beside a spread, or nothing"
    if reported.paper and reported.paper not in published.load():
        yield "paper", "an id of paper.csv, or nothing"
    if not re.match(r"[A-Za-z]+-[0-9]+\b", reported.net):
        yield "net", "a name and a depth, such as ResNet-56"


def _number(text: str) -> float:
    """The number, or NaN where the text is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan

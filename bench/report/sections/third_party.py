"""What other people's reproductions report, as typed into tables/published/third_party.csv, where pages refer to it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache

from bench.files import Damaged, read_table
from bench.report.figures import points
from bench.report.page import Table, grid
from bench.verdicts import published

SAME, OTHER = "same protocol", "another protocol"
WHERE = "What others report stands beside the paper's in [a table of its own](third_party.md), each with its protocol."


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


def beside(paper: str) -> Table | None:
    """What others report where the paper prints the number of that id; None where nobody does."""
    found = [number for number in load() if number.paper == paper]
    names = ["theirs, %", "who", "protocol", "other than in the paper", "note"]
    return grid([[error_text(n), n.who, n.protocol, n.departs, n.note] for n in found], names, (0,)) if found else None


def error_text(number: Reported) -> str:
    """`8.30 ± 0.16`, in percent."""
    return f"{number.error:.2f}" + (f" ± {number.spread}" if number.spread else "")


def depth_of(number: Reported) -> int:
    """Layers of the net."""
    return int(number.net.split()[0].rstrip(",").split("-")[1])


def others() -> list[points.Point]:
    """Other people's test errors on CIFAR-10; the verdict says whether the protocol is the paper's."""
    return [
        points.Point(
            f"{number.net}, {number.who}",
            depth_of(number),
            number.net.startswith("ResNet"),
            points.Value(number.error),
            None,
            OTHER if number.departs else SAME,
        )
        for number in load()
        if not number.top
    ]

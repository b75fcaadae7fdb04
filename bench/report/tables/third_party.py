"""The page of `--table third_party`: what other people's reproductions report, beside the paper, each with its protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache

from bench.files import Damaged, read_table
from bench.report.figures import points
from bench.report.figures.chart import Chart
from bench.report.page import Cell, Figure, Page, Part, Table, cells, grid
from bench.report.render import markdown, terminal
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
    for number, reported in enumerate(found, start=2):
        try:
            value = float(reported.value)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 100:
            raise Damaged(path, f"line {number}: value is {reported.value!r:.80}; expected percent")
    return found


def beside(paper: str) -> Table | None:
    """What others report where the paper prints the number of that id; None where nobody does."""
    found = [number for number in load() if number.paper == paper]
    names = ["theirs, %", "who", "protocol", "other than in the paper", "note"]
    return grid([[_error(n), n.who, n.protocol, n.departs, n.note] for n in found], names, (0,)) if found else None


def _error(number: Reported) -> str:
    return f"{number.error:.2f}" + (f" ± {number.spread}" if number.spread else "")


HEADERS = ["net", "paper, %", "theirs, %", "who", "protocol", "protocol is", "other than in the paper", "note"]


def table(some: Sequence[Reported]) -> Table:
    """A line a number: the paper's beside it, and whether the two may be compared."""
    return Table(HEADERS, [_cells(number) for number in some], (1, 2), narrow=(0, 1, 2, 3, 5))


def _cells(number: Reported) -> tuple[Cell, ...]:
    paper = published.load().get(number.paper)
    printed = (paper.printed or f"{paper.number:.2f}") if paper else ""
    word = "" if not paper else OTHER if number.departs else SAME
    return cells(
        f"{number.net} {number.top}".strip(), printed, _error(number), number.who, number.protocol, Cell(word, word),
        number.departs, number.note,
    )  # fmt: skip


def render_terminal() -> str:
    return terminal.render(table(_ordered()))


def render() -> str:
    """The page in Markdown."""
    return markdown.render(page())


def _ordered() -> list[Reported]:
    """CIFAR-10 first; plain nets before residual ones, from shallow to deep."""
    return sorted(load(), key=lambda n: (n.top != "", n.net.startswith("ResNet"), _depth(n), n.top, n.error))


def page() -> Page:
    order = _ordered()
    return Page(
        "third_party",
        "Other people's reproductions",
        [
            "None of these numbers was measured here, and none gets a verdict. Each stands beside the number of the paper that "
            f"it answers. `{SAME}`: nothing is known to differ. `{OTHER}`: the last columns say what does, and a number that "
            "is lower for such a reason says nothing about the paper. Plain nets: the paper's number is read off Fig. 6.",
            "## CIFAR-10 (Table 6, Fig. 6)",
            Figure(
                "third_party",
                "Test error against depth, the paper's and other people's",
                "Test error on CIFAR-10. Hollow, with a dashed line: the paper's. Others stand apart by protocol.",
                lambda: Chart(points.against_depth([*of_paper()], others()).panels),
            ),
            table([number for number in order if not number.top]),
            "## ImageNet (Tables 2 and 3)",
            table([number for number in order if number.top]),
            *_sources(),
        ],
    )


def _depth(number: Reported) -> int:
    return int(number.net.split()[0].rstrip(",").split("-")[1])


def of_paper() -> list[points.Point]:
    """The paper's own test errors on CIFAR-10."""
    found = {number.paper: number for number in load() if not number.top}
    return [
        points.Point(
            number.net.split(",")[0],
            _depth(number),
            number.net.startswith("ResNet"),
            None,
            points.Value(published.load()[paper].number),
        )
        for paper, number in found.items()
    ]


def others() -> list[points.Point]:
    """Other people's test errors on CIFAR-10; the verdict says whether the protocol is the paper's."""
    return [
        points.Point(
            f"{number.net}, {number.who}",
            _depth(number),
            number.net.startswith("ResNet"),
            points.Value(number.error),
            None,
            OTHER if number.departs else SAME,
        )
        for number in load()
        if not number.top
    ]


def _sources() -> list[Part]:
    """Where each stands, once."""
    sources = dict.fromkeys(number.source for number in load())
    return [
        "## Sources",
        "\n".join(f"- {source.replace(' : ', ': `', 1)}`" if " : " in source else f"- {source}" for source in sources),
    ]

"""What a page says, before it is Markdown, HTML or a table in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from bench.report.figures.chart import Chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn


@dataclass(frozen=True, eq=False)
class Manifest:
    """What stands behind a cell. Cells that stand on the same runs share one; HTML shows it."""

    title: str
    parts: Callable[[], Sequence[Part]]
    """Called where the manifest is shown, and only there: it reads the records of the runs."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table. `text` may have Markdown within a line."""

    text: str
    word: str = ""
    """The verdict that this cell gives. It decides the colour; the text says it too."""
    note: str = ""
    """A footnote."""
    manifest: Manifest | None = None
    anchor: str = ""
    """Address of the row in report.html, where this is its first cell; none for most."""


@dataclass(frozen=True)
class Table:
    """Rows under headers; the first cell of a row names it."""

    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: Collection[int] = ()
    """Columns that are set to the right."""
    narrow: Sequence[int] = ()
    """The columns that fit a terminal; all of them where none are named."""
    first: Sequence[int] = ()
    """The columns that a page shows first, eight at most, in their order there; all of them where none are named."""
    keys: Sequence[int] = (0,)
    """The columns that together name a row."""
    command: str = ""
    """What runs the rows that have no result; empty where all have one."""


@dataclass(frozen=True)
class Section:
    """What one looks up rather than reads: HTML folds it away."""

    heading: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Patch:
    """What was not committed when a run was made; it may be long, and many runs may have the same."""

    title: str
    text: str


@dataclass(frozen=True)
class Figure:
    """A chart with what a reader needs to read it: figures/`name`.svg and .png, and curves in HTML."""

    name: str
    alt: str
    caption: str
    draw: Callable[[], Chart]
    """Called where it is drawn, and only there: it reads the curves of runs."""


@dataclass(frozen=True)
class Picture:
    """What is no chart of curves and points: figures/`name`.svg and .png, and a picture in HTML too."""

    name: str
    alt: str
    caption: str
    draw: Callable[[], Drawn]
    """Called where it is drawn, and only there."""


@dataclass(frozen=True)
class Value:
    """One value behind a page: a line of `name`.csv. A text that does not apply is empty, a number None."""

    net: str
    """The net, or what else is measured: a command, a kind of cell."""
    quantity: str
    """`test error`, `parameters`, ..."""
    unit: str
    condition: str = ""
    """What else decides the value: `with warm-up`, `10-crop`, `batch 128, NHWC`."""
    schedule: str = ""
    dataset: str = ""
    changes: str = ""
    """Fields of the recipe that are not the study's: `bn_group=64 lr=0.05`."""
    precision: str = ""
    seeds: int | None = None
    """Values that `measured` is the mean of; 0 where a run is missing."""
    published: str = ""
    """As the paper prints it, or as it was read off a figure, in `unit`."""
    statistic: str = ""
    """Which statistic the published number is."""
    measured: float | None = None
    spread: float | None = None
    """Standard deviation over seeds (n-1)."""
    low: float | None = None
    high: float | None = None
    """95 % interval of what is compared with the published number."""
    difference: float | None = None
    """`measured` minus the published number."""
    verdict: str = ""
    source: str = ""
    """Place in the paper of the published number, or who reports the value."""


@dataclass(frozen=True)
class Page:
    """A table of the paper as one file, `name`.md, and one part of report.html. Texts are Markdown; empty ones vanish."""

    name: str
    title: str
    parts: Sequence[Part]
    values: Sequence[Value] = ()
    """What the page shows, one value a line and not rounded: `name`.csv."""
    also: str = ""
    """Links to related pages, in a line of Markdown. report.html has its side bar instead."""

    @property
    def tables(self) -> Iterator[Table]:
        """The tables outside of its sections."""
        return (part for part in self.parts if isinstance(part, Table))

    @property
    def figures(self) -> Iterator[Figure | Picture]:
        return (part for part in self.parts if isinstance(part, Figure | Picture))


Part: TypeAlias = str | Table | Figure | Picture | Section | Patch


def behind(row: Sequence[Cell], manifest: Manifest, columns: Collection[int]) -> tuple[Cell, ...]:
    """The row with a manifest behind those columns."""
    return tuple(replace(cell, manifest=manifest) if i in columns else cell for i, cell in enumerate(row))


def cells(*row: str | Cell) -> tuple[Cell, ...]:
    """A row of cells, of which those that are only a text are given as one."""
    return tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row)


def grid(rows: Sequence[Sequence[str]], headers: Sequence[str], numeric: Collection[int] = ()) -> Table:
    """A table of texts."""
    return Table(headers, [cells(*row) for row in rows], numeric)

"""The page of `--table harness`: how the harness itself scales, from what `make benchmarks` measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.errors import UserError
from bench.report import manifest, markdown, terminal
from bench.report.page import Cell, Page, Section, Table, behind, cells, grid
from bench.store import read_json, write_json

FORMAT = 1


@dataclass(frozen=True)
class Figure:
    """One command, timed from its start to its end."""

    name: str
    runs: int
    seconds: tuple[float, ...]
    """Of each round."""
    peak_mb: int
    """Largest resident memory of the command, in all rounds."""
    calls: dict[str, int] | None
    """Calls of the scheduler's programs in a round."""
    calls_of_ten: dict[str, int] | None
    """The same for a table of ten runs."""


@dataclass(frozen=True)
class Figures:
    """What was measured, and where."""

    machine: str
    python: str
    slurm: str
    commit: str
    figures: tuple[Figure, ...]


AIMS = {"plan_and_submit": "10 s", "status": "2 s", "report": "10 s, 1,000 MB"}
WORDS = {
    "plan_and_submit": "`--cluster slurm`: plan and submit, nothing sent before",
    "status": "`--status`, all of them queued",
    "report": "`--report` from finished runs of the paper's length",
}


def save(path: Path, figures: Figures) -> None:
    write_json(path, {"format": FORMAT, **asdict(figures)})


def load(path: Path) -> Figures:
    """The committed figures. Raises UserError where the file is missing, damaged or of another version."""
    data = read_json(path)
    try:
        if data.pop("format", None) != FORMAT:
            raise ValueError(f"not of version {FORMAT}")
        figures = tuple(_figure(figure) for figure in data.pop("figures"))
        return Figures(**data, figures=figures)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): measure anew with `make benchmarks`") from error


def _figure(data: dict[str, Any]) -> Figure:
    return Figure(**{**data, "seconds": tuple(data["seconds"])})


HEADERS = ["command", "runs", "seconds, median", "lowest", "highest", "rounds", "memory, MB", "aim"]
NUMERIC = (1, 2, 3, 4, 5, 6)


def table(figures: Figures) -> Table:
    return Table(HEADERS, [_cells(figures, figure) for figure in figures.figures], NUMERIC)


def _cells(figures: Figures, figure: Figure) -> tuple[Cell, ...]:
    found = cells(
        WORDS[figure.name],
        f"{figure.runs:,}",
        f"{median(figure.seconds):.2f}",
        f"{min(figure.seconds):.2f}",
        f"{max(figure.seconds):.2f}",
        str(len(figure.seconds)),
        f"{figure.peak_mb:,}",
        AIMS[figure.name],
    )
    rounds = "seconds of each round: " + ", ".join(f"{seconds:.2f}" for seconds in figure.seconds)
    return behind(found, manifest.of_benchmark(WORDS[figure.name], rounds, _where(figures)), range(2, 7))


def render_terminal(figures: Figures) -> str:
    return terminal.render(table(figures))


def render(figures: Figures) -> str:
    """The page in Markdown."""
    return markdown.render(page(figures))


def page(figures: Figures) -> Page:
    return Page(
        "harness",
        "The harness itself",
        [
            "What a person waits for, with many runs. Each figure is a whole command, from the start of Python to its end.",
            table(figures),
            _traffic(figures),
            f"Measured on {_where(figures)}. `make benchmarks` measures anew. Nothing is asserted on seconds.",
        ],
    )


def _where(figures: Figures) -> str:
    return (
        f"{figures.machine}, Python {figures.python}, {figures.slurm}, on one machine with its scheduler; "
        f"commit {figures.commit}"
    )


def _traffic(figures: Figures) -> Section:
    shown = [figure for figure in figures.figures if figure.calls is not None]
    lines = [
        [WORDS[figure.name], count, _said(calls)]
        for figure in shown
        for count, calls in ((f"{figure.runs:,}", figure.calls), ("10", figure.calls_of_ten))
    ]
    return Section("Calls of the scheduler's programs", [grid(lines, ["command", "runs", "calls"], (1,))])


def _said(calls: dict[str, int] | None) -> str:
    return ", ".join(f"{count} {name}" for name, count in (calls or {}).items()) or "none"

"""The views of report.html: pages by the question that they answer, and a line for each that has no measurement."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench.report.page import Cell, Page
from bench.report.render.report import Missing, Question, View

QUESTIONS: dict[str, tuple[str, ...]] = {
    "Does depth help?": ("cifar_depth", "warmup"),
    "What does it cost?": ("complexity",),
    "Does it hold on ImageNet?": ("imagenet_plain_vs_residual", "imagenet_shortcuts", "imagenet_multiscale"),
    "What happens inside the nets?": ("layer_responses", "gradients", "loss_surface", "constructed_solution"),
    "How fast is it?": ("throughput", "loading", "harness"),
    "Can the numbers be trusted?": ("claims", "calibration", "third_party"),
}
"""Question -> tables that answer it. A table that stands nowhere here is under `OTHERS`."""
OTHERS = "What else was measured?"
MISSING = "missing"
COMMAND = re.compile(r"`(python bench/run\.py --table [^`]+)`")


def questions(pages: Iterable[Page], titles: Mapping[str, str]) -> list[Question]:
    """The pages that have measurements, by question. `titles`: table -> what the side bar calls it."""
    found: dict[str, list[Page]] = {}
    for page in pages:
        if not is_empty(page):
            found.setdefault(table_of(page), []).append(page)
    named = {table for tables in QUESTIONS.values() for table in tables}
    others = tuple(table for table in found if table not in named)
    return [
        Question(title, [View(table, titles.get(table, table), found[table]) for table in tables if table in found])
        for title, tables in {**QUESTIONS, OTHERS: others}.items()
        if title != OTHERS or others
    ]


def table_of(page: Page) -> str:
    """The table that a page belongs to: `cifar_depth` of `cifar_depth.short`."""
    return page.name.partition(".")[0]


def missing(pages: Iterable[Page]) -> list[Missing]:
    """A line for each page with rows that nothing fills, the paper's length first. Claims need no runs of their own."""
    lines = []
    for page in pages:
        if page.name == "claims":
            continue
        rows = [row for table in page.tables for row in table.rows if any(cell.word for cell in row)]
        lacking = sum(any(cell.word == MISSING for cell in row) for row in rows)
        command = _command(page)
        if lacking and command:
            what = f"all {lacking} rows" if lacking == len(rows) else f"{lacking} of {len(rows)} rows"
            lines.append(Missing(page.name, page.title, what, command, not is_empty(page)))
    return sorted(lines, key=lambda line: ("." in line.name, not line.page))


def is_empty(page: Page) -> bool:
    """Whether a page shows no measurement: all its verdicts are `missing`, and it has no figure."""
    given = [cell.word for cell in _cells(page) if cell.word]
    return bool(given) and {*given} == {MISSING} and not [*page.figures]


def _cells(page: Page) -> Iterator[Cell]:
    return (cell for table in page.tables for row in table.rows for cell in row)


def _command(page: Page) -> str:
    """The first command on a page that runs its table; nothing where it has none."""
    texts: Sequence[str] = [part for part in page.parts if isinstance(part, str)]
    return next((found[1] for text in texts if (found := COMMAND.search(text))), "")

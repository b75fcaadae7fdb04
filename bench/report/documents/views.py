"""The views of report.html: pages by the question that they answer, and a line for each that has no measurement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.report.page import Page
from bench.report.render.layout import is_missing
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
    """A line for each page with rows that nothing fills, the paper's length first."""
    lines = []
    for page in pages:
        lacking, rows = unfilled(page)
        if lacking:
            what = f"all {lacking} rows" if lacking == rows else f"{lacking} of {rows} rows"
            lines.append(Missing(page.name, page.title, what, command(page), not is_empty(page)))
    return sorted(lines, key=lambda line: ("." in line.name, not line.page))


def unfilled(page: Page) -> tuple[int, int]:
    """How many rows of the tables with a command have no result, and how many rows they have."""
    rows = [row for table in page.tables if table.command for row in table.rows]
    return sum(map(is_missing, rows)), len(rows)


def is_empty(page: Page) -> bool:
    """Whether a page shows no measurement: no row has a result, and it has no figure."""
    lacking, rows = unfilled(page)
    return 0 < lacking == rows and not [*page.figures]


def command(page: Page) -> str:
    """The command that runs what a page lacks; nothing where nothing lacks."""
    return next((table.command for table in page.tables if table.command), "")

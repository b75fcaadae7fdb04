"""All pages at once: those that are committed, and report.html.

What is committed comes from tables/measured alone. `--publish` calls `write` to write it and `--check` to compare, so that a
table needs no check of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from bench.command import documents, pages, plan
from bench.command import tables as register
from bench.files import write_text
from bench.runs.finished import finished_runs, without_damaged
from bench.runs.provenance import ROOT

if TYPE_CHECKING:
    from bench.report.page import Page
    from bench.report.render.report import Report
    from bench.report.sections.runs import Found


def write(names: Collection[str], measured: Path, tables: Path) -> list[Path]:
    """Write all that is committed of these tables, and of all tables their index; returns the paths."""
    from bench.report.documents import index
    from bench.report.render import markdown
    from bench.report.sections.runs import Found

    def make() -> list[Path]:
        found = Found(finished_runs(measured), (measured, measured))
        made = register.pages(names, found)
        written = [path for page in made for path in pages.put(page, tables)]
        if {*names} < register.TABLES.keys():
            return written
        contents = tables / f"{index.NAME}.md"
        write_text(contents, markdown.render(index.page(made)))
        return [*written, contents]

    return without_damaged(make)


def write_report(results: Path, tables: Path) -> Path:
    """Write report.html from all that is finished, of whichever table; returns its path."""
    from bench.report.render import html

    def make() -> None:
        found = plan.found(results, pages.MEASURED)
        made = register.pages(register.TABLES, found)
        drawn = pages.drawn_before(made, tables, ROOT / "tables")
        write_text(tables / "report.html", html.render(assemble(made, found), drawn))

    without_damaged(make)
    return tables / "report.html"


def assemble(made: list[Page], found: Found) -> Report:
    """The report of these pages: the answer first, then views by question. Raises UserError."""
    from bench.report.documents import answer, runs, views
    from bench.report.render.report import Report
    from bench.report.tables import complexity

    counted = found.measured / "complexity.json"
    costs = complexity.load(counted) if counted.exists() else None
    titles = {name: table.title for name, table in register.TABLES.items()}
    questions, missing = views.questions(made, titles), views.missing(made)
    return Report(answer.answer(found, made, costs), questions, missing, runs.runs(found))


def write_committed(tables: Path) -> None:
    """Write every page, figure and part of a document that comes from tables/measured, and say which pages."""
    for path in write(register.TABLES, pages.MEASURED, tables):
        print(f"wrote {path}")
    for document, text in documents.render(pages.MEASURED).items():
        write_text(document, text)

"""All pages at once: those that are committed, and report.html.

What is committed comes from tables/measured alone. `--publish` calls `write` to write it and `--check` to compare, so that a
table needs no check of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.command import pages, plan
from bench.command import tables as register
from bench.files import write_text
from bench.runs.finished import finished_runs, without_damaged
from bench.runs.provenance import ROOT


def write(names: Iterable[str], measured: Path, tables: Path) -> list[Path]:
    """Write all that is committed of these tables; returns the paths."""
    from bench.report.sections.runs import Found

    def make() -> list[Path]:
        found = Found(finished_runs(measured), (measured, measured))
        return [path for page in register.pages(names, found) for path in pages.put(page, tables)]

    return without_damaged(make)


def write_report(results: Path, tables: Path) -> Path:
    """Write report.html from all that is finished, of whichever table; returns its path."""
    from bench.report.render import html

    def make() -> None:
        made = register.pages(register.TABLES, plan.found(results, pages.MEASURED))
        write_text(tables / "report.html", html.render(made, pages.drawn_before(made, tables, ROOT / "tables")))

    without_damaged(make)
    return tables / "report.html"


def write_committed(tables: Path) -> None:
    """Write every page, figure and part of a document that comes from tables/measured, and say which pages."""
    for path in write(register.TABLES, pages.MEASURED, tables):
        print(f"wrote {path}")
    for document, text in pages.documents(pages.MEASURED).items():
        write_text(document, text)

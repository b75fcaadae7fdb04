"""What a table is: its name, how the command fills it, and which pages show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bench.command.plan import Plan, Planner
from bench.runs.spec import Spec

if TYPE_CHECKING:
    from bench.command.options import Options
    from bench.report.page import Page
    from bench.report.sections.runs import Found


@dataclass(frozen=True)
class Table:
    """One table: what it is called, how the command fills it, and which pages show it."""

    name: str
    title: str
    """A line on it, for the help."""
    heeds: frozenset[str]
    """The options that change what it does, by their names in bench/command/options.py."""
    do: Callable[[Table, Options], int]
    """Does what the command line asks, and returns the exit status."""
    planner: Planner | None = None
    """Plans its runs; None of a table that no run fills."""
    shows: Callable[[Spec], bool] = lambda spec: False
    """Whether a finished piece of work belongs to its pages and is published for them."""

    @property
    def report(self) -> Any:
        """Its module in bench/report/tables.

        Of a table that runs fill, it has `variants(found)`, `page(found, variant)` and `render_terminal(found, variant)`;
        of another `pages(found)`.
        """
        return import_module(f"bench.report.tables.{self.name}")

    def plan(self, options: Options) -> Plan:
        """The runs that a command line asks for; none of a table that no run fills. Raises UserError."""
        return self.planner(self.name, options) if self.planner else Plan((), ())


def pages_of(table: str, found: Found) -> list[Page]:
    """Every page of a table for which something is finished; their names begin with the table's."""
    report = import_module(f"bench.report.tables.{table}")
    if _of_variants(report):
        return [report.page(found, variant) for variant in report.variants(found)]
    return list(report.pages(found))


def completed(page: Page, found: Found, known: Callable[[str], list[Page]] | None = None) -> Page:
    """A page with what every page has: links to related ones, and how many folders of runs could not be read.

    `known`: table -> its pages, where some are made already.
    """
    from bench.report.documents import siblings, views
    from bench.report.sections.runs import with_left_out

    table = views.table_of(page)
    if table == "claims" or _of_variants(import_module(f"bench.report.tables.{table}")):
        page = with_left_out(page, *found.folders)
    others = [other for name in siblings.related(table) for other in (known or partial(pages_of, found=found))(name)]
    return replace(page, also=siblings.line(page, others))


def _of_variants(report: ModuleType) -> bool:
    """Whether runs fill the table, so that it has a page for each kind of them."""
    return hasattr(report, "variants")

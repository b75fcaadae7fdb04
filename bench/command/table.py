"""What a table is: its name, how the command fills it, and which pages show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
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

    def pages(self, found: Found) -> Iterator[Page]:
        """Every page for which something is finished; their names begin with the table's."""
        if self.planner is None:
            yield from self.report.pages(found)
        else:
            yield from (self.report.page(found, variant) for variant in self.report.variants(found))

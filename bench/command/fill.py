"""What the command does of a table that runs fill: answer, plan, send what is missing, write its pages."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.command import hours, pages, plan
from bench.command.data import look_for
from bench.command.table import completed
from bench.files import write_probe
from bench.runs import provenance
from bench.runs.finished import without_damaged
from bench.runs.folder import RunFolder
from bench.runs.spec import RunSpec, Spec

if TYPE_CHECKING:
    from bench.command.options import Options
    from bench.command.plan import Plan
    from bench.command.table import Table


def fill(table: Table, options: Options) -> int:
    """Do what is asked of a table that runs fill. Returns the exit status; raises UserError."""
    asked = table.plan(options)
    if options.elsewhere.weights or options.elsewhere.ensemble:
        from bench.command import pretrained

        pretrained.test(asked.archs, [spec for spec in asked.specs if isinstance(spec, RunSpec)], options)
        return show(table, asked, options)
    if (answer := _answer(table, asked.specs, options)) is not None:
        return answer
    if options.dry_run:
        lines = (plan.describe(asked.specs, options.results), _expected(table, asked.specs, options))
        print("\n".join(filter(None, lines)))
        return 0
    status = 0
    write_probe(options.tables, "--tables")  # rather now than after the last run
    if not options.report and not options.publish:
        status = _send(table, asked.specs, options)
        if options.cluster == "slurm" and not all(RunFolder(options.results, s.run_id).finished() for s in asked.specs):
            return status  # the last job of the launch writes the table
    return max(status, show(table, asked, options))


def show(table: Table, asked: Plan, options: Options) -> int:
    """Write and print the pages of a plan; with --publish, from tables/measured after its runs were copied there."""
    status, results = 0, options.results
    if options.publish:
        from bench.command.publish import publish

        status = publish(asked.specs, results, options.force, "weights" in table.heeds)
        results = (
            pages.MEASURED
        )  # and from there alone comes what is shown: a published page knows no path of this machine

    def make() -> None:
        found = plan.found(results, pages.MEASURED, asked.specs)
        for variant in asked.variants:
            page, shown = table.report.page(found, variant), table.report.render_terminal(found, variant)
            pages.show(completed(page, found), options.tables, shown)

    without_damaged(make)
    return status


def _answer(table: Table, specs: Sequence[Spec], options: Options) -> int | None:
    """Answer what is asked of the runs without computing any. Returns the exit status; None where nothing was asked."""
    slurm = options.slurm
    if not (slurm.status or slurm.logs or slurm.cancel or (options.cluster == "slurm" and options.dry_run)):
        return None
    from bench.command import slurm as console

    if slurm.status:
        return console.print_status(table.name, specs, options)
    if slurm.logs:
        return console.logs(specs, options)
    if slurm.cancel:
        return console.cancel(table.name, specs, options)
    return console.send(table, specs, options, plan.load(options.results, pages.MEASURED))


def _send(table: Table, specs: Sequence[Spec], options: Options) -> int:
    """Compute what is missing, here or on a cluster. Returns the exit status."""
    missing = plan.unfinished(specs, options)
    if not missing:
        print(f"all {len(specs)} runs have a result in {options.results}; --force runs them again")
        return 0
    if reason := provenance.unknown_commit():
        print(f"run.py: warning: commit unknown: {reason}", file=sys.stderr)
    if options.cluster == "slurm":
        from bench.command import slurm as console

        status = console.send(table, specs, options, plan.load(options.results, pages.MEASURED))
        return max(status, console.wait(table.name, specs, options)) if options.slurm.wait else status
    look_for(missing, options.data, options.download)
    print(_expected(table, specs, options), flush=True)
    from bench.compute import local
    from bench.compute.context import Context

    context = Context(options.results, options.source, options.force)
    return local.run_all(missing, context, options.slurm.pack)


def _expected(table: Table, specs: Sequence[Spec], options: Options) -> str:
    return hours.expected(table, specs, options, plan.load(options.results, pages.MEASURED).values())

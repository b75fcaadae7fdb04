"""What the command does of tables that no run fills: counts, simulations, timings, and what was typed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.command import hours, pages, plan
from bench.command.table import completed
from bench.errors import UserError
from bench.files import as_typed, write_probe
from bench.runs import provenance
from bench.runs.spec import Spec

if TYPE_CHECKING:
    from bench.command.options import Options
    from bench.command.table import Table
    from bench.report.page import Page


def committed(why: str, table: Table, options: Options) -> int:
    """Print and write the page of a table that is only read from what is committed. Returns 0."""
    if options.dry_run:
        print(f"{table.name} runs nothing: {why}")
        return 0
    found = plan.found(options.results, pages.MEASURED)
    written = list(table.report.pages(found))
    if not written:
        raise UserError(f"--table {table.name}: nothing is measured yet; run `make benchmarks` first")
    for page in written:
        _show(page, table.report.render_terminal(found), options)
    return 0


def _show(page: Page, text: str, options: Options) -> None:
    """Write a page and print what of it fits a terminal. A published page knows nothing of this machine's results."""
    from bench.runs.finished import without_damaged

    def make() -> None:
        found = plan.found(pages.MEASURED if options.publish else options.results, pages.MEASURED)
        pages.show(completed(page, found), options.tables, text)

    without_damaged(make)


def complexity(table: Table, options: Options) -> int:
    """Count every net; compare the counts with the paper and, with --check, with the committed ones."""
    from bench.studies.complexity import ARCHS

    if options.dry_run:
        print("complexity counts " + ", ".join(arch.name for arch in ARCHS))
        return 0
    from bench.report.tables import complexity as report

    committed = pages.MEASURED / "complexity.json"
    if options.report:
        counts = report.load(committed)
    else:
        from bench.measure.counts.fvcore_count import measure

        counts = {arch.name: measure(arch) for arch in ARCHS}
    if options.publish:
        report.save(committed, counts, provenance.counted())
    _show(report.page(counts), report.render_terminal(counts), options)
    return 0 if all(cost.closed_form for cost in counts.values()) else 1


def calibration(table: Table, options: Options) -> int:
    """Simulate cells of known truth and say what the verdicts make of them. Returns 1 where they are not calibrated."""
    from bench.studies.calibration import settings

    if options.dry_run:
        print(f"calibration simulates {len(settings())} kinds of cells and judges them: seconds, no run")
        return 0
    from bench.report.tables import calibration as report

    committed = pages.MEASURED / "calibration.json"
    write_probe(options.tables, "--tables")
    found = report.load(committed) if options.report else report.simulate()
    if options.publish:
        report.save(committed, found)
    _show(report.page(found), report.render_terminal(found), options)
    return 1 if report.outside(found) else 0


def claims(table: Table, options: Options) -> int:
    """Judge the paper's sentences on the runs that are finished. It runs nothing: the runs are the tables'."""
    if options.dry_run:
        print(_claims_and_runs(options))
        return 0
    from bench.report.tables import claims as report
    from bench.report.tables import complexity as counted
    from bench.runs.finished import without_damaged

    costs = counted.load(pages.MEASURED / "complexity.json")
    folders = (options.results, pages.MEASURED)

    def make() -> None:
        finished = plan.load(*folders)
        shown = report.render_terminal(finished, costs, options.schedule, folders)
        _show(report.page(finished, costs, folders), shown, options)

    without_damaged(make)
    return 0


def throughput(table: Table, options: Options) -> int:
    """Time the nets on this machine, and write the page of all machines that were timed. Returns the exit status."""
    kept, committed = as_typed(options.results) / "throughput.json", pages.MEASURED / "throughput.json"
    if options.dry_run:
        print("throughput runs " + shlex.join(_timing(options, kept)))
        return 0
    from bench.measure.speed import records
    from bench.report.tables import throughput as report

    status = 0
    if not options.report:
        write_probe(options.results)
        write_probe(options.tables, "--tables")
        clean = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
        status = subprocess.run(_timing(options, kept), cwd=provenance.ROOT, env=clean).returncode
    machines = records.load_all(committed, kept)  # what has been timed is kept, also where something failed later
    if options.publish and not status:
        records.save(committed, machines)
    _show(report.page(machines), report.render_terminal(machines), options)
    return int(status)


def _timing(options: Options, kept: Path) -> list[str]:
    """The command that times what is asked for. Raises UserError where that is nothing."""
    from bench.measure.speed import settings

    settings.select(None if options.dry_run else settings.kind(), options.only, options.execution)
    words = ["--speeds", str(kept), "--data", str(as_typed(options.data))]
    words += ["--nets", options.only] if options.only else []
    words += ["--execution", options.execution] if options.execution != "auto" else []
    return [sys.executable, "-m", "pytest", "tests/throughput", *words]


def _claims_and_runs(options: Options) -> str:
    """The claims at a schedule with the runs that each needs, and how those stand. Raises UserError."""
    from bench.report.tables.claims import families
    from bench.studies.claims import CLAIMS, of_table
    from bench.verdicts.claims import name

    exact = [claim for claim in CLAIMS if claim.exact]
    lines = [f"  {claim.id:<28}  {claim.table}: counted, needs no run" for claim in exact]
    needed: dict[Spec, None] = {}
    finished = plan.load(options.results, pages.MEASURED)
    for family in families(finished, options.schedule, (options.results, pages.MEASURED)):
        for claim in of_table(family.table, options.schedule):
            has = ", ".join(f"{name(net)} has {len(family.setting.of(claim).runs(net))}" for net in claim.nets)
            lines.append(f"  {claim.id:<28}  {family.table}: {has}")
            specs = (family.setting.wanted(net, seed) for net in claim.nets for seed in options.seeds.of(net.arch))
            needed.update(dict.fromkeys(work for spec in specs for work in family.work(spec)))
    head = f"{len(lines)} claims; the runs are those of the tables"
    missing = [spec for spec in needed if spec.run_id not in finished and not plan.is_done(spec, options.results)]
    cost = [hours.in_all(missing, hours.of_this_machine(finished.values()))] if missing else []
    return "\n".join([head, *lines, plan.describe([*needed], options.results), *cost])

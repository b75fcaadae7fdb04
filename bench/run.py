"""The command: plan, send what is missing, report. Nothing defined here is ever pickled.

python bench/run.py --table cifar_depth --schedule smoke
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
if sys.path[0] != str(ROOT):  # Python puts this file's folder first, where any name could hide a standard module
    sys.path[:] = [str(ROOT), *(p for p in sys.path if Path(p or ".").resolve() != ROOT / "bench")]

from bench import studies  # noqa: E402
from bench.command import pages, plan  # noqa: E402
from bench.command.options import Options, parse  # noqa: E402
from bench.command.pages import MEASURED  # noqa: E402
from bench.errors import Interrupted, UserError  # noqa: E402
from bench.files import write_probe  # noqa: E402
from bench.runs.finished import without_damaged  # noqa: E402
from bench.runs.folder import RunFolder  # noqa: E402
from bench.runs.scores import evaluations  # noqa: E402
from bench.runs.spec import Spec  # noqa: E402

if TYPE_CHECKING:
    from bench.report.page import Page

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks. Returns the exit status: 0 done, 1 a run or check failed, 2 a person's mistake."""
    try:
        options = parse(arguments)
        if options.elsewhere.evaluate:
            from bench.command import pretrained

            return pretrained.evaluate_cifar(options)
        if options.moving.export or options.moving.imports:
            from bench.command import transfer

            return transfer.export(options) if options.moving.export else transfer.import_(options)
        if options.check:
            from bench.command.check import check

            return check(options)
        before = pages.present(options.tables)
        status = max(TABLES[name](options) for name in options.table)
        if pages.present(options.tables) != before:
            print(f"wrote {pages.write_report(options.results, options.tables)}")
        return status
    except UserError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    except (Interrupted, KeyboardInterrupt) as error:
        words = arguments if arguments is not None else sys.argv[1:]
        again = shlex.join(["python", sys.argv[0], *(word for word in words if word != "--force")])
        print(f"\n{error or 'stopped'}; to go on, give the same command: {again}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough; what had to be written was written before it was printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def cifar_depth(options: Options) -> int:
    """Table 6: plan its runs, send those without a result, write the pages from all that are finished."""
    specs = plan.cifar_depth(options)
    from bench.report.tables import cifar_depth as report
    from bench.studies.variant import Variant

    def show(finished: plan.Finished, results: Path) -> None:
        for variant in {Variant.of(spec): None for spec in specs}:
            page = report.page(finished, variant, plan.unfinished_logs(specs, results))
            _put(page, options, report.render_terminal(finished, variant), results)

    return fill("cifar_depth", specs, options, show)


def imagenet(name: str, options: Options) -> int:
    """Tables 2, 3 and 4, the same way; with --weights and --ensemble, tests of nets that are trained already."""
    variant, specs = plan.imagenet(name, options)
    from bench.report.tables import imagenet as report

    def show(finished: plan.Finished, results: Path) -> None:
        found = evaluations(MEASURED, results)
        ensembles = [each for each in found if each.note == "ensemble"]
        page = report.page(finished, variant, [each for each in found if each.note != "ensemble"], ensembles)
        _put(page, options, report.render_terminal(finished, variant), results)

    if options.elsewhere.weights or options.elsewhere.ensemble:
        from bench.command import pretrained

        pretrained.test(variant.study.archs, specs, options)
        return tell(name, specs, options, show)
    return fill(name, specs, options, show)


def inside(name: str, options: Options) -> int:
    """What happens inside nets, the same way, with what is done with the nets of runs among the runs."""
    variant, specs = plan.inside(name, options)
    from bench.report.sections.runs import Found
    from bench.report.tables import constructed_solution, layer_responses, loss_surface, warmup

    modules = (layer_responses, constructed_solution, loss_surface, warmup)
    report = next(module for module in modules if name == module.TABLE)

    def show(finished: plan.Finished, results: Path) -> None:
        found = Found(finished, (results, MEASURED))
        _put(report.page(found, variant), options, report.render_terminal(found, variant), results)

    return fill(name, specs, options, show)


def gradients(options: Options) -> int:
    """Signals and gradients of every layer: trainings of its own. Returns the exit status."""
    specs = plan.gradients(options)
    from bench.report.sections.runs import Found
    from bench.report.tables import gradients as report
    from bench.studies.variant import GradientVariant

    def show(finished: plan.Finished, results: Path) -> None:
        found = Found(finished, (results, MEASURED))
        for variant in {GradientVariant.of(spec): None for spec in specs}:
            _put(report.page(found, variant), options, report.render_terminal(found, variant), results)

    return fill("gradients", specs, options, show)


Show = Callable[[plan.Finished, Path], None]
"""Writes a table's pages and prints it, from finished runs and the folder of results that they are in."""


def fill(table: str, specs: Sequence[Spec], options: Options, show: Show) -> int:
    """Do what is asked of a table that is filled by runs. Returns the exit status."""
    if (answer := ask(table, specs, options)) is not None:
        return answer
    if options.dry_run:
        print(plan.describe(specs, options.results))
        return 0
    status = 0
    write_probe(options.tables, "--tables")  # rather now than after the last run
    if not options.report and not options.publish:
        status = send(table, specs, options)
        if options.cluster == "slurm" and not all(RunFolder(options.results, s.run_id).finished() for s in specs):
            return status  # the last job of the launch writes the table
    return max(status, tell(table, specs, options, show))


def tell(table: str, specs: Sequence[Spec], options: Options, show: Show) -> int:
    """Write the pages of a table, and before that, with --publish, tables/measured and all that comes from there."""
    status, results = 0, options.results
    if options.publish:
        from bench.command import transfer

        of_images = table in studies.imagenet.STUDIES
        status, results = transfer.publish(specs, results, options.tables, options.force, of_images), MEASURED
        # and from there alone comes what is shown: a published page knows no path of this machine
    without_damaged(lambda: show(plan.load(results, MEASURED), results))
    return status


def ask(table: str, specs: Sequence[Spec], options: Options) -> int | None:
    """Answer what is asked of the runs without computing any. Returns the exit status; None where nothing was asked."""
    slurm = options.slurm
    if not (slurm.status or slurm.logs or slurm.cancel or (options.cluster == "slurm" and options.dry_run)):
        return None
    from bench.command import slurm as console

    if slurm.status:
        return console.print_status(specs, options)
    if slurm.logs:
        return console.logs(specs, options)
    if slurm.cancel:
        return console.cancel(table, specs, options)
    return console.send(table, specs, options, plan.load(options.results, MEASURED))


def send(table: str, specs: Sequence[Spec], options: Options) -> int:
    """Compute what is missing, here or on a cluster. Returns the exit status."""
    missing = [s for s in specs if options.force or not RunFolder(options.results, s.run_id).finished()]
    if not missing:
        print(f"all {len(specs)} runs have a result in {options.results}; --force runs them again")
        return 0
    if options.cluster == "slurm":
        from bench.command import slurm as console

        status = console.send(table, specs, options, plan.load(options.results, MEASURED))
        return max(status, console.wait(table, specs, options)) if options.slurm.wait else status
    from bench.compute import local
    from bench.device import environment

    if __name__ == "__main__":  # where another program calls this, that is not ours to start again
        environment.restart()
    jobs = local.Jobs(options.results, options.source, options.force)
    return local.run_all(missing, jobs, options.slurm.pack)


def complexity(options: Options) -> int:
    """Count every net; hold the counts against the paper and, with --check, against the committed ones."""
    from bench.studies.complexity import ARCHS

    if options.dry_run:
        print("complexity counts " + ", ".join(arch.name for arch in ARCHS))
        return 0
    from bench.report.tables import complexity as report

    committed = MEASURED / "complexity.json"
    if options.report:
        counts = report.load(committed)
    else:
        from bench.measure.counts.fvcore_count import measure

        counts = {arch.name: measure(arch) for arch in ARCHS}
    if options.publish:
        from bench.runs import provenance

        report.save(committed, counts, provenance.counted())
    _put(report.page(counts), options, report.render_terminal(counts))
    return 0 if all(cost.closed_form for cost in counts.values()) else 1


def calibration(options: Options) -> int:
    """Simulate cells of known truth and say what the verdicts make of them. Returns 1 where they are not calibrated."""
    from bench.studies.calibration import settings

    if options.dry_run:
        print(f"calibration simulates {len(settings())} kinds of cells and judges them: seconds, no run")
        return 0
    from bench.report.tables import calibration as report

    committed = MEASURED / "calibration.json"
    write_probe(options.tables, "--tables")
    found = report.load(committed) if options.report else report.simulate()
    if options.publish:
        report.save(committed, found)
    _put(report.page(found), options, report.render_terminal(found))
    return 1 if report.outside(found) else 0


def claims(options: Options) -> int:
    """Judge the paper's sentences on the runs that are finished. It runs nothing: the runs are the tables'."""
    if options.dry_run:
        print(plan.claims(options, MEASURED))
        return 0
    from bench.report.tables import claims as report
    from bench.report.tables import complexity as counted

    costs = counted.load(MEASURED / "complexity.json")
    folders = (options.results, MEASURED)

    def show() -> None:
        finished = plan.load(*folders)
        shown = report.render_terminal(finished, costs, options.schedule, folders)
        _put(report.page(finished, costs, folders), options, shown, options.results)

    without_damaged(show)
    return 0


def benchmarks(name: str, options: Options) -> int:
    """Print what `make benchmarks` has measured of the harness itself, and write its page."""
    if options.dry_run:
        print(f"{name} runs nothing: it shows what `make benchmarks` has measured")
        return 0
    from bench.report.tables import harness, loading

    if name == "harness":
        figures, overheads = (
            harness.load(MEASURED / "harness.json"),
            harness.load_overheads(MEASURED / harness.OVERHEAD),
        )
        _put(harness.page(figures, overheads), options, harness.render_terminal(figures, overheads))
    else:
        found = loading.load(MEASURED / "loading.json")
        _put(loading.page(found), options, loading.render_terminal(found))
    return 0


def third_party(options: Options) -> int:
    """Print what other people's reproductions report, and write its page."""
    if options.dry_run:
        print("third_party runs nothing: it shows what others report")
        return 0
    from bench.report.tables import third_party as report

    _put(report.page(), options, report.render_terminal())
    return 0


def throughput(options: Options) -> int:
    """Time the nets on this machine, and write the page of all machines that were timed. Returns the exit status."""
    kept, committed = options.results.resolve() / "throughput.json", MEASURED / "throughput.json"
    if options.dry_run:
        print("throughput runs " + shlex.join(_timing(options, kept)))
        return 0
    from bench.measure.speed import records
    from bench.report.tables import throughput as report

    machines, status = records.load(committed), 0
    if not options.report:
        write_probe(options.results)
        write_probe(options.tables, "--tables")
        status = subprocess.run(_timing(options, kept), cwd=ROOT).returncode
    for machine in records.load(kept):  # what has been timed is kept, also where something failed later
        machines = records.merge(machines, machine)
    if options.publish and not status:
        records.save(committed, machines)
    _put(report.page(machines), options, report.render_terminal(machines))
    return int(status)


def _timing(options: Options, kept: Path) -> list[str]:
    """The command that times what is asked for. Raises UserError where that is nothing."""
    from bench.measure.speed import settings

    settings.select(None if options.dry_run else settings.kind(), options.only, options.execution)
    words = ["--speeds", str(kept), "--data", str(options.data.resolve())]
    words += ["--nets", options.only] if options.only else []
    words += ["--execution", options.execution] if options.execution != "auto" else []
    return [sys.executable, "-m", "pytest", "tests/throughput", *words]


def _put(page: Page, options: Options, shown: str, results: Path | None = None) -> None:
    """Write a page and print its table; `results` is the folder that its runs come from, besides tables/measured."""
    if results:
        from bench.report.sections.runs import with_left_out

        page = with_left_out(page, results, MEASURED)
    written = pages.put(page, options.tables)
    print(shown)
    print("wrote " + ", ".join(map(str, written)))


TABLES: dict[str, Callable[[Options], int]] = {
    "complexity": complexity,
    "cifar_depth": cifar_depth,
    **{name: partial(imagenet, name) for name in studies.imagenet.STUDIES},
    **{name: partial(inside, name) for name in ("layer_responses", *studies.INSIDE)},
    "gradients": gradients,
    "claims": claims,
    "calibration": calibration,
    "third_party": third_party,
    "harness": partial(benchmarks, "harness"),
    "throughput": throughput,
    "loading": partial(benchmarks, "loading"),
}

if __name__ == "__main__":
    sys.exit(main())

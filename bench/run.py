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
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
if sys.path[0] != str(ROOT):  # Python puts this file's folder first, where any name could hide a standard module
    sys.path[:] = [str(ROOT), *(p for p in sys.path if Path(p or ".").resolve() != ROOT / "bench")]

from bench import plan, studies  # noqa: E402
from bench.errors import Interrupted, UserError  # noqa: E402
from bench.options import Options, parse  # noqa: E402
from bench.spec import RunSpec  # noqa: E402
from bench.store import RunFolder, write_bytes, write_probe, write_text  # noqa: E402

if TYPE_CHECKING:
    from bench.report.page import Page

MEASURED = ROOT / "tables" / "measured"
GUIDE = ROOT / "REPRODUCE.md"
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks. Returns the exit status: 0 done, 1 a run or check failed, 2 a person's mistake."""
    try:
        options = parse(arguments)
        if options.elsewhere.evaluate:
            from bench import elsewhere

            return elsewhere.evaluate_cifar(options)
        return max(TABLES[name](options) for name in options.table)
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
    from bench.report import cifar_depth as pages

    def show(finished: plan.Finished) -> None:
        for variant in {pages.Variant.of(spec): None for spec in specs}:
            # a published page is what tables/measured gives, and knows no path of this machine
            logs = {} if options.publish else plan.unfinished_logs(specs, options.results)
            written = write_page(pages.page(finished, variant, logs), options.tables)
            print(pages.render_terminal(finished, variant))
            print("wrote " + ", ".join(map(str, written)))

    return fill("cifar_depth", specs, options, show, lambda: check_cifar_depth(options.tables) + check_cost())


def imagenet(name: str, options: Options) -> int:
    """Tables 2, 3 and 4, the same way; with --weights and --ensemble, tests of nets that are trained already."""
    variant, specs = plan.imagenet(name, options)
    from bench.report import imagenet as pages

    def show(finished: plan.Finished) -> None:
        written = write_page(imagenet_page(finished, variant, options.results), options.tables)
        print(pages.render_terminal(finished, variant))
        print("wrote " + ", ".join(map(str, written)))

    if options.elsewhere.weights or options.elsewhere.ensemble:
        from bench import elsewhere

        elsewhere.test(variant.study.archs, specs, options)
        show(plan.load(options.results, MEASURED))
        return 0
    return fill(name, specs, options, show, lambda: check_imagenet(name, options.tables))


def fill(
    table: str,
    specs: Sequence[RunSpec],
    options: Options,
    show: Callable[[plan.Finished], None],
    check: Callable[[], list[str]],
) -> int:
    """Do what is asked of a table that is filled by runs. Returns the exit status."""
    if (answer := ask(table, specs, options)) is not None:
        return answer
    if options.dry_run:
        print(plan.describe(specs, options.results))
        return 0
    if options.check:
        return report(f"{table} is not what tables/measured gives", check())
    status = 0
    write_probe(options.tables, "--tables")  # rather now than after the last run
    if not options.report and not options.publish:
        status = send(table, specs, options)
        if options.cluster == "slurm" and not all(RunFolder(options.results, s.run_id).finished() for s in specs):
            return status  # the last job of the launch writes the table
    if options.publish:
        publish(specs, options.results)
    show(plan.load(options.results, MEASURED))
    return status


def ask(table: str, specs: Sequence[RunSpec], options: Options) -> int | None:
    """Answer what is asked of the runs without computing any. Returns the exit status; None where nothing was asked."""
    slurm = options.slurm
    if not (slurm.status or slurm.logs or slurm.cancel or (options.cluster == "slurm" and options.dry_run)):
        return None
    from bench.cluster import console

    if slurm.status:
        return console.status(specs, options)
    if slurm.logs:
        return console.logs(specs, options)
    if slurm.cancel:
        return console.cancel(table, specs, options)
    return console.send(table, specs, options, plan.load(options.results, MEASURED))


def send(table: str, specs: Sequence[RunSpec], options: Options) -> int:
    """Compute what is missing, here or on a cluster. Returns the exit status."""
    missing = [s for s in specs if options.force or not RunFolder(options.results, s.run_id).finished()]
    if not missing:
        print(f"all {len(specs)} runs have a result in {options.results}; --force runs them again")
        return 0
    if options.cluster == "slurm":
        from bench.cluster import console

        status = console.send(table, specs, options, plan.load(options.results, MEASURED))
        return max(status, console.wait(table, specs, options)) if options.slurm.wait else status
    from bench import local, memory

    if __name__ == "__main__":  # where another program calls this, that is not ours to start again
        memory.restart_keeping_memory()
    jobs = local.Jobs(options.results, options.source, options.force)
    return local.run_all(missing, jobs, options.slurm.pack)


def publish(specs: Sequence[RunSpec], results: Path) -> None:
    """Copy finished runs, without checkpoints and logs, to tables/measured."""
    for spec in specs:
        source, target = RunFolder(results, spec.run_id), RunFolder(MEASURED, spec.run_id)
        if source.finished():
            source.read_result()
            for name in ("spec", "metrics", "provenance", "result", "evaluation"):
                if getattr(source, name).exists():
                    write_text(getattr(target, name), getattr(source, name).read_text())
            print(f"{spec.run_id} -> {target.path}")
    write_text(GUIDE, cost_in_guide())


def write_page(page: Page, tables: Path) -> list[Path]:
    """Write a page and its figures; returns their paths."""
    from bench.report import figure, markdown

    text = markdown.render(page)
    drawn = {p: b for f in page.figures for p, b in figure.save(f.chart(), tables / "figures" / f.name).items()}
    for path, data in drawn.items():
        write_bytes(path, data)
    write_text(tables / f"{page.name}.md", text)  # last: whatever is damaged has been found by now
    return [tables / f"{page.name}.md", *drawn]


def check_cifar_depth(tables: Path) -> list[str]:
    """A line for each committed page that differs from what the committed results give."""
    from bench.report import cifar_depth as pages
    from bench.store import finished_runs

    finished = finished_runs(MEASURED)
    variants = {pages.PAPER, *(pages.Variant.of(run.spec) for run in finished.values())}
    expected = {f"{variant.name}.md": pages.render(finished, variant, {}) for variant in variants}
    lines = differences(tables, expected)
    ignored = {path.name for path in tables.glob("cifar_depth*.smoke*.md")} | {"cifar_depth.smoke.md"}
    strays = {path.name for path in tables.glob("cifar_depth*.md")} - expected.keys() - ignored
    return lines + [f"{tables / name}: no results in tables/measured give this page" for name in sorted(strays)]


def cost_in_guide() -> str:
    """REPRODUCE.md with the cost of the study as the committed runs give it."""
    from bench.report import cost
    from bench.store import finished_runs

    return cost.with_cost(GUIDE.read_text(), finished_runs(MEASURED))


def check_cost() -> list[str]:
    """A line where the table of cost in REPRODUCE.md is not what the committed runs give."""
    return differences(GUIDE.parent, {GUIDE.name: cost_in_guide()})


def imagenet_page(finished: plan.Finished, variant: Any, results: Path) -> Page:
    from bench.report import imagenet as pages
    from bench.store import evaluations

    others = evaluations(MEASURED, results)
    ensembles = [found for found in others if found.note == "ensemble"]
    return pages.page(finished, variant, [found for found in others if found.note != "ensemble"], ensembles)


def check_imagenet(name: str, tables: Path) -> list[str]:
    """A line for each committed page of a table that differs from what the committed results give."""
    from bench.report import markdown
    from bench.report.imagenet import Variant
    from bench.store import finished_runs
    from bench.studies.imagenet import STUDIES

    finished = finished_runs(MEASURED)
    variant = Variant(STUDIES[name], "paper")
    return differences(tables, {f"{variant.name}.md": markdown.render(imagenet_page(finished, variant, MEASURED))})


def complexity(options: Options) -> int:
    """Count every net; hold the counts against the paper and, with --check, against the committed ones."""
    from bench.studies.complexity import ARCHS

    if options.dry_run:
        print("complexity counts " + ", ".join(arch.name for arch in ARCHS))
        return 0
    from bench.report import complexity as pages

    committed = MEASURED / "complexity.json"
    if options.report:
        counts = pages.load(committed)
    else:
        from bench.measure.cost import measure

        counts = {arch.name: measure(arch) for arch in ARCHS}
    if options.check:
        lines = pages.regressions(counts, pages.load(committed))
        lines += differences(options.tables, {"complexity.md": pages.render(counts)})
        return report("complexity has changed", lines)
    if options.publish:
        from bench import provenance

        pages.save(committed, counts, provenance.counted())
    written = write_page(pages.page(counts), options.tables)
    print(pages.render_terminal(counts))
    print("wrote " + ", ".join(map(str, written)))
    return 0 if all(cost.closed_form for cost in counts.values()) else 1


def calibration(options: Options) -> int:
    """Simulate cells of known truth and say what the verdicts make of them. Returns 1 where they are not calibrated."""
    from bench.studies.calibration import settings

    if options.dry_run:
        print(f"calibration simulates {len(settings())} kinds of cells and judges them: seconds, no run")
        return 0
    from bench.report import calibration as pages

    committed = MEASURED / "calibration.json"
    if options.check:
        expected = {"calibration.md": pages.render(pages.load(committed))}
        return report("calibration is not what tables/measured gives", differences(options.tables, expected))
    write_probe(options.tables, "--tables")
    found = pages.load(committed) if options.report else pages.simulate()
    if options.publish:
        pages.save(committed, found)
    written = write_page(pages.page(found), options.tables)
    print(pages.render_terminal(found))
    print("wrote " + ", ".join(map(str, written)))
    return 1 if pages.outside(found) else 0


def claims(options: Options) -> int:
    """Judge the paper's sentences on the runs that are finished. It runs nothing: the runs are the tables'."""
    if options.dry_run:
        print(plan.claims(options, MEASURED))
        return 0
    from bench.report import claims_page as pages
    from bench.report import complexity as counted
    from bench.store import finished_runs

    costs = counted.load(MEASURED / "complexity.json")
    if options.check:
        expected = {"claims.md": pages.render(finished_runs(MEASURED), costs)}
        return report("claims is not what tables/measured gives", differences(options.tables, expected))
    finished = plan.load(options.results, MEASURED)
    written = write_page(pages.page(finished, costs), options.tables)
    print(pages.render_terminal(finished, costs, options.schedule))
    print("wrote " + ", ".join(map(str, written)))
    return 0


def benchmarks(name: str, options: Options) -> int:
    """Print what `make benchmarks` has measured of the harness itself, and write its page."""
    if options.dry_run:
        print(f"{name} runs nothing: it shows what `make benchmarks` has measured")
        return 0
    from bench.report import harness, loading

    measured = MEASURED / f"{name}.json"
    if name == "harness":
        figures = harness.load(measured)
        text, shown = harness.render(figures), harness.render_terminal(figures)
    else:
        found = loading.load(measured)
        text, shown = loading.render(found), loading.render_terminal(found)
    if options.check:
        return report(f"{name} is not what tables/measured gives", differences(options.tables, {f"{name}.md": text}))
    write_text(options.tables / f"{name}.md", text)
    print(shown)
    return 0


def third_party(options: Options) -> int:
    """Print what other people's reproductions report, and write its page."""
    if options.dry_run:
        print("third_party runs nothing: it shows what others report")
        return 0
    from bench.report import markdown
    from bench.report import third_party as pages

    page = pages.page()
    if options.check:
        lines = differences(options.tables, {"third_party.md": markdown.render(page)})
        return report("third_party is not what tables/published gives", lines)
    written = write_page(page, options.tables)
    print(pages.render_terminal())
    print("wrote " + ", ".join(map(str, written)))
    return 0


def throughput(options: Options) -> int:
    """Time the nets on this machine, and write the page of all machines that were timed. Returns the exit status."""
    nets = ["--nets", options.only] if options.only else []
    kept, committed = options.results.resolve() / "throughput.json", MEASURED / "throughput.json"
    speeds = ["--speeds", str(kept)]
    command = [sys.executable, "-m", "pytest", "tests/throughput", "--benchmark-json=/dev/null", *nets, *speeds]
    if options.dry_run:
        print("throughput runs " + " ".join(map(shlex.quote, command)))
        return 0
    from bench.report import throughput as pages

    if options.check:
        expected = {"throughput.md": pages.render(pages.load(committed))}
        return report("throughput is not what tables/measured gives", differences(options.tables, expected))
    if not options.report:
        write_probe(options.results)
        if status := subprocess.run(command, cwd=ROOT).returncode:
            return int(status)
    machines = pages.load(committed)
    for machine in pages.load(kept):
        machines = pages.merge(machines, machine)
    if options.publish:
        pages.save(committed, machines)
    write_text(options.tables / "throughput.md", pages.render(machines))
    print(pages.render_terminal(machines))
    print(f"wrote {options.tables / 'throughput.md'}")
    return 0


def differences(tables: Path, expected: dict[str, str]) -> list[str]:
    """A line for each page that is missing or differs from the expected text, with its first differing line."""
    lines = []
    for name, text in sorted(expected.items()):
        path = tables / name
        if not path.exists():
            lines.append(f"{path}: missing")
        elif (found := path.read_text()) != text:
            pairs = zip([*text.splitlines(), ""], [*found.splitlines(), ""], strict=False)
            number, (want, have) = next((i, p) for i, p in enumerate(pairs, start=1) if p[0] != p[1])
            lines.append(f"{path}:{number}: expected {want!r}, found {have!r}")
    return lines


def report(heading: str, lines: Sequence[str]) -> int:
    """Print what a check found. Returns the exit status."""
    if lines:
        print("\n".join([f"{heading}:", *(f"  {line}" for line in lines)]), file=sys.stderr)
    return 1 if lines else 0


TABLES: dict[str, Callable[[Options], int]] = {
    "complexity": complexity,
    "cifar_depth": cifar_depth,
    **{name: partial(imagenet, name) for name in studies.imagenet.STUDIES},
    "calibration": calibration,
    "third_party": third_party,
    "claims": claims,
    "harness": partial(benchmarks, "harness"),
    "throughput": throughput,
    "loading": partial(benchmarks, "loading"),
}

if __name__ == "__main__":
    sys.exit(main())

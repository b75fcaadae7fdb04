"""What stands behind a cell: runs, seeds, code, environment, device, hours, jobs, deviations, and how to make it anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.report.page import Manifest, Part, Patch, Section, Table, grid
from bench.report.sections.runs import RUNS_ONE_BY_ONE, Sentences, put_together, sentences
from bench.runs.finished import Finished
from bench.verdicts.published import PublishedNumber

Quantities = Sequence[tuple[str, Callable[[Finished[Any]], float | None]]]
"""What is shown of each run: its name, and the number in percent."""


def of_runs(
    title: str,
    runs: Sequence[Finished[Any]],
    quantities: Quantities,
    deviations: Sentences,
    choices: Sentences,
    command: str,
) -> Manifest:
    """Of the cells that stand on these runs. `command` runs them again, and no others."""

    def parts() -> list[Part]:
        facts = [run.provenance for run in runs]
        listed = [_runs(runs, facts, quantities)] if len(runs) <= RUNS_ONE_BY_ONE else put_together(runs, facts)
        return [
            f"{len(runs)} run{'s' if len(runs) > 1 else ''}, seed{'s' if len(runs) > 1 else ''} {_seeds(runs)}; "
            f"{sum(run.result.wall_seconds for run in runs) / 3600:,.2f} hours in all.",
            anew(command + _execution(facts)),
            *listed,
            *_environments(runs, facts),
            *_patches(runs, facts),
            *sentences(runs, deviations, choices),
        ]

    return Manifest(title, parts)


def of_nothing(title: str, command: str, log: str | None) -> Manifest:
    """Of the cells of a net that has no finished run."""
    said = f"It was started and has no result; the end of its log says why: `{log}`." if log else "No run yet."
    return Manifest(title, lambda: [said, anew(command)])


def of_benchmark(title: str, rounds: str, where: str) -> Manifest:
    """Of what `make benchmarks` times."""
    return Manifest(title, lambda: ["Timed in rounds.", anew("make benchmarks"), f"- {rounds}\n- on {where}"])


def anew(command: str) -> str:
    """The command as a block of its own."""
    return f"```sh\n{command}\n```"


def _execution(facts: Sequence[dict[str, Any]]) -> str:
    """The option that executes the runs the way they were, where all were executed alike."""
    ways = {fact.get("execution") for fact in facts}
    return f" --execution {ways.pop()}" if len(ways) == 1 and None not in ways else ""


def of_paper(number: PublishedNumber, others: Table | None) -> Manifest:
    """Of a number that the paper prints: where it stands, what it is, and what others report in its place."""

    def parts() -> list[Part]:
        printed = f"printed as `{number.printed}`" if number.printed else f"read off the figure as {number.value}"
        lines = [
            f"- {number.locator}: {printed}",
            f"- statistic: {number.statistic}",
            f"- protocol: {number.protocol}",
            *([f"- {number.note}"] if number.note else []),
        ]
        return ["\n".join(lines), *([Section("Other people's reproductions", [others])] if others else [])]

    return Manifest(f"{number.net} in the paper", parts)


def _seeds(runs: Sequence[Finished[Any]]) -> str:
    """`0 to 4`, or `0, 2, 5`."""
    seeds = sorted(run.spec.seed for run in runs)
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _runs(runs: Sequence[Finished[Any]], facts: Sequence[dict[str, Any]], quantities: Quantities) -> Table:
    lines = []
    for run, fact in zip(runs, facts, strict=True):
        values = [of_run(run) for _, of_run in quantities]
        lines.append(
            [
                str(run.spec.seed),
                *("" if value is None else f"{value:.2f}" for value in values),
                f"{run.result.wall_seconds / 3600:.2f}",
                fact["device"]["name"],
                fact.get("execution", ""),
                (fact["code"]["commit"] or "unknown")[:10] + (" + patch" if fact["code"]["patch"] else ""),
                _job(fact.get("slurm") or {}),
                str(fact.get("restarts", 0)),
                str(fact.get("ended", ""))[:10],
                f"`{run.spec.run_id}`",
            ]
        )
    names = [name for name, _ in quantities]
    headers = ["seed", *names, "hours", "device", "execution", "commit", "job", "restarts", "ended", "run"]
    return grid(lines, headers, range(len(names) + 2))


def _job(slurm: dict[str, str]) -> str:
    """The scheduler's numbers, or that there was none."""
    if "array_job_id" in slurm:
        return f"{slurm['array_job_id']}_{slurm.get('array_task_id', '?')}"
    return slurm.get("job_id", "no scheduler")


def _environments(runs: Sequence[Finished[Any]], facts: Sequence[dict[str, Any]]) -> list[Part]:
    """Packages, machine and settings, once for all runs that share them."""
    found: dict[str, list[Finished[Any]]] = {}
    for run, fact in zip(runs, facts, strict=True):
        found.setdefault(_environment(fact), []).append(run)
    lines = [said if len(found) == 1 else f"Seeds {_seeds(members)}:\n\n{said}" for said, members in found.items()]
    return [Section("Environment", lines)]


def _environment(fact: dict[str, Any]) -> str:
    device = fact["device"]
    versions = [f"Python {fact['python']}", *(f"{name} {version}" for name, version in fact["packages"].items())]
    versions += [f"{name} {device[name]}" for name in ("driver", "cuda", "cudnn") if device.get(name)]
    on = [name.replace("_", " ") for name, value in fact["deterministic"].items() if value]
    return "\n".join(
        [
            f"- commit `{fact['code']['commit'] or 'unknown'}`" + (", with a patch" if fact["code"]["patch"] else ""),
            f"- {', '.join(versions)}",
            f"- {device['name']}; processor {fact['cpu']}; {fact['threads']} threads",
            f"- {fact['platform']}; host `{fact['host']}`",
            f"- precision {fact['precision']}; deterministic flags on: {', '.join(on) or 'none'}",
        ]
    )


def _patches(runs: Sequence[Finished[Any]], facts: Sequence[dict[str, Any]]) -> list[Part]:
    """What was not committed when these runs were made."""
    found: dict[str, list[Finished[Any]]] = {}
    for run, fact in zip(runs, facts, strict=True):
        if patch := fact["code"]["patch"]:
            found.setdefault(patch, []).append(run)
    return [Patch(f"Patch of seed {_seeds(members)}", text) for text, members in found.items()]

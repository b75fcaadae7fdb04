"""What a person says to a table's runs on a cluster, and sees of them."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.cluster import launch, status, submissions
from bench.cluster.launch import Launch
from bench.cluster.status import Standing, Survey
from bench.cluster.submissions import Submission
from bench.command import hours
from bench.command.data import look_for
from bench.command.options import Options
from bench.command.table import Table
from bench.compute.job import format_duration
from bench.errors import UserError
from bench.files import as_typed, write_probe
from bench.measure.counts.estimate import Estimator
from bench.runs import lease
from bench.runs.finished import FinishedRun
from bench.runs.folder import RunFolder
from bench.runs.spec import Spec
from slurm import array, states
from slurm.programs import NoSlurm, call
from slurm.site import MAX_ARRAY_SIZE
from slurm.states import TaskState

POLL_SECONDS = 5.0
"""Between two looks at the queue with --wait."""


def send(table: Table, specs: Sequence[Spec], options: Options, finished: dict[str, FinishedRun]) -> int:
    """Print the plan, send what is missing and not under way, and say where it is. Returns the exit status."""
    slurm = options.slurm
    chosen = launch.load_profile(slurm.profile)
    results, data = as_typed(options.results), as_typed(options.data)
    if options.dry_run:
        missing, _ = _to_send(specs, results, options, say=True)
        planned = launch.arrange(missing, chosen, slurm.overrides, slurm.pack, _limit())
        print("\n".join(_described(table, planned, options, finished, results)))
        for number, each in enumerate(planned, start=1):
            print(f"\n# array {number}\n{array.script(launch.preview(each, results, number))}", end="")
        return 0
    cluster = launch.ask_site()
    last = launch.report_resources(chosen, slurm.overrides)
    arrays = launch.arrange(specs, chosen, slurm.overrides, slurm.pack, cluster.max_array_size)
    notes = launch.check([*arrays, launch.Planned("report", last, ((),))], cluster, results)
    write_probe(results / "slurm", "--results")
    with lease.held(results / "slurm" / ".lock", _busy, math.inf):  # two at once would find the same runs missing
        missing, under_way = _to_send(specs, results, options, say=True)
        if not missing:
            return 0
        look_for(missing, data, options.download)
        planned = launch.arrange(missing, chosen, slurm.overrides, slurm.pack, cluster.max_array_size)
        print("\n".join([*_described(table, planned, options, finished, results), *notes]))
        source, again = replace(options.source, folder=data), options.report_arguments(table.name)
        orders = Launch(table.name, results, source, options.force, again, last, under_way)
        sent = launch.send(planned, orders, cluster)
    for number, entry in enumerate(sent.arrays, start=1):
        print(f"sent array {number} as job {entry.job_id}, {len(entry.tasks)} tasks")
    if sent.report:
        print(f"sent the report as job {sent.report.job_id}: it writes {as_typed(options.tables)} when they have ended")
    print(f"logs: {submissions.folder(results, sent.stamp)}, and log.txt in the folder of each run")
    print(_what_next(table.name, options))
    return 0


def _busy(holder: lease.Holder) -> str:
    return f"{holder.name} is sending runs: wait for it"


def _what_next(table: str, options: Options) -> str:
    """What to type to follow or end the runs that were sent."""
    return (
        f"state of every run: {options.command('status', table)}\nend of all of them: {options.command('cancel', table)}\n"
        "nobody needs to stay logged in"
    )


def _limit() -> int:
    try:
        return launch.ask_site().max_array_size
    except UserError:
        return MAX_ARRAY_SIZE  # a plan can be seen on a machine without Slurm


def _described(
    table: Table,
    planned: Sequence[launch.Planned],
    options: Options,
    finished: dict[str, FinishedRun],
    results: Path,
) -> list[str]:
    """The plan, with its hours and those of shorter schedules."""
    estimator = _estimator(planned, finished)
    return [
        *launch.describe(planned, estimator, results),
        *(hours.shorter(table, options, estimator) if planned else []),
    ]


def _estimator(planned: Sequence[launch.Planned], finished: dict[str, FinishedRun]) -> Estimator:
    on_gpu = any(each.profile.gpus for each in planned)
    return Estimator("cuda" if on_gpu else "cpu", finished.values())


def _to_send(specs: Sequence[Spec], results: Path, options: Options, say: bool) -> tuple[list[Spec], dict[str, str]]:
    """The runs that have no result and are not under way; with `retry`, only those that failed or were lost.

    And the jobs of those that are under way, by run.
    """
    survey = status.survey(specs, results)
    if survey.note and survey.in_state("unknown"):
        raise UserError(f"--cluster slurm: {survey.note}: the queue is unknown; give the command again later")
    wanted = _to_retry if options.slurm.retry else partial(_to_compute, force=options.force)
    by_id = {found.run_id: found for found in survey.standings}
    chosen = [spec for spec in specs if wanted(by_id[spec.run_id])]
    print(f"{len(specs)} runs in {results}: {_counts(survey)}; {len(chosen)} to send")
    diverged = [found for found in survey.standings if found.diverged]
    if options.slurm.retry and diverged:
        print(
            f"{len(diverged)} diverged: that is a result and would come out again; --force --only NET runs them again"
        )
    jobs = [(found.run_id, found.sent.array.job_id) for found in survey.standings if found.under_way and found.sent]
    return chosen, {run_id: job_id for run_id, job_id in jobs if job_id}


def _to_retry(found: Standing) -> bool:
    return found.state in ("failed", "lost") and not found.diverged


def _to_compute(found: Standing, force: bool) -> bool:
    return not found.under_way and (force or not _has_result(found))


def _counts(survey: Survey) -> str:
    """`2 done, 1 running`: the states in their order."""
    counts = Counter(found.state for found in survey.standings)
    return ", ".join(f"{counts[state]} {state}" for state in status.STATES if counts[state])


def _has_result(found: Standing) -> bool:
    return found.state == "done" or found.diverged


def print_status(table: str, specs: Sequence[Spec], options: Options) -> int:
    """Print how every run stands. Returns 0."""
    survey = status.survey(specs, as_typed(options.results))
    print(render(survey, len(specs)))
    if failed := survey.in_state("failed", "lost"):
        print(f"end of a log: {options.command('logs', table, failed[0].run_id)}")
        print(f"send the failed and lost ones again: {options.command('retry', table)}")
    return 0


def render(survey: Survey, total: int) -> str:
    """A line for each run, and the counts."""
    width = max((len(found.run_id) for found in survey.standings), default=0)
    lines = [f"{found.run_id:<{width}}  {found.state:<8} {_facts(found)}".rstrip() for found in survey.standings]
    lines.append(f"{total} runs: {_counts(survey)}")
    if survey.note:
        lines.append(
            f"the scheduler cannot be asked from here ({survey.note}): states are what the runs themselves wrote"
        )
    stuck = [found for found in survey.in_state("queued") if ":" in found.why]
    if stuck:
        lines.append(f"{len(stuck)} of the queued do not start by themselves")
    return "\n".join(lines)


def _facts(found: Standing) -> str:
    beat = found.beat
    if found.state == "running" and beat and beat.iterations and beat.state == "running":
        left = "" if beat.seconds_left is None else f", ETA {format_duration(beat.seconds_left)}"
        speed = f"{beat.iteration} of {beat.iterations}, {beat.images_per_second:.0f} images/s{left}"
        return f"on {found.node}, {speed}" + (f" (job {found.job_id})" if found.job_id else "")
    if found.state == "running":
        return f"on {found.node}, {found.why or 'starting'}" + (f" (job {found.job_id})" if found.job_id else "")
    if found.state == "queued":
        resumes = f", goes on from iteration {beat.iteration}" if beat and beat.iteration else ""
        return f"{found.why or 'waiting'}{resumes} (job {found.job_id})" if found.job_id else found.why
    if found.state in ("failed", "lost"):
        return found.why + (f" (log: {found.log})" if found.log else "")
    return found.why


def logs(specs: Sequence[Spec], options: Options) -> int:
    """Print the end of one run's log, and what its task said where the run itself said nothing of its end."""
    wanted = options.slurm.logs or ""
    survey = status.survey(specs, as_typed(options.results))
    found = [each for each in survey.standings if each.run_id.startswith(wanted)]
    if len(found) != 1:
        names = ", ".join(each.run_id for each in (found or survey.standings)[:12])
        raise UserError(f"logs {wanted} names {len(found)} runs of this table: choose from {names}")
    (one,) = found
    print(f"{one.run_id}: {one.state}{f', {one.why}' if one.why else ''}")
    _print_end(RunFolder(as_typed(options.results), one.run_id).log)
    if one.sent and one.sent.array.job_id and one.state in ("failed", "lost"):
        _print_end(one.sent.array.stderr(one.sent.index))
    return 0


def _print_end(path: Path) -> None:
    if path.exists():
        print(f"--- {path}")
        print("\n".join(status.last_lines(path, 40)))


def cancel(table: str, specs: Sequence[Spec], options: Options) -> int:
    """End what this table has in the queue, and nothing else. Returns the exit status."""
    results = as_typed(options.results)
    ids = {spec.run_id for spec in specs}
    try:
        queue = states.of_queue()
        jobs: list[str] = []
        runs: list[str] = []
        for submission in submissions.read_all(results):
            if submission.table == table:
                of_this, ended = _to_cancel(submission, ids, queue)
                jobs += of_this
                runs += ended
                if ended:
                    replace(submission, cancelled=(*submission.cancelled, *ended)).write(results)
        if jobs:
            call("scancel", *jobs)
    except NoSlurm as error:
        raise UserError(f"cancel: {error}: give it where the cluster can be reached") from error
    print(f"cancelled {len(runs)} runs" if runs else "nothing of this table is queued or running")
    return 0


def _to_cancel(
    submission: Submission, ids: Container[str], queue: Mapping[tuple[str, int], TaskState]
) -> tuple[list[str], list[str]]:
    """The jobs of a launch that scancel must end for the runs `ids`, and all runs that end with them.

    An array is ended as one job where all that is left of it goes, and the report where nothing is left that it waits for.
    """
    jobs: list[str] = []
    runs: list[str] = []
    stays = False
    for entry in submission.arrays:
        active = {i: s for i in range(len(entry.tasks)) if (s := queue.get((entry.comment, i))) and s.active}
        ours = [i for i in active if any(run_id in ids for run_id in entry.tasks[i])]
        runs += [run_id for i in ours for run_id in entry.tasks[i]]
        whole = len(ours) == len(active)
        stays = stays or not whole
        if ours:
            jobs += [entry.job_id or ""] if whole else [active[i].job_id for i in ours]
    report = queue.get((f"{submission.stamp}.report", 0))
    if report and report.active and not stays:
        jobs.append(report.job_id)
    return jobs, runs


def wait(table: str, specs: Sequence[Spec], options: Options) -> int:
    """Stay until nothing of the table is under way, showing how far it is. Returns 1 where a run failed."""
    results = as_typed(options.results)
    show = _Live() if sys.stdout.isatty() else _Plain()
    try:
        while True:
            survey = status.survey(specs, results)
            show(survey, len(specs))
            if not any(found.under_way for found in survey.standings) and not _report_waits(table, results):
                break
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        print(f"\nthe jobs go on\n{_what_next(table, options)}", file=sys.stderr)
        return 130
    finally:
        show.close()
    return 1 if survey.in_state("failed", "lost", "stopped", "unknown") else 0


def _report_waits(table: str, results: Path) -> bool:
    mine = [s for s in submissions.read_all(results) if s.table == table and s.report]
    if not mine:
        return False
    try:
        state = states.of_queue().get((f"{mine[-1].stamp}.report", 0))
    except NoSlurm:
        return False
    return state is not None and state.active


class _Plain:
    """A line when something has changed."""

    def __init__(self) -> None:
        self.last = ""

    def __call__(self, survey: Survey, total: int) -> None:
        text = f"{total} runs: {_counts(survey)}"
        for found in survey.in_state("running"):
            if found.beat and found.beat.iterations:
                text += f"; {found.run_id} {100 * found.beat.iteration // found.beat.iterations} %"
        if text != self.last:
            print(text, flush=True)
            self.last = text

    def close(self) -> None:
        pass


class _Live:
    """The states of all runs, kept up to date."""

    def __init__(self) -> None:
        from rich.live import Live

        self.live = Live(auto_refresh=False)
        self.live.start()

    def __call__(self, survey: Survey, total: int) -> None:
        from rich.text import Text

        self.live.update(Text(render(survey, total)), refresh=True)

    def close(self) -> None:
        self.live.stop()

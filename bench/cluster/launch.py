"""From the missing runs of a table to job arrays in the queue."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.cluster import snapshot, submissions
from bench.cluster.submissions import SentArray, Submission
from bench.cluster.task import Work, report, work
from bench.compute.context import Context
from bench.device.environment import ENVIRONMENT
from bench.errors import UserError
from bench.measure.counts.estimate import Estimate, Estimator, format_hours, total
from bench.runs.spec import Spec
from bench.training.source import Source
from models.arch import Arch
from slurm import array, profile, site
from slurm.array import Array
from slurm.profile import ClusterProfile, Profile
from slurm.programs import NoSlurm
from slurm.sbatch_options import ProfileError
from slurm.site import Site

SHAPES = ("cifar", "deep", "imagenet", "report")
"""Resource shapes. What a task of each needs beyond others stands in the profile `default`; any profile overrides it."""
DEEP = 1000
"""Layers from which a CIFAR net is of the shape `deep`."""


def shape_of(arch: Arch) -> str:
    """The resource shape of a net's runs."""
    if arch.family == "cifar":
        return "deep" if arch.depth >= DEEP else "cifar"
    return "imagenet"


@dataclass(frozen=True)
class Planned:
    """An array to be: its shape, resources, and the runs of each task."""

    shape: str
    profile: ClusterProfile
    tasks: tuple[tuple[Spec, ...], ...]

    @property
    def needs(self) -> set[str]:
        """Runs that must have ended before."""
        return {run.run_id for task in self.tasks for spec in task for run in spec.needs}


def load_profile(name: str) -> Profile:
    """The profile of that name. Raises UserError."""
    try:
        return profile.load(name, SHAPES)
    except ProfileError as error:
        raise UserError(f"--profile {name}: {error}") from error


def arrange(
    specs: Sequence[Spec], chosen: Profile, overrides: Mapping[str, Any], pack: int, limit: int
) -> list[Planned]:
    """Arrays of at most `limit` tasks, one or more for each resource shape; `pack` small runs share a task.

    What takes the nets of runs comes in arrays of its own, after those of the runs.

    Raises UserError where the profile has a wrong value.
    """
    shapes: dict[tuple[bool, str], list[Spec]] = {}
    for spec in sorted(specs, key=lambda spec: bool(spec.needs)):
        shapes.setdefault((bool(spec.needs), shape_of(spec.arch)), []).append(spec)
    planned = []
    for (_, shape), runs in shapes.items():
        resources = resolve(chosen, shape, overrides)
        if shape == "cifar" and resources.processes > 1:
            raise UserError(
                f"nodes {resources.nodes} and tasks_per_node {resources.tasks_per_node} make {resources.processes} processes "
                "of one run: CIFAR nets are trained by one; give 1 of each, or these keys under [shape.imagenet]"
            )
        size = pack if shape == "cifar" else 1
        tasks = [tuple(runs[i : i + size]) for i in range(0, len(runs), size)]
        planned += [Planned(shape, resources, tuple(tasks[i : i + limit])) for i in range(0, len(tasks), limit)]
    return planned


def resolve(chosen: Profile, shape: str, overrides: Mapping[str, Any]) -> ClusterProfile:
    """The resources of a shape. Raises UserError."""
    try:
        return chosen.shape(shape, load_profile("default").shapes.get(shape, {}), overrides)
    except ProfileError as error:
        raise UserError(f"--cluster slurm: {error}") from error


def report_resources(chosen: Profile, overrides: Mapping[str, Any]) -> ClusterProfile:
    """The resources of the report. Raises UserError."""
    try:
        return chosen.report(overrides)
    except ProfileError as error:
        raise UserError(f"--cluster slurm: {error}") from error


def check(planned: Sequence[Planned], cluster: Site, results: Path) -> list[str]:
    """Raise UserError where sbatch would refuse one of the arrays.

    sbatch is asked about what sinfo does not show. Returns a line for each thing that looks wrong and that sbatch takes.
    """
    notes: dict[str, None] = {}
    asked: list[ClusterProfile] = []
    for each in planned:
        if each.profile in asked:
            continue
        asked.append(each.profile)
        said = site.objection(each.profile, cluster)
        if said is None and not each.profile.sbatch and each.profile.gpu_type is None:
            continue
        try:
            refused = array.refusal(preview(each, results))
        except NoSlurm as error:
            raise UserError(f"--cluster slurm: {error}: use --cluster local, or mend that and give it again") from error
        if refused:
            raise UserError(f"--cluster slurm: {f'{said} (sbatch: {refused})' if said else f'sbatch: {refused}'}")
        if said:
            notes[f"note: {said}; sbatch takes it"] = None
    return list(notes)


def describe(planned: Sequence[Planned], estimator: Estimator, results: Path) -> list[str]:
    """The plan: runs of each array, what they will cost, and how they are queued."""
    lines = []
    device = "GPU" if estimator.kind == "cuda" else "CPU"
    for number, each in enumerate(planned, start=1):
        runs = [spec for task in each.tasks for spec in task]
        estimates = [estimator(spec) for spec in runs]
        gpus = max(1, each.profile.gpus * each.profile.processes)
        packed = max(map(len, each.tasks))
        lines.append(
            f"array {number}, shape {each.shape}: {_count(len(each.tasks), 'task')} of {_count(packed, 'run')}"
            + (f" on {gpus} GPUs each" if gpus > 1 else "")
            + _after(each, planned)
        )
        lines += [f"  {nets}" for nets in _nets(runs, estimates, device)]
        options = " ".join(array.directives(preview(each, results, number)))
        lines += textwrap.wrap(
            options, 110, initial_indent="  sbatch ", subsequent_indent="    ", break_on_hyphens=False
        )
    whole = total([spec for each in planned for task in each.tasks for spec in task], estimator)
    lines.append(f"expected: {format_hours(whole.hours)} of {device} time in all, {whole.source}")
    return lines


def _after(each: Planned, planned: Sequence[Planned]) -> str:
    """Which arrays of the same launch it waits for."""
    runs = [{spec.run_id for task in other.tasks for spec in task} for other in planned]
    numbers = [str(number) for number, ids in enumerate(runs, start=1) if ids & each.needs]
    return f", after array {' and '.join(numbers)}, whose nets they take" if numbers else ""


def _nets(runs: Sequence[Spec], estimates: Sequence[Estimate], device: str) -> list[str]:
    of_net: dict[str, list[tuple[int, float]]] = {}
    for spec, estimate in zip(runs, estimates, strict=True):
        of_net.setdefault(spec.name, []).append((spec.seed, estimate.hours))
    lines = []
    for net, found in of_net.items():
        seeds = [seed for seed, _ in found]
        said = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds, {min(seeds)} to {max(seeds)}"
        if 1 < len(seeds) < 6 and seeds != list(range(seeds[0], seeds[-1] + 1)):
            said = f"seeds {', '.join(map(str, seeds))}"
        lines.append(f"{net:<22} {said:<18} {format_hours(found[0][1])} of {device} time each")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def preview(planned: Planned, results: Path, number: int = 1) -> Array:
    """The array as it would be sent, for its script."""
    calls = [(None,) for _ in planned.tasks]
    home = results / "slurm"
    code, folder = home / "code" / "HASH", home / "STAMP" / str(number)
    return Array("resnet-bench", work, calls, folder, code, planned.profile, "STAMP", environment=ENVIRONMENT)


@dataclass(frozen=True)
class Launch:
    """Everything about a launch but its runs."""

    table: str
    results: Path
    source: Source
    force: bool
    report_arguments: tuple[str, ...]
    """The command line that writes the table when all is done."""
    report_profile: ClusterProfile
    under_way: Mapping[str, str] = field(default_factory=dict)
    """Run -> job, of those that an earlier launch has in the queue."""


def send(planned: Sequence[Planned], launch: Launch, cluster: Site) -> Submission:
    """Send the arrays and the report that waits for them. Raises UserError; what was sent by then is recorded and goes on."""
    if "%" in str(launch.results):
        raise UserError(f"--results {launch.results}: Slurm reads % in a path as a pattern: choose another folder")
    code = snapshot.take(launch.results)
    stamp = submissions.stamp()
    sent = Submission(
        stamp, launch.table, submissions.now(), cluster.cluster, cluster.accounting, str(code), (), force=launch.force
    )
    folder = submissions.folder(launch.results, stamp)
    for number, each in enumerate(planned, start=1):
        comment = f"{stamp}.{number}"
        calls = [(_work(task, each, launch, comment),) for task in each.tasks]
        where, name = folder / str(number), f"resnet-{launch.table}"
        after = _jobs_of(each.needs, sent, launch)
        job = Array(name, work, calls, where, code, each.profile, comment, after, ENVIRONMENT)
        entry = _entry(job, each.shape, [[spec.run_id for spec in task] for task in each.tasks])
        sent = replace(sent, arrays=(*sent.arrays, entry))
        sent.write(launch.results)  # before sbatch: whoever dies in between leaves a record of what may be queued
        entry = replace(entry, job_id=_submit(job, sent))
        sent = replace(sent, arrays=(*sent.arrays[:-1], entry))
        sent.write(launch.results)
    return _send_report(sent, launch, folder, code)


def _jobs_of(runs: set[str], sent: Submission, launch: Launch) -> list[str]:
    """The jobs that bring these runs to their end, as far as they are not there."""
    here = {run_id: str(entry.job_id) for entry in sent.arrays for task in entry.tasks for run_id in task}
    return sorted({job for run_id, job in {**launch.under_way, **here}.items() if run_id in runs})


def _send_report(sent: Submission, launch: Launch, folder: Path, code: Path) -> Submission:
    comment = f"{sent.stamp}.report"
    after = [str(entry.job_id) for entry in sent.arrays]
    call = (launch.report_arguments,)
    job = Array(
        f"resnet-{launch.table}-report", report, [call], folder / "report", code, launch.report_profile, comment, after
    )
    entry = _entry(job, "report", [[]])
    entry = replace(entry, job_id=_submit(job, sent))
    sent = replace(sent, report=entry)
    sent.write(launch.results)
    return sent


def _work(task: Sequence[Spec], planned: Planned, launch: Launch, comment: str) -> Work:
    return Work(
        specs=tuple(task),
        context=Context(launch.results, launch.source, launch.force),
        requeue=planned.profile.preemption == "requeue",
        cpus=planned.profile.cpus,
        comment=comment,
    )


def _entry(job: Array, shape: str, tasks: Sequence[Sequence[str]]) -> SentArray:
    return SentArray(job.comment, None, shape, str(job.folder), tuple(map(tuple, tasks)))


def _submit(job: Array, sent: Submission) -> str:
    try:
        return array.submit(job)
    except NoSlurm as error:
        before = [str(entry.job_id) for entry in sent.arrays if entry.job_id]
        said = f"; already sent and going on: {', '.join(before)}" if before else ""
        raise UserError(
            f"--cluster slurm: {error}: use --cluster local, or mend that and give it again{said}"
        ) from error


def ask_site() -> Site:
    """What the cluster offers. Raises UserError where there is none that answers."""
    try:
        return site.ask()
    except NoSlurm as error:
        raise UserError(f"--cluster slurm: {error}: use --cluster local, or mend that and give it again") from error

"""What runs in a Slurm task: one run, or several side by side, until they are done or the task's time is up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from bench.compute import heartbeat, job, progress
from bench.compute.context import Context
from bench.compute.heartbeat import Attempt
from bench.compute.side_by_side import SCHEDULER, Outcome, Place, Supervisor, listening, run_in_turn, share_a_process
from bench.runs.folder import RunFolder
from bench.runs.spec import Spec
from slurm.programs import NoSlurm, call


class TaskFailed(Exception):
    """Some runs of this task failed; the text names them."""


@dataclass(frozen=True)
class Work:
    """The runs of one task, and what they are computed with."""

    specs: tuple[Spec, ...]
    context: Context
    requeue: bool
    cpus: int
    comment: str

    @property
    def folders(self) -> list[RunFolder]:
        return [RunFolder(self.context.results, spec.run_id) for spec in self.specs]


def work(task: Work) -> list[str]:
    """Bring the runs of this task to their results. Returns their folders; raises TaskFailed where a run failed.

    When Slurm says that the time is nearly up, or that the task is preempted, every run saves and the task is requeued, as
    often as it takes. A run that failed does not stop the others of its task, and is not tried again by a requeue.
    """
    job.assert_own_modules()
    with listening(*SCHEDULER, twice=False) as asked:
        attempt = _attempt(task.comment)
        process = int(os.environ.get("SLURM_PROCID", 0)), int(os.environ.get("SLURM_NTASKS", 1))
        context = replace(task.context, should_stop=lambda: bool(asked), attempt=attempt, process=process)
        before = _saved(task)
        specs = [s for s, folder in zip(task.specs, task.folders, strict=True) if not _failed_here(folder, attempt)]
        outcomes = run(specs, context, task.cpus)
        if process[0] == 0:
            _conclude(task, outcomes, asked, before)
    return [str(folder.path) for folder in task.folders]


def run(specs: Sequence[Spec], context: Context, cpus: int) -> dict[str, Outcome]:
    """Run all at once: one in this process; several in processes, or on a GPU as threads of one where that pays.

    Never threads of this process, which outlives what kills theirs, and tells.
    """
    place, watch = Place(None, max(1, cpus // max(1, len(specs)))), progress.Lines()
    if len(specs) > 1:
        threads = _on_gpu() and share_a_process(specs, context.source.execution)
        return Supervisor(specs, context, [place] * len(specs), threads, watch).run()
    place.settle()
    if specs and context.process[1] > 1:
        _meet()
    return run_in_turn(specs, context, watch)


def _conclude(task: Work, outcomes: dict[str, Outcome], asked: Collection[int], before: object) -> None:
    """Requeue this task where runs were stopped. Raises TaskFailed where runs have failed."""
    done = {run_id for run_id, outcome in outcomes.items() if outcome.kind == "done"}
    stopped = {run_id for run_id, outcome in outcomes.items() if outcome.kind == "interrupted"}
    if stopped:
        _go_on_later(task, asked, before)
    failed = [spec.run_id for spec in task.specs if spec.run_id not in done]
    if failed:
        raise TaskFailed(f"{', '.join(failed)} failed: see log.txt in its folder")


def _attempt(comment: str) -> Attempt:
    index = os.environ.get("SLURM_ARRAY_TASK_ID", "0")
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job_id = f"{array}_{index}" if array else os.environ.get("SLURM_JOB_ID", "")
    return Attempt(f"{comment}.{index}", int(os.environ.get("SLURM_RESTART_COUNT", 0)), job_id)


def _on_gpu() -> bool:
    import torch

    return torch.cuda.device_count() > 0


def _meet() -> None:
    """Tell torch.distributed where the processes of this task meet."""
    from submitit.helpers import TorchDistributedEnvironment

    meeting = TorchDistributedEnvironment()
    address = os.environ.get("RESNET_BENCH_MASTER")
    if address:
        meeting.master_addr = address
    meeting.export(set_cuda_visible_devices=False, overwrite=True)  # Slurm's own assignment of GPUs stands
    if os.environ.get("CUDA_VISIBLE_DEVICES", "").count(","):
        import torch

        torch.cuda.set_device(meeting.local_rank)


def _failed_here(folder: RunFolder, attempt: Attempt) -> bool:
    """Whether this task has tried the run, and it failed."""
    beat = heartbeat.of_task(folder, attempt)
    return beat is not None and beat.state == "failed"


def _saved(task: Work) -> list[set[tuple[str, int, int]]]:
    """What each run of this task has on disk."""
    return [folder.saved() for folder in task.folders]


def _go_on_later(task: Work, asked: Collection[int], before: object) -> None:
    """Requeue this task. Where Slurm has asked it to end, by a cancel or a preemption, Slurm decides what comes next.

    A task that has saved nothing since it began would be requeued for ever, and fails.
    """
    if signal.SIGTERM in asked and signal.SIGUSR2 not in asked:
        sys.exit(128 + signal.SIGTERM)
    if not task.requeue:
        raise TaskFailed('its time is up, and the profile says preemption = "stop": send it again to go on')
    if _saved(task) == before:
        raise TaskFailed("no iteration was completed before the time was up: give more --time")
    said = ""
    for _ in range(5):
        try:
            call("scontrol", "requeue", os.environ["SLURM_JOB_ID"])
        except NoSlurm as error:
            said = str(error)
            time.sleep(2)
        else:
            sys.exit(128 + signal.SIGUSR2)
    raise TaskFailed(f"saved, but could not be requeued ({said}): send it again to go on")


def report(arguments: Sequence[str]) -> None:
    """The last job of a launch: write the table from the runs that are finished by then. Raises TaskFailed."""
    job.assert_own_modules()
    status = subprocess.run([sys.executable, "-m", "bench.run", *arguments]).returncode
    if status:
        raise TaskFailed(f"the report ended with {status}")

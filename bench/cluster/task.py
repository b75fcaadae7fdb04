"""What runs inside a Slurm task: one run, or several side by side, until they are done or the task's time is up."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from bench.compute import heartbeat, job
from bench.compute.heartbeat import Attempt
from bench.compute.job import Source
from bench.errors import Interrupted, UserError
from bench.runs.folder import RunFolder
from bench.runs.spec import Spec


class TaskFailed(Exception):
    """Some runs of this task failed; the text names them."""


@dataclass(frozen=True)
class Work:
    """The runs of one task, and where they live."""

    specs: tuple[Spec, ...]
    results: Path
    source: Source
    force: bool
    requeue: bool
    cpus: int
    comment: str


def work(task: Work) -> list[str]:
    """Bring the runs of this task to their results. Returns their folders; raises TaskFailed where a run failed.

    When Slurm says that the time is nearly up, or that the task is preempted, every run saves and the task is requeued, as
    often as it takes. A run that failed does not stop the others of its task, and is not tried again by a requeue.
    """
    job.assert_own_modules()
    told = Told()
    attempt = _attempt(task.comment)
    place = int(os.environ.get("SLURM_PROCID", 0)), int(os.environ.get("SLURM_NTASKS", 1))
    before = _saved(task)
    specs = [spec for spec in task.specs if not _failed_here(spec, task, attempt)]
    threads = max(1, task.cpus // len(specs)) if specs else 1
    if len(specs) == 1:
        outcomes = [_one(specs[0], task, attempt, place, threads, told)]
    elif _on_gpu() and job.share_a_process(specs, task.source.execution):
        outcomes = _in_one_process(specs, task, attempt, threads, told)
    else:
        outcomes = _side_by_side(specs, task, attempt, threads, told)
    failed = [spec.run_id for spec, code in zip(specs, outcomes, strict=True) if code == FAILED]
    failed += [spec.run_id for spec in task.specs if spec not in specs]
    if INTERRUPTED in outcomes and place[0] == 0:
        _go_on_later(task, told, before)
    if failed and place[0] == 0:
        raise TaskFailed(f"{', '.join(failed)} failed: see log.txt in its folder")
    return [str(RunFolder(task.results, spec.run_id).path) for spec in specs]


DONE, FAILED, INTERRUPTED = 0, 1, 3


class Told:
    """What Slurm has told this process so far: that its time is nearly up (SIGUSR2), or that it must end (SIGTERM)."""

    def __init__(self) -> None:
        self.time_is_up = self.must_end = False
        self.children: list[multiprocessing.process.BaseProcess] = []
        signal.signal(signal.SIGUSR2, self._time_is_up)
        signal.signal(signal.SIGTERM, self._must_end)

    def stop(self) -> bool:
        return self.time_is_up or self.must_end

    def _time_is_up(self, number: int, frame: object) -> None:
        self.time_is_up = True
        self._pass_on(number)

    def _must_end(self, number: int, frame: object) -> None:
        self.must_end = True
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        for child in self.children:
            if child.pid and child.is_alive():
                os.kill(child.pid, number)


def _attempt(comment: str) -> Attempt:
    index = os.environ.get("SLURM_ARRAY_TASK_ID", "0")
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job_id = f"{array}_{index}" if array else os.environ.get("SLURM_JOB_ID", "")
    return Attempt(f"{comment}.{index}", int(os.environ.get("SLURM_RESTART_COUNT", 0)), job_id)


def _on_gpu() -> bool:
    import torch

    return torch.cuda.device_count() > 0


def _one(
    spec: Spec,
    task: Work,
    attempt: Attempt,
    place: tuple[int, int],
    threads: int,
    told: Told,
    company: job.Company = job.ALONE,
) -> int:
    """Run in this process. Returns DONE, FAILED or INTERRUPTED; what went wrong is in the run's log and heartbeat."""
    import torch

    torch.set_num_threads(threads)
    if place[1] > 1:
        _meet()
    force = task.force and not _beat_of(spec, task, attempt)  # a requeue does not begin anew what this task has begun
    try:
        job.run(spec, task.results, task.source, force, lambda report: None, told.stop, attempt, place, company)
    except Interrupted as error:
        print(error, file=sys.stderr)
        return INTERRUPTED
    except UserError as error:
        print(f"{spec.run_id}: {error}", file=sys.stderr)
        return FAILED
    except Exception as error:
        if place[0] > 0 or place[1] > 1:
            raise  # the other processes wait for this one: let srun end them
        print(f"{spec.run_id}: {type(error).__name__}: {error}", file=sys.stderr)
        return FAILED
    return DONE


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


def _alone(spec: Spec, task: Work, attempt: Attempt, threads: int, company: job.Company) -> None:
    """The main function of a process that holds one of several runs."""
    sys.exit(_one(spec, task, attempt, (0, 1), threads, Told(), company))


def _side_by_side(specs: Sequence[Spec], task: Work, attempt: Attempt, threads: int, told: Told) -> list[int]:
    """Run each in a process of its own, so that none of them can take the others along."""
    fresh = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA
    company = job.Company(len(specs))
    children = [fresh.Process(target=_alone, args=(spec, task, attempt, threads, company)) for spec in specs]
    _begin(children, told)
    for child in children:
        child.join()
    return [_outcome(child.exitcode, told) for child in children]


def _together(specs: Sequence[Spec], task: Work, attempt: Attempt, threads: int, mouth: Connection) -> None:
    """The main function of a process that holds all runs, each in a thread; it tells how each has ended."""
    from bench.device import lanes

    told, company, speaking = Told(), job.Company(len(specs), threads=True), threading.Lock()

    def do(spec: Spec) -> None:
        code = _one(spec, task, attempt, (0, 1), threads, told, company)
        with speaking:
            mouth.send((spec.run_id, code))

    lanes.each(specs, do)


def _in_one_process(specs: Sequence[Spec], task: Work, attempt: Attempt, threads: int, told: Told) -> list[int]:
    """Run all as threads of one process on the task's GPU; not of this one, which outlives what kills it, and tells."""
    fresh = multiprocessing.get_context("spawn")
    ear, mouth = fresh.Pipe(duplex=False)
    child = fresh.Process(target=_together, args=(specs, task, attempt, threads, mouth))
    _begin([child], told)
    mouth.close()  # so that the child's end is heard
    codes: dict[str, int] = {}
    with contextlib.suppress(EOFError):
        while True:
            run_id, code = ear.recv()
            codes[run_id] = code
    child.join()
    return [codes.get(spec.run_id, _outcome(child.exitcode or FAILED, told)) for spec in specs]


def _begin(children: Sequence[multiprocessing.process.BaseProcess], told: Told) -> None:
    """Start processes, and let them hear what this one is told."""
    for child in children:
        child.start()
    told.children = list(children)
    if told.must_end or told.time_is_up:
        told._pass_on(signal.SIGTERM)


def _outcome(code: int | None, told: Told) -> int:
    if code in (DONE, INTERRUPTED):
        return int(code or 0)
    return INTERRUPTED if code == -signal.SIGTERM and told.stop() else FAILED


def _beat_of(spec: Spec, task: Work, attempt: Attempt) -> heartbeat.Beat | None:
    """The last heartbeat of a run, if it is of this task: of an earlier attempt, or of this one."""
    beat = heartbeat.read(RunFolder(task.results, spec.run_id))
    return beat if beat and beat.task == attempt.task else None


def _failed_here(spec: Spec, task: Work, attempt: Attempt) -> bool:
    beat = _beat_of(spec, task, attempt)
    return beat is not None and beat.state == "failed"


def _saved(task: Work) -> list[set[tuple[str, int, int]]]:
    """What each run of this task has on disk."""
    return [RunFolder(task.results, spec.run_id).saved() for spec in task.specs]


def _go_on_later(task: Work, told: Told, before: list[set[tuple[str, int, int]]]) -> None:
    """Requeue this task. Where Slurm has asked it to end, by a cancel or a preemption, Slurm decides what comes next.

    A task that has saved nothing since it began would be requeued for ever, and fails.
    """
    if told.must_end and not told.time_is_up:
        sys.exit(128 + signal.SIGTERM)
    if not task.requeue:
        raise TaskFailed('its time is up, and the profile says preemption = "stop": send it again to go on')
    if _saved(task) == before:
        raise TaskFailed("no iteration was completed before the time was up: give more --time")
    command = ["scontrol", "requeue", os.environ["SLURM_JOB_ID"]]
    for _ in range(5):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode == 0:
            sys.exit(128 + signal.SIGUSR2)
        time.sleep(2)
    raise TaskFailed(f"saved, but could not be requeued ({done.stderr.strip()}): send it again to go on")


def report(arguments: Sequence[str]) -> None:
    """The last job of a launch: write the table from the runs that are finished by then. Raises TaskFailed."""
    job.assert_own_modules()
    status = subprocess.run([sys.executable, "-m", "bench.run", *arguments]).returncode
    if status:
        raise TaskFailed(f"the report ended with {status}")

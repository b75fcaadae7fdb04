"""How each run of a table stands, put together from its heartbeat, its result, the queue and the accounting."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bench.cluster import submissions
from bench.cluster.submissions import Sent
from bench.compute import heartbeat
from bench.compute.heartbeat import Beat
from bench.files import read_json
from bench.runs.folder import RunFolder
from bench.runs.spec import Spec
from slurm import states
from slurm.site import NoSlurm
from slurm.states import TaskState

State = Literal["done", "running", "queued", "stopped", "failed", "lost", "new", "unknown"]
STATES: dict[State, str] = {
    "done": "has a result",
    "running": "",
    "queued": "waits in the queue",
    "stopped": "has a checkpoint, and nothing is under way",
    "failed": "",
    "lost": "was started or sent, and nobody knows of it any more",
    "new": "was never started",
    "unknown": "was sent, and the scheduler cannot be asked",
}

ENDS = {
    "OUT_OF_MEMORY": "out of memory",
    "TIMEOUT": "TIMEOUT: killed at its time limit before it could save",
    "PREEMPTED": "PREEMPTED, and not requeued",
    "NODE_FAIL": "NODE_FAIL: its node died, and it was not requeued",
    "CANCELLED": "",
    "BOOT_FAIL": "BOOT_FAIL: its node did not boot",
    "DEADLINE": "DEADLINE: ended at its deadline",
}
OUT_OF_MEMORY = ("oom-kill", "oom_kill", "exceeded memory limit", "Exceeded job memory limit", "out of memory")
SENDING = 120.0
"""Seconds for which a launch that has not heard from sbatch may still be on its way."""


@dataclass(frozen=True)
class Standing:
    """One run."""

    run_id: str
    state: State
    why: str = ""
    log: Path | None = None
    """Where to read on."""
    node: str = ""
    job_id: str = ""
    beat: Beat | None = None
    sent: Sent | None = None
    diverged: bool = False

    @property
    def under_way(self) -> bool:
        return self.state in ("queued", "running")


@dataclass(frozen=True)
class Survey:
    """All runs of a table at one moment."""

    standings: tuple[Standing, ...]
    note: str = ""
    """Why the scheduler could not be asked, where it could not."""

    def in_state(self, *wanted: State) -> list[Standing]:
        return [standing for standing in self.standings if standing.state in wanted]


def survey(specs: Sequence[Spec], results: Path) -> Survey:
    """How each run stands: one call of squeue, and one of sacct where squeue has forgotten some. Raises nothing of Slurm's."""
    sent = submissions.latest(submissions.read_all(results))
    folders = [RunFolder(results, spec.run_id) for spec in specs]
    waiting = [folder for folder in folders if folder.run_id in sent and not folder.finished()]
    forced = [folder for folder in folders if folder.run_id in sent and sent[folder.run_id].submission.force]
    queue: dict[tuple[str, int], TaskState] | None = {}
    note = ""
    if waiting or forced:
        try:
            queue = states.of_queue()
        except NoSlurm as error:
            queue, note = None, str(error)
    known = dict(queue or {})
    forgotten = [sent[f.run_id] for f in waiting if queue is not None and sent[f.run_id].key not in queue]
    forgotten = [s for s in forgotten if s.submission.accounting and s.array.job_id]
    if forgotten:
        since = min(s.submission.since for s in forgotten)
        told = states.of_accounting({str(s.array.job_id) for s in forgotten}, since)
        for s in forgotten:
            if (state := told.get((str(s.array.job_id), s.index))) is not None:
                known[s.key] = state
    found = []
    for folder in folders:
        where = sent.get(folder.run_id)
        task = known.get(where.key) if where else None
        found.append(replace(_stand(folder, where, task, queue is None), sent=where))
    return Survey(tuple(found), note)


def _stand(folder: RunFolder, sent: Sent | None, task: TaskState | None, deaf: bool) -> Standing:
    """One run. Trust goes to the result first, then to the scheduler on what is under way, then to the heartbeat.

    A result that a task in the queue will compute anew, and has not begun to, is no longer one.
    """
    beat = heartbeat.read(folder) if folder.path.exists() else None
    log = folder.log if folder.log.exists() else None
    stands = Standing(folder.run_id, "new", log=log, beat=beat, node=beat.host if beat else "")
    of_this_task = beat is not None and sent is not None and beat.task == sent.array.task_name(sent.index)
    anew = sent is not None and sent.submission.force and not of_this_task and task is not None and task.active
    if folder.finished() and not anew:
        if beat and beat.kind == "NaN":
            return replace(stands, state="failed", why=f"NaN: {beat.reason}", diverged=True)
        if not beat and (result := read_json(folder.result)).get("status") == "diverged":  # it came from elsewhere
            why = f"NaN: the loss was not finite after {result['iterations']} iterations"
            return replace(stands, state="failed", why=why, diverged=True)
        return replace(stands, state="done")
    if task and task.active:
        stands = replace(stands, node=task.node, job_id=task.job_id)
        if beat and of_this_task and beat.state == "failed":
            return replace(stands, state="failed", why=_failure(beat))
        if task.state in ("RUNNING", "COMPLETING", "CONFIGURING"):
            begun = beat is not None and of_this_task and beat.state != "stopped"
            why = "ending" if task.state == "COMPLETING" else "" if begun else "starting"
            return replace(stands, state="running", why=why)
        return replace(stands, state="queued", why=task.why if task.state == "PENDING" else task.state)
    if beat and beat.alive() and not (of_this_task and task):
        return replace(stands, state="running")
    if beat and beat.state == "failed" and (of_this_task or not sent or beat.time > sent.submission.created):
        return replace(stands, state="failed", why=_failure(beat))
    if sent and task:
        return _ended(replace(stands, job_id=task.job_id, node=task.node or stands.node), sent, task)
    if sent and deaf and not (beat and beat.state == "stopped"):
        return replace(stands, state="unknown", job_id=sent.array.job_of(sent.index))
    if sent and sent.array.job_id is None and time.time() - sent.submission.created < SENDING:
        return replace(stands, state="queued", why="being sent")
    if sent and folder.run_id in sent.submission.cancelled:
        return replace(stands, state="failed", why=_cancelled(beat if of_this_task else None))
    if beat and beat.state == "stopped":
        return replace(stands, state="stopped", why=f"at iteration {beat.iteration} of {beat.iterations}")
    if sent or beat:
        return _lost(stands, sent, beat)
    return stands


def _failure(beat: Beat) -> str:
    return beat.reason if beat.kind in beat.reason else f"{beat.kind}: {beat.reason}"


def _ended(stands: Standing, sent: Sent, task: TaskState) -> Standing:
    """A task that the scheduler says has ended, of a run without a result."""
    stderr = sent.array.stderr(sent.index)
    tail = last_lines(stderr, 50)
    log = stderr if stderr.exists() else stands.log
    if task.state == "OUT_OF_MEMORY" or any(word in line for line in tail for word in OUT_OF_MEMORY):
        return replace(stands, state="failed", why="out of memory: give more --mem", log=log)
    if task.state in ENDS:
        why = _cancelled(stands.beat) if task.state == "CANCELLED" else ENDS[task.state]
        return replace(stands, state="failed", why=why, log=log)
    words = next((line for line in reversed(tail) if line.strip()), "it left no word")
    return replace(stands, state="failed", why=f"{task.state}: {words.strip()}", log=log)


def _cancelled(beat: Beat | None) -> str:
    return f"cancelled, at iteration {beat.iteration} of {beat.iterations}" if beat and beat.iteration else "cancelled"


def _lost(stands: Standing, sent: Sent | None, beat: Beat | None) -> Standing:
    """A run of which nobody knows: what was heard of it last."""
    if sent:
        stands = replace(stands, job_id=sent.array.job_of(sent.index))
        stderr = sent.array.stderr(sent.index)
        if any(word in line for line in last_lines(stderr, 50) for word in OUT_OF_MEMORY):
            return replace(stands, state="failed", why="out of memory: give more --mem", log=stderr)
        if stderr.exists():
            stands = replace(stands, log=stands.log or stderr)
    if beat:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(beat.time))
        return replace(stands, state="lost", why=f"no sign of life since {when}, iteration {beat.iteration}")
    return replace(
        stands, state="lost", why="never began, and the scheduler knows nothing of it: cancelled while it waited?"
    )


def last_lines(path: Path, count: int) -> list[str]:
    """The end of a text file, without reading all of it; nothing where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 200 * count))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []

"""How each run of a table stands, put together from its heartbeat, its result, the queue and the accounting."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
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
from slurm.programs import NoSlurm
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
    "unknown": "was sent, and the scheduler does not answer",
}

ENDS = {
    "TIMEOUT": "TIMEOUT: killed at its time limit before it could save",
    "PREEMPTED": "PREEMPTED, and not requeued",
    "NODE_FAIL": "NODE_FAIL: its node died, and it was not requeued",
    "BOOT_FAIL": "BOOT_FAIL: its node did not boot",
    "DEADLINE": "DEADLINE: ended at its deadline",
}
OUT_OF_MEMORY = ("oom-kill", "oom_kill", "exceeded memory limit", "Exceeded job memory limit", "out of memory")
MORE_MEMORY = "out of memory: give more --mem"
NEVER_BEGAN = "never began, and the scheduler knows nothing of it: cancelled while it waited?"
SENDING = 120.0
"""Seconds for which a launch that has not heard from sbatch may still be on its way."""


@dataclass(frozen=True)
class Standing:
    """One run."""

    run_id: str
    state: State
    why: str = ""
    rule: str = ""
    """Name of the rule of RULES that decided."""
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
    of_these = [sent[folder.run_id] for folder in folders if folder.run_id in sent]
    waiting = [sent[folder.run_id] for folder in folders if folder.run_id in sent and not folder.finished()]
    tasks, note = _ask_scheduler(waiting, any(one.submission.force for one in of_these))
    found = []
    for folder in folders:
        where = sent.get(folder.run_id)
        task = tasks.get(where.key) if where else None
        found.append(judge(gather(folder, where, task, bool(note))))
    return Survey(tuple(found), note)


def _ask_scheduler(waiting: Sequence[Sent], forced: bool) -> tuple[dict[tuple[str, int], TaskState], str]:
    """What the queue knows of tasks, and the accounting of those that wait and are not in the queue; or why it is not known.

    Without runs that wait for a result the queue is asked only if some were `forced`, which are sent with one.
    """
    if not waiting and not forced:
        return {}, ""
    try:
        known = states.of_queue()
    except NoSlurm as error:
        return {}, str(error) or "no Slurm"
    forgotten = [one for one in waiting if one.key not in known and one.submission.accounting and one.array.job_id]
    if forgotten:
        ended = states.of_accounting(
            {str(one.array.job_id) for one in forgotten}, min(one.submission.since for one in forgotten)
        )
        found = {one.key: ended.get((str(one.array.job_id), one.index)) for one in forgotten}
        known |= {key: state for key, state in found.items() if state is not None}
    return known, ""


@dataclass(frozen=True)
class Evidence:
    """All that is known of one run at one moment."""

    run_id: str
    finished: bool = False
    """Whether there is a result."""
    diverged_after: int | None = None
    """Iterations after which the run diverged, of a result that came without a heartbeat, from another machine."""
    beat: Beat | None = None
    alive: bool = False
    """Whether the process of the heartbeat seems to be running."""
    sent: Sent | None = None
    """Where the run was sent last."""
    task: TaskState | None = None
    """The task of `sent`, by the queue or the accounting."""
    no_answer: bool = False
    """Whether the scheduler was asked and did not answer."""
    log: Path | None = None
    """The run's own log."""
    now: float = 0.0
    """Seconds since 1970."""

    @property
    def of_this_task(self) -> bool:
        """Whether the heartbeat is of the task to which the run was sent last."""
        sent, beat = self.sent, self.beat
        return sent is not None and beat is not None and beat.task == sent.array.task_name(sent.index)

    @property
    def active(self) -> bool:
        return self.task is not None and self.task.active

    @property
    def ended(self) -> bool:
        return self.task is not None and not self.task.active

    @property
    def has_result(self) -> bool:
        """A result that a task in the queue will compute again, and has not begun to, is no longer one."""
        again = self.sent is not None and self.sent.submission.force and self.active and not self.of_this_task
        return self.finished and not again

    @property
    def diverged(self) -> bool:
        return self.diverged_after is not None or (self.beat is not None and self.beat.kind == "NaN")

    @property
    def being_sent(self) -> bool:
        """Whether sbatch may still be about to answer."""
        sent = self.sent
        return sent is not None and sent.array.job_id is None and self.now - sent.submission.created < SENDING

    @property
    def cancelled(self) -> bool:
        return self.sent is not None and self.run_id in self.sent.submission.cancelled

    @property
    def failed_since_sent(self) -> bool:
        """Whether the heartbeat's failure is of this task, or later than the submission."""
        sent, beat = self.sent, self.beat
        later = sent is None or (beat is not None and beat.time > sent.submission.created)
        return self.beat_says("failed") and (self.of_this_task or later)

    @property
    def stderr(self) -> Path | None:
        """What the task wrote on standard error; None where there is no such file."""
        path = self.sent.array.stderr(self.sent.index) if self.sent else None
        return path if path and path.exists() else None

    @cached_property
    def last_words(self) -> list[str]:
        """The end of the task's standard error, read where a rule asks for it."""
        return last_lines(self.stderr, 50) if self.stderr else []

    @property
    def out_of_memory(self) -> bool:
        killed = self.ended and self.task is not None and self.task.state == "OUT_OF_MEMORY"
        return killed or any(words in line for line in self.last_words for words in OUT_OF_MEMORY)

    @property
    def host(self) -> str:
        return self.beat.host if self.beat else ""

    @property
    def job_id(self) -> str:
        if self.task:
            return self.task.job_id
        return self.sent.array.job_of(self.sent.index) if self.sent and self.sent.array.job_id else ""

    def beat_says(self, *wanted: str) -> bool:
        return self.beat is not None and self.beat.state in wanted

    def task_is(self, *wanted: str) -> bool:
        return self.task is not None and self.task.state in wanted


def gather(folder: RunFolder, sent: Sent | None, task: TaskState | None, no_answer: bool) -> Evidence:
    """What a run's folder, its submission and the scheduler know of it."""
    beat = heartbeat.read(folder) if folder.path.exists() else None
    finished, diverged_after = folder.finished(), None
    if finished and not beat and (result := read_json(folder.result)).get("status") == "diverged":
        diverged_after = result["iterations"]
    return Evidence(
        folder.run_id, finished, diverged_after, beat, beat is not None and beat.alive(), sent, task, no_answer,
        folder.log if folder.log.exists() else None, time.time(),
    )  # fmt: skip


Witness = Literal["run", "queue", "task", "submission"]
"""Whose word decides: the run's own files, the queue on what is under way, an ended task, or that it was sent."""


@dataclass(frozen=True)
class Rule:
    """One line of the precedence of evidence."""

    name: str
    witness: Witness
    state: State
    applies: Callable[[Evidence], bool]
    why: Callable[[Evidence], str] = lambda _: ""


STARTED = ("RUNNING", "CONFIGURING")
"""States of a task that has a node."""

# fmt: off
RULES = (
    # the result
    Rule("diverged", "run", "failed", lambda e: e.has_result and e.diverged, lambda e: _divergence(e)),
    Rule("result", "run", "done", lambda e: e.has_result),
    # the queue, on a task that has not ended
    Rule("failed, task is ending", "queue", "failed", lambda e: e.active and e.of_this_task and e.beat_says("failed"),
         lambda e: _failure(e)),
    Rule("task is ending", "queue", "running", lambda e: e.task_is("COMPLETING"), lambda _: "ending"),
    Rule("task runs", "queue", "running",
         lambda e: e.task_is(*STARTED) and e.of_this_task and not e.beat_says("stopped")),
    Rule("task is starting", "queue", "running", lambda e: e.task_is(*STARTED), lambda _: "starting"),
    Rule("task waits", "queue", "queued", lambda e: e.task_is("PENDING"), lambda e: e.task.why if e.task else ""),
    Rule("task is held up", "queue", "queued", lambda e: e.active, lambda e: e.task.state if e.task else ""),
    # the heartbeat; of a task that has ended it is not alive any more
    Rule("alive", "run", "running", lambda e: e.alive and not (e.of_this_task and e.task)),
    Rule("failed", "run", "failed", lambda e: e.failed_since_sent, lambda e: _failure(e)),
    # the queue or the accounting, on a task that has ended
    Rule("task out of memory", "task", "failed", lambda e: e.ended and e.out_of_memory, lambda _: MORE_MEMORY),
    Rule("task cancelled", "task", "failed", lambda e: e.task_is("CANCELLED"), lambda e: _cancelled(e.beat)),
    Rule("task killed", "task", "failed", lambda e: e.task_is(*ENDS), lambda e: ENDS[e.task.state] if e.task else ""),
    Rule("task ended", "task", "failed", lambda e: e.ended, lambda e: _last_word(e)),
    # that it was sent, of a task that the scheduler does not know
    Rule("no answer", "submission", "unknown", lambda e: bool(e.sent and e.no_answer) and not e.beat_says("stopped")),
    Rule("being sent", "submission", "queued", lambda e: e.being_sent, lambda _: "being sent"),
    Rule("cancelled", "submission", "failed", lambda e: e.cancelled,
         lambda e: _cancelled(e.beat if e.of_this_task else None)),
    Rule("stopped", "run", "stopped", lambda e: e.beat_says("stopped"), lambda e: _progress(e.beat)),
    Rule("forgotten, out of memory", "task", "failed", lambda e: e.out_of_memory, lambda _: MORE_MEMORY),
    Rule("silent", "submission", "lost", lambda e: e.beat is not None, lambda e: _silence(e.beat)),
    Rule("never began", "submission", "lost", lambda e: e.sent is not None, lambda _: NEVER_BEGAN),
    Rule("new", "run", "new", lambda _: True),
)
# fmt: on
"""The precedence of evidence, from the strongest: the first rule that applies decides how a run stands."""


def judge(evidence: Evidence) -> Standing:
    """How a run stands by RULES."""
    rule = next(rule for rule in RULES if rule.applies(evidence))
    node, log = evidence.host, evidence.log
    if rule.witness == "queue":
        node = evidence.task.node if evidence.task else ""
    elif rule.witness == "task":
        node, log = (evidence.task.node if evidence.task else "") or node, evidence.stderr or log
    elif rule.witness == "submission":
        log = log or evidence.stderr
    job_id = "" if rule.witness == "run" else evidence.job_id
    return Standing(
        evidence.run_id, rule.state, rule.why(evidence), rule.name, log, node, job_id, evidence.beat, evidence.sent,
        diverged=rule.name == "diverged",
    )  # fmt: skip


def _divergence(evidence: Evidence) -> str:
    if evidence.beat:
        return f"NaN: {evidence.beat.reason}"
    return f"NaN: the loss was not finite after {evidence.diverged_after} iterations"


def _failure(evidence: Evidence) -> str:
    beat = evidence.beat
    assert beat is not None
    return beat.reason if beat.kind in beat.reason else f"{beat.kind}: {beat.reason}"


def _last_word(evidence: Evidence) -> str:
    """Of a task that ended by itself: its exit, and the last line it wrote."""
    assert evidence.task is not None
    words = next((line for line in reversed(evidence.last_words) if line.strip()), "it left no word")
    return f"{evidence.task.state}: {words.strip()}"


def _progress(beat: Beat | None) -> str:
    return f"at iteration {beat.iteration} of {beat.iterations}" if beat else ""


def _cancelled(beat: Beat | None) -> str:
    return f"cancelled, {_progress(beat)}" if beat and beat.iteration else "cancelled"


def _silence(beat: Beat | None) -> str:
    assert beat is not None
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(beat.time))
    return f"no sign of life since {when}, iteration {beat.iteration}"


def last_lines(path: Path, count: int) -> list[str]:
    """The end of a text file, without reading all of it; nothing where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 200 * count))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []

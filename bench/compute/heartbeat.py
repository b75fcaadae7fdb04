"""What a run says of itself while it runs: `heartbeat.json` in its folder, readable from any machine that sees it.

It is the best witness of how a run stands: the scheduler knows whether a task runs, not how far it is or why it failed.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Literal

from bench.errors import Busy, UserError
from bench.files import convert, read_json, write_json
from bench.runs import lease
from bench.runs.folder import SILENT, RunFolder

if TYPE_CHECKING:
    from bench.training.report import Report

SECONDS = 10.0
"""Between two beats."""

State = Literal["starting", "running", "stopped", "failed", "done"]


@dataclass(frozen=True)
class Attempt:
    """One start of a run by a scheduler. Of two attempts of one task the one with more restarts owns the run."""

    task: str
    """Names the task among all that were ever sent."""
    restart: int
    job_id: str


@dataclass(frozen=True)
class Beat:
    """One heartbeat."""

    state: State
    host: str
    pid: int
    time: float
    """Seconds since 1970."""
    task: str | None = None
    restart: int = 0
    job_id: str | None = None
    iteration: int = 0
    iterations: int = 0
    images_per_second: float = 0.0
    seconds_left: float | None = None
    kind: str = ""
    """Of a failure: `out of memory`, `NaN`, or the exception's class."""
    reason: str = ""
    """The failure's last line, or why the run stopped."""

    def __post_init__(self) -> None:
        if not 0 < self.pid < 1 << 31:
            raise ValueError(f"pid is {self.pid}; expected the number of a process")

    def alive(self) -> bool:
        """Whether the process that wrote it seems to be running still."""
        if self.state not in ("starting", "running"):
            return False
        if self.host == socket.gethostname():
            return lease.lives(self.pid)
        return time.time() - self.time < SILENT


def read(folder: RunFolder) -> Beat | None:
    """The last heartbeat of a run; None where there is none that can be read. Other versions may say more."""
    try:
        data = read_json(folder.heartbeat)
        return convert(Beat, {f.name: data[f.name] for f in fields(Beat)})
    except (UserError, ValueError, KeyError):
        return None


def has_begun(folder: RunFolder, attempt: Attempt | None) -> bool:
    """Whether this task has begun the run: in an earlier attempt, or in this one."""
    return attempt is not None and of_task(folder, attempt) is not None


def of_task(folder: RunFolder, attempt: Attempt) -> Beat | None:
    """The last heartbeat of a run, if it is of this task: of an earlier attempt, or of this one."""
    beat = read(folder)
    return beat if beat and beat.task == attempt.task else None


class Heart:
    """Writes the heartbeats of one attempt at a run."""

    def __init__(self, folder: RunFolder, attempt: Attempt | None) -> None:
        self.folder, self.attempt = folder, attempt
        self.last = Beat("starting", socket.gethostname(), os.getpid(), time.time())
        if attempt:
            self.last = Beat(**{**asdict(self.last), **asdict(attempt)})
        self.superseded = False

    def claim(self) -> None:
        """Say that this attempt takes over from an earlier one of the same task, which stops when it sees that."""
        other = read(self.folder)
        if self.attempt and other and other.task == self.attempt.task and other.restart < self.attempt.restart:
            self._write(iteration=other.iteration, iterations=other.iterations)

    def report(self, report: Report) -> None:
        """Beat, if the last beat is long enough ago, and see whether another attempt has taken over.

        Whatever is written next has what was reported last, so that a run that stops says how far it has come.
        """
        due = report.evaluated or time.time() - self.last.time > SECONDS or self.last.state != "running"
        self.last = replace(
            self.last,
            iteration=report.iteration,
            iterations=report.iterations,
            images_per_second=report.images_per_second,
            seconds_left=report.seconds_left,
        )
        if due:
            self.beat("running")

    def beat(self, state: State, **facts: float | str | None) -> None:
        """Write a heartbeat, unless the run belongs to a later attempt by now."""
        other = read(self.folder)
        mine = self.attempt
        if mine and other and other.task == mine.task and other.restart > mine.restart:
            self.superseded = True
        else:
            self._write(state=state, **facts)

    def _write(self, **facts: float | str | None) -> None:
        self.last = Beat(**{**asdict(self.last), "time": time.time(), **facts})
        try:
            write_json(self.folder.heartbeat, asdict(self.last))
        except Busy:  # another process has taken the run over
            self.superseded = True
        except (OSError, UserError):  # a full disk must not end a run by its heartbeat
            pass


def kind_of(error: BaseException) -> str:
    """What to call a failure: `out of memory`, or the exception's class."""
    text = str(error).lower()
    words = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
    if isinstance(error, MemoryError) or any(word in text for word in words):
        return "out of memory"
    return type(error).__name__

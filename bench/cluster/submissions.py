"""What was sent: `results/slurm/<stamp>/submission.json`, one for each launch."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.files import read_as, write_json

FORMAT = 1


@dataclass(frozen=True)
class SentArray:
    """One array: its tasks, and the runs of each."""

    comment: str
    """Tells the array in the queue from every other; job ids start again when a cluster is rebuilt."""
    job_id: str | None
    """None until sbatch has answered."""
    shape: str
    folder: str
    """Where its script, logs and pickles lie."""
    tasks: tuple[tuple[str, ...], ...]
    """Run ids of each task."""

    def task_name(self, index: int) -> str:
        return f"{self.comment}.{index}"

    def job_of(self, index: int) -> str:
        """What Slurm's commands call one task."""
        return f"{self.job_id}_{index}" if len(self.tasks) > 1 else str(self.job_id)

    def stderr(self, index: int) -> Path:
        """What the task said on standard error, beyond the logs of its runs."""
        return Path(self.folder) / f"{self.job_of(index)}_0_log.err"


@dataclass(frozen=True)
class Submission:
    """One launch."""

    stamp: str
    table: str
    created: float
    """Seconds since 1970."""
    cluster: str
    accounting: bool
    code: str
    arrays: tuple[SentArray, ...]
    report: SentArray | None = None
    cancelled: tuple[str, ...] = ()
    """Runs that were cancelled: of one that still waited Slurm keeps no trace."""
    force: bool = False
    """Whether runs that had a result were sent too, to be computed again."""

    def __post_init__(self) -> None:
        if not 0 <= self.created < 1 << 36:
            raise ValueError(f"created is {self.created}; expected seconds since 1970")

    @property
    def since(self) -> str:
        """When it was made, local time, as Slurm's commands want it; a minute early, for clocks that differ."""
        return datetime.fromtimestamp(self.created - 60).strftime("%Y-%m-%dT%H:%M:%S")

    def write(self, results: Path) -> None:
        write_json(folder(results, self.stamp) / "submission.json", {"format": FORMAT, **asdict(self)})


@dataclass(frozen=True)
class Sent:
    """Where a run was sent last."""

    submission: Submission
    array: SentArray
    index: int

    @property
    def key(self) -> tuple[str, int]:
        return self.array.comment, self.index


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")


def now() -> float:
    return time.time()


def folder(results: Path, stamp: str) -> Path:
    return results / "slurm" / stamp


def read_all(results: Path) -> list[Submission]:
    """Every launch into this results folder, oldest first. Raises UserError where a record is damaged."""
    return [
        read_as(Submission, path, FORMAT, "move its folder away")
        for path in sorted((results / "slurm").glob("*/submission.json"))
    ]


def latest(submissions: Iterable[Submission]) -> dict[str, Sent]:
    """Run id -> where it was sent last."""
    found = {}
    for submission in submissions:
        for array in submission.arrays:
            for index, runs in enumerate(array.tasks):
                found.update({run_id: Sent(submission, array, index) for run_id in runs})
    return found

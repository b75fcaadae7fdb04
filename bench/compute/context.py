"""What runs are computed with: everything that is no part of what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.compute.heartbeat import Attempt
from bench.training.report import Report, never, unheard
from bench.training.source import Source


@dataclass(frozen=True)
class Company:
    """The runs that are put side by side on one device, of which this is one: no part of a run's identity."""

    runs: int = 1
    threads: bool = False
    """Whether they are threads of one process."""


ALONE = Company()


@dataclass(frozen=True)
class Context:
    """Where and how runs are computed; the same for all runs of a command or of a Slurm task.

    As it is made it can be pickled; whoever listens and asks to stop is put in by the process that computes.
    """

    results: Path
    """The folder of results, with a folder for each run."""
    source: Source
    force: bool = False
    """Compute what has a result once more."""
    on_report: Callable[[Report], None] = unheard
    should_stop: Callable[[], bool] = never
    """Asked after every iteration; once it holds, the run saves and raises Interrupted."""
    attempt: Attempt | None = None
    """The scheduler's task that the run is part of, if it is."""
    process: tuple[int, int] = (0, 1)
    """This process's rank, and how many train each net together."""
    company: Company = ALONE

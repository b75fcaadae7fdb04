"""Hours of a plan, said before anything is run or sent, and those of shorter schedules."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.command import plan
from bench.errors import UserError
from bench.measure.counts.estimate import Estimator, format_hours, total
from bench.runs.finished import FinishedRun
from bench.runs.spec import Schedule, Spec

if TYPE_CHECKING:
    from bench.command.options import Options
    from bench.command.table import Table

SCHEDULES: tuple[Schedule, ...] = ("paper", "short", "smoke")
"""From the longest to the shortest."""


def expected(table: Table, specs: Iterable[Spec], options: Options, finished: Iterable[FinishedRun]) -> str:
    """Hours of the runs that have no result, on this machine, and those of shorter schedules; empty where none is missing."""
    missing, estimator = plan.unfinished([*specs], options), of_this_machine(finished)
    return "\n".join([in_all(missing, estimator), *shorter(table, options, estimator)]) if missing else ""


def in_all(specs: Sequence[Spec], estimator: Estimator) -> str:
    """`expected: 12.3 h of GPU time in all, measured on the same net`."""
    hours, device = total(specs, estimator), "GPU" if estimator.kind == "cuda" else "CPU"
    return f"expected: {format_hours(hours.hours)} of {device} time in all, {hours.source}"


def of_this_machine(finished: Iterable[FinishedRun]) -> Estimator:
    """The estimator for the device that runs here are computed on."""
    return Estimator("cuda" if has_gpu() else "cpu", finished)


def shorter(table: Table, options: Options, estimator: Estimator) -> list[str]:
    """A line on the schedules that are shorter than the one asked for; none where there is none.

    Folders of images are not listed for it: that of ImageNet would take minutes.
    """
    found = []
    of_imagenet = "weights" in table.heeds
    later = () if options.dataset == "imagefolder" else SCHEDULES[SCHEDULES.index(options.schedule) + 1 :]
    for schedule in later:
        asked = replace(options, schedule=schedule, dataset="imagenet" if of_imagenet else options.dataset)
        with contextlib.suppress(UserError):  # nets that the schedule leaves out
            specs = table.plan(asked).specs
            found.append(f"--schedule {schedule} {format_hours(total(specs, estimator).hours)}")
    return [f"shorter: {', '.join(found)}"] if found else []


def has_gpu() -> bool:
    """Whether this machine has a GPU of NVIDIA that may be used. Imports no torch."""
    return os.environ.get("CUDA_VISIBLE_DEVICES") != "" and any(Path("/dev").glob("nvidia[0-9]*"))

"""What a person sees of running runs: a bar in a terminal, plain lines in a file or pipe."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING

from bench.compute.job import LOG_SECONDS, format_duration, format_report

if TYPE_CHECKING:
    from rich.progress import TaskID

    from bench.training.report import Report


class Lines:
    """A line when a run begins and ends, at evaluation points and every half minute."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}

    def begin(self, number: int, total: int, run_id: str) -> None:
        print(f"[{number}/{total}] {run_id}", flush=True)

    def report(self, run_id: str, report: Report) -> None:
        if time.monotonic() - self.last.get(run_id, -math.inf) > LOG_SECONDS or report.iteration == report.iterations:
            print(format_report(run_id, report), flush=True)
            self.last[run_id] = time.monotonic()

    def end(self, run_id: str, text: str) -> None:
        print(text, flush=True)

    def close(self) -> None:
        pass


class Bar:
    """A bar for each run with iteration, loss, errors, images/s and ETA; finished runs scroll up as lines."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
        )
        self.progress.start()
        self.tasks: dict[str, TaskID] = {}

    def begin(self, number: int, total: int, run_id: str) -> None:
        self.tasks[run_id] = self.progress.add_task(rf"\[{number}/{total}] {run_id}", total=None, facts="")

    def report(self, run_id: str, report: Report) -> None:
        test = "" if report.test_error is None else f", test {report.test_error:.2f} %"
        facts = (
            f"loss {report.loss:.3f}, train {report.error:.2f} %{test}, {report.images_per_second:.0f} images/s, "
            f"ETA {format_duration(report.seconds_left)}"
        )
        self.progress.update(self.tasks[run_id], completed=report.iteration, total=report.iterations, facts=facts)

    def end(self, run_id: str, text: str) -> None:
        self.progress.remove_task(self.tasks.pop(run_id))
        self.progress.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self.progress.stop()


Watcher = Lines | Bar


def watcher() -> Watcher:
    """A bar where standard output is a terminal, else plain lines."""
    return Bar() if sys.stdout.isatty() else Lines()

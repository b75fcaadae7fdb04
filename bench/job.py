"""One run as a job: what the local loop and a Slurm task both call. Returns a path, never a tensor."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import provenance
from bench.errors import Interrupted, UserError
from bench.spec import RunSpec
from bench.store import RunFolder, write_json, write_probe

if TYPE_CHECKING:
    from bench.training.loop import Report

LOG_SECONDS = 30.0


def format_report(run_id: str, report: Report) -> str:
    """One plain line of progress: iteration, loss, error, images/s, ETA."""
    test = "" if report.test_error is None else f"  test {report.test_error:5.2f} %"
    return (
        f"{run_id}  {report.iteration}/{report.iterations}  loss {report.loss:.4f}  train {report.error:5.2f} %{test}"
        f"  {report.images_per_second:.0f} images/s  ETA {format_duration(report.seconds_left)}"
    )


def format_duration(seconds: float) -> str:
    """`2 h 05 min`, `12 min`, `40 s`."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes else f"{rest} s"


def run(
    spec: RunSpec,
    results: Path,
    data_folder: Path,
    download: bool = False,
    force: bool = False,
    on_report: Callable[[Report], None] = lambda report: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Bring one run to its `result.json` and return the run's folder.

    Goes on from the checkpoint where there is one; does nothing where the result is there, unless `force`. Raises
    UserError for a person's mistake, Interrupted when stopped; any other failure is written to the run's log first.
    """
    import torch

    from bench.training import data, loop

    folder = RunFolder(results, spec.run_id)
    write_probe(results)
    with folder.locked():
        if folder.finished() and not force:
            return folder.path
        if folder.finished():  # a forced run that was stopped goes on, like any other
            for path in (folder.result, folder.checkpoint, folder.metrics):
                path.unlink(missing_ok=True)
        folder.start(spec)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        say = _Log(folder.log, spec.run_id)
        try:
            facts = provenance.collect(spec.recipe.precision, device)
            history = _history(folder)
            facts = {**facts, **history, "started": history.get("started") or provenance.now()}
            write_json(folder.provenance, facts)
            say.line(f"starts on {facts['device']['name']} ({facts['host']}), attempt {facts['restarts'] + 1}")
            dataset = data.load(spec.dataset, data_folder, spec.recipe.selection, download)

            def report(r: Report) -> None:
                say.report(r)
                on_report(r)

            result = loop.train(spec, folder, dataset, device, report, should_stop)
            facts |= {"ended": provenance.now(), "wall_seconds": result.wall_seconds}
            write_json(folder.provenance, facts)
            folder.write_result(result)
            say.line(f"{result.status} after {result.iterations} iterations")
        except (Interrupted, UserError) as error:
            say.line(str(error))
            raise
        except Exception:
            say.line(traceback.format_exc())
            raise
    return folder.path


def _history(folder: RunFolder) -> dict[str, Any]:
    """Start of the first attempt and the number of attempts before this one."""
    from bench.store import read_json

    if not folder.provenance.exists() or not folder.checkpoint.exists():
        return {"restarts": 0}
    earlier = read_json(folder.provenance)
    return {"started": earlier.get("started"), "restarts": earlier.get("restarts", 0) + 1}


class _Log:
    """Plain lines in the run's own log: every evaluation point, and a sign of life in between."""

    def __init__(self, path: Path, run_id: str) -> None:
        self.path, self.run_id, self.last = path, run_id, -math.inf

    def line(self, text: str) -> None:
        with contextlib.suppress(OSError), self.path.open("a") as file:  # a full disk must not end a run by its log
            print(provenance.now(), text, file=file)

    def report(self, report: Report) -> None:
        if report.evaluated or time.monotonic() - self.last > LOG_SECONDS:
            self.line(format_report(self.run_id, report))
            self.last = time.monotonic()


def assert_own_modules() -> None:
    """Raise ImportError where another package named `models` or `bench` stands before ours on the path."""
    import models

    if not os.path.realpath(models.__file__ or "").startswith(os.path.realpath(provenance.ROOT) + os.sep):
        raise ImportError(f"`models` is {models.__file__}, not this project's: sys.path is {sys.path}")

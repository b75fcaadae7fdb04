"""One run as a job: what the local loop and a Slurm task both call. Returns a path, never a tensor."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.compute import heartbeat, kinds
from bench.compute.context import Company, Context
from bench.compute.events import Curves
from bench.compute.heartbeat import Heart, kind_of
from bench.errors import Interrupted, Unready, UserError
from bench.files import read_json, write_json, write_probe
from bench.runs import provenance
from bench.runs.folder import RunFolder
from bench.runs.spec import Spec

if TYPE_CHECKING:
    from bench.training.report import Report

LOG_SECONDS = 30.0
WAITING_SAID = 0.02
"""Share of the time spent waiting for data from which the log says so."""
PATIENCE = 300.0
"""Seconds that a task waits for an earlier attempt of its own to let go of the run: longer than a dead node holds it."""


def format_report(run_id: str, report: Report) -> str:
    """One plain line of progress: iteration, loss, error, images/s, ETA. A measurement that has no loss says none."""
    test = "" if report.test_error is None else f"  test {report.test_error:5.2f} %"
    waiting = f"  waits for data {report.waiting:.0%}" if report.waiting > WAITING_SAID else ""
    loss = "" if math.isnan(report.loss) else f"  loss {report.loss:.4f}  train {report.error:5.2f} %"
    return (
        f"{run_id}  {report.iteration}/{report.iterations}{loss}{test}"
        f"  {report.images_per_second:.0f} images/s{waiting}  ETA {format_duration(report.seconds_left)}"
    )


def format_duration(seconds: float | None) -> str:
    """`2 h 05 min`, `12 min`, `40 s`; `?` where nobody knows."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes else f"{rest} s"


def run(spec: Spec, context: Context) -> Path:
    """Bring one run, or a measurement of trained nets, to its `result.json` and return its folder.

    Goes on from where it was left, if it was begun; does nothing where the result is there, unless `context.force`. A run of
    a scheduler's task waits for an earlier attempt of the same task to let go, and is not forced again by a requeue of that
    task. Of several processes that train the net together all call this, and the first one writes. Threads may call it side
    by side, for runs of one precision, and say so in `context.company`. Raises UserError for a person's mistake, Interrupted
    when stopped; any other failure is written to the run's log and heartbeat first.
    """
    folder, compute = RunFolder(context.results, spec.run_id), kinds.of(spec).compute
    if context.process[0] > 0:
        compute(spec, folder, context)
        return folder.path
    write_probe(context.results)
    force = context.force and not heartbeat.has_begun(folder, context.attempt)
    heart = Heart(folder, context.attempt)
    heart.claim()
    with folder.locked(patience=PATIENCE if context.attempt else 0):
        if folder.finished() and not force:
            return folder.path
        if folder.finished():  # a forced run that was stopped goes on, like any other
            folder.clear()
        folder.start(spec)
        say = _Log(folder.log, spec.run_id)
        heart.beat("starting", iterations=spec.steps)
        curves = Curves(folder) if context.source.tensorboard and not spec.measures else None

        def report(r: Report) -> None:
            say.report(r)
            heart.report(r)
            context.on_report(r)
            if curves and r.evaluated:
                curves.add()

        heard = replace(context, on_report=report, should_stop=lambda: context.should_stop() or heart.superseded)
        with _witnessed(say, heart), contextlib.closing(curves) if curves else contextlib.nullcontext():
            say.line(_begin(folder, spec, context.company))
            result = compute(spec, folder, heard)
            folder.note(ended=provenance.now(), wall_seconds=result.wall_seconds)
            folder.write_result(result)
            say.line(f"{result.status} after {result.iterations} of {spec.steps}")
            if result.status == "diverged":
                heart.beat("failed", kind="NaN", reason=f"the loss was not finite after {result.iterations} iterations")
            else:
                heart.beat("done", iteration=result.iterations)
    return folder.path


@contextlib.contextmanager
def _witnessed(say: _Log, heart: Heart) -> Iterator[None]:
    """Write how an attempt was stopped, or why it failed, into log and heartbeat."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        say.line(str(error) or "stopped at once")
        heart.beat("stopped", reason=str(error))
        raise
    except BaseException as error:
        say.line(str(error) if isinstance(error, UserError | Unready) else traceback.format_exc())
        heart.beat("failed", kind=kind_of(error), reason=" ".join(str(error).split()) or type(error).__name__)
        raise


def _begin(folder: RunFolder, spec: Spec, company: Company) -> str:
    """Write the provenance of this attempt; returns the log's first line."""
    facts = provenance.collect(spec.recipe.precision, kinds.device_of(spec))
    history = _history(folder)
    facts = {**facts, "packed": asdict(company), **history, "started": history.get("started") or provenance.now()}
    write_json(folder.provenance, facts)
    others = f", one of {company.runs} at a time" if company.runs > 1 else ""
    return f"starts on {facts['device']['name']} ({facts['host']}), attempt {facts['restarts'] + 1}{others}"


def _history(folder: RunFolder) -> dict[str, Any]:
    """Start of the first attempt and the number of attempts before this one."""
    if not folder.provenance.exists() or not folder.begun():
        return {"restarts": 0}
    earlier = read_json(folder.provenance)
    return {"started": earlier.get("started"), "restarts": earlier.get("restarts", 0) + 1}


class _Log:
    """Plain lines in the run's own log: every evaluation point, and a sign of life in between."""

    def __init__(self, path: Path, run_id: str) -> None:
        self.path, self.run_id, self.last = path, run_id, -math.inf

    def line(self, text: str) -> None:
        with (
            contextlib.suppress(OSError),  # a full disk must not end a run by its log
            self.path.open("a", encoding="utf-8", errors="backslashreplace") as file,
        ):
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

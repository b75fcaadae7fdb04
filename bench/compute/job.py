"""One run as a job: what the local loop and a Slurm task both call. Returns a path, never a tensor."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.compute.heartbeat import Attempt, Heart, kind_of
from bench.errors import Interrupted, Unready, UserError
from bench.files import read_json, write_json, write_probe
from bench.runs import provenance
from bench.runs.derived import Extension, GradientRun, Responses, SurfacePart
from bench.runs.folder import Measured, Result, RunFolder
from bench.runs.spec import CifarRecipe, Execution, RunSpec, Spec

if TYPE_CHECKING:
    import torch

    from bench.device.processes import Processes
    from bench.training.feed import Feed
    from bench.training.loop import Report

LOG_SECONDS = 30.0
WAITING_SAID = 0.02
"""Share of the time spent waiting for data from which the log says so."""
PATIENCE = 300.0
"""Seconds that a task waits for an earlier attempt of its own to let go of the run."""


@dataclass(frozen=True)
class Source:
    """Where data are, how they are read and how iterations are executed: no part of a run's identity."""

    folder: Path
    download: bool = False
    skip_broken: bool = False
    workers: int | None = None
    """Processes that load images for each process that trains; None: as many as it has cores."""
    execution: Execution = "auto"


@dataclass(frozen=True)
class Company:
    """The runs that are put side by side on one device, of which this is one: no part of a run's identity."""

    runs: int = 1
    threads: bool = False
    """Whether they are threads of one process."""


ALONE = Company()


def share_a_process(specs: Sequence[Spec], execution: Execution) -> bool:
    """Whether runs side by side on a GPU are threads of one process: where an iteration is one launch of a captured graph.

    Launched kernel by kernel they would wait for Python's lock, and for images they have processes of their own. The
    arithmetic of products is a switch of the process, so that runs of several precisions have one each.
    """
    one_precision = len({spec.recipe.precision for spec in specs}) == 1
    captured = execution in ("auto", "captured") and all(isinstance(spec.recipe, CifarRecipe) for spec in specs)
    return captured and one_precision


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


def run(
    spec: Spec,
    results: Path,
    source: Source,
    force: bool = False,
    on_report: Callable[[Report], None] = lambda report: None,
    should_stop: Callable[[], bool] = lambda: False,
    attempt: Attempt | None = None,
    place: tuple[int, int] = (0, 1),
    company: Company = ALONE,
) -> Path:
    """Bring one run, or what is done with the nets of runs, to its `result.json` and return its folder.

    Goes on from where it was left, if it was begun; does nothing where the result is there, unless `force`. `attempt` names a
    scheduler's task, which waits for an earlier attempt of the same task to let go. `place` is this process's rank among so
    many that train the net together; all of them call this, and the first one writes. Threads may call this side by side,
    for runs of one precision, and say so in `company`. Raises UserError for a person's mistake, Interrupted when stopped;
    any other failure is written to the run's log and heartbeat first.
    """
    folder = RunFolder(results, spec.run_id)
    if place[0] > 0:
        _train(spec, folder, source, on_report, should_stop, place, company)
        return folder.path
    write_probe(results)
    heart = Heart(folder, attempt)
    heart.claim()
    with folder.locked(patience=PATIENCE if attempt else 0):
        if folder.finished() and not force:
            return folder.path
        if folder.finished():  # a forced run that was stopped goes on, like any other
            folder.clear()
        folder.start(spec)
        say = _Log(folder.log, spec.run_id)
        heart.beat("starting", iterations=spec.steps)

        def report(r: Report) -> None:
            say.report(r)
            heart.report(r)
            on_report(r)

        try:
            say.line(_begin(folder, spec, company))
            result = _compute(spec, folder, source, report, lambda: should_stop() or heart.superseded, place, company)
            facts = {**read_json(folder.provenance), "ended": provenance.now(), "wall_seconds": result.wall_seconds}
            write_json(folder.provenance, facts)
            folder.write_result(result)
            say.line(f"{result.status} after {result.iterations} of {spec.steps}")
            if result.status == "diverged":
                heart.beat("failed", kind="NaN", reason=f"the loss was not finite after {result.iterations} iterations")
            else:
                heart.beat("done", iteration=result.iterations)
        except (Interrupted, KeyboardInterrupt) as error:
            say.line(str(error) or "stopped at once")
            heart.beat("stopped", reason=str(error))
            raise
        except BaseException as error:
            say.line(str(error) if isinstance(error, UserError | Unready) else traceback.format_exc())
            heart.beat("failed", kind=kind_of(error), reason=" ".join(str(error).split()) or type(error).__name__)
            raise
    return folder.path


def _compute(
    spec: Spec,
    folder: RunFolder,
    source: Source,
    on_report: Callable[[Report], None],
    should_stop: Callable[[], bool],
    place: tuple[int, int],
    company: Company,
) -> Result | Measured:
    """Do what is asked: train, or measure on a net that is trained."""
    if isinstance(spec, SurfacePart | Responses):
        from bench.device import lanes
        from bench.device.processes import ALONE

        device = _device(spec)
        with lanes.lane(device), contextlib.closing(_feed(spec, source, device, ALONE)) as feed:
            if isinstance(spec, Responses):
                from bench.measure.probes import responses

                return responses.measure(spec, folder, feed, on_report, should_stop)
            from bench.measure.probes import surface

            return surface.measure(spec, folder, feed, on_report, should_stop)
    return _train(spec, folder, source, on_report, should_stop, place, company)


def _train(
    spec: Spec,
    folder: RunFolder,
    source: Source,
    on_report: Callable[[Report], None],
    should_stop: Callable[[], bool],
    place: tuple[int, int],
    company: Company,
) -> Result:
    """Train the net, together with the other processes where there are some."""
    from bench.device import lanes
    from bench.device.processes import connected
    from bench.measure.counts.estimate import Estimator
    from bench.training import constructed, execution, loop

    device = _device(spec)
    with (
        connected(*place, device) as processes,
        lanes.lane(device, own_stream=isinstance(spec.recipe, CifarRecipe)),
        contextlib.closing(_feed(spec, source, device, processes)) as feed,
    ):
        if feed.facts and processes.first:
            write_json(folder.provenance, {**read_json(folder.provenance), **feed.facts})

        def choose(earlier: str | None) -> execution.Mode:
            seconds = 3600 * Estimator(device.type, ())(spec).hours
            mode = execution.choose(source.execution, spec, device, seconds, earlier, company.threads)
            if processes.first:
                write_json(folder.provenance, {**read_json(folder.provenance), "execution": mode})
            return mode

        if isinstance(spec, Extension):
            constructed.begin(spec, folder, feed)
        if not isinstance(spec, GradientRun):
            return loop.train(spec, folder, feed, device, on_report, should_stop, processes, choose)
        from bench.measure.probes.gradients import Watch, without_denormals

        with without_denormals():
            watch = Watch(spec, folder, feed, device)
            return loop.train(spec, folder, feed, device, on_report, should_stop, processes, choose, watch)


def _feed(spec: Spec, source: Source, device: torch.device, processes: Processes) -> Feed:
    """The data of a run."""
    if isinstance(spec.recipe, CifarRecipe):
        from bench.images import memory
        from bench.training.feed import MemoryFeed

        dataset = memory.held(spec.dataset, source.folder, spec.recipe.selection, source.download, device)
        return MemoryFeed(spec.recipe, dataset, device, processes, judges_training=not isinstance(spec, GradientRun))
    from bench.training.folder_feed import open_folder

    assert isinstance(spec, RunSpec)
    return open_folder(spec, source.folder, source.skip_broken, source.workers, device, processes, _looked)


def _looked(done: int, of: int) -> None:
    """Show how far the first look at all images is: on one line of a terminal, else at every tenth part."""
    if sys.stderr.isatty():
        print(f"\rlooking at {done:,} of {of:,} images", end="" if done < of else "\n", file=sys.stderr, flush=True)
    elif of >= 10_000 and done * 10 // of > (done - 64) * 10 // of:
        print(f"looked at {done:,} of {of:,} images", file=sys.stderr, flush=True)


def _device(spec: Spec) -> torch.device:
    """Where this process computes, in the precision of the recipe."""
    import torch

    from bench.device.precision import set_precision

    set_precision(spec.recipe.precision)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _begin(folder: RunFolder, spec: Spec, company: Company) -> str:
    """Write the provenance of this attempt; returns the log's first line."""
    facts = provenance.collect(spec.recipe.precision, _device(spec))
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

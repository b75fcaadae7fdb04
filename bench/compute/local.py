"""Runs on this machine: on each GPU one at a time, or several as threads of one process; on a CPU one after another, or
several as processes that share the cores.

On a CPU threads would gain nothing and cost something: Python's lock is held between any two operations, each run's own
share of the cores cannot be told apart from the others', and PyTorch's compiler is not safe in threads.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.compute import job, progress
from bench.errors import Busy, Interrupted, Unready, UserError
from bench.runs.folder import RunFolder
from bench.runs.spec import CifarRecipe, Spec

if TYPE_CHECKING:
    from bench.training.loop import Report

Kind = Literal["done", "failed", "busy", "mistake", "interrupted"]
STATUS: dict[Kind, int] = {"done": 0, "failed": 1, "busy": 2}


@dataclass(frozen=True)
class Outcome:
    """How one run ended, in words for a person."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Place:
    """Where one run at a time may go: a GPU, by its name in CUDA_VISIBLE_DEVICES, or a share of the cores."""

    gpu: str | None
    threads: int | None
    """Of torch on a CPU; None leaves them as they are."""


@dataclass(frozen=True)
class Jobs:
    """What `job.run` is told besides the run."""

    results: Path
    source: job.Source
    force: bool
    company: job.Company = job.ALONE

    def do(self, spec: Spec, report: Callable[[Report], None], should_stop: Callable[[], bool]) -> Outcome:
        """Bring one run to its end. Raises nothing but KeyboardInterrupt."""
        folder = RunFolder(self.results, spec.run_id)
        try:
            job.run(spec, self.results, self.source, self.force, report, should_stop, company=self.company)
            return Outcome("done", f"{spec.run_id}: {_said(spec, folder)}")
        except Busy as error:
            return Outcome("busy", f"run.py: {error}")
        except Unready as error:
            return Outcome("failed", f"{spec.run_id} {error}")
        except UserError as error:
            return Outcome("mistake", str(error))
        except Interrupted as error:
            return Outcome("interrupted", str(error))
        except Exception as error:  # the run's log has the traceback; the other runs are not to blame
            said = f"{type(error).__name__}: {error}"
            return Outcome("failed", f"{spec.run_id} failed: {said} (log: {folder.log})")


def _said(spec: Spec, folder: RunFolder) -> str:
    """What came out, for a person."""
    if spec.measures:
        found = folder.read_measured()
        return f"{found.points} points after {job.format_duration(found.wall_seconds)}"
    result = folder.read_result()
    error = "diverged" if result.test_error is None else f"test error {result.test_error:.2f} %"
    return f"{error} after {job.format_duration(result.wall_seconds)}"


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop after the iteration; a second Ctrl-C stops at once."""
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(number, old[number])

    old = {number: signal.signal(number, ask) for number in (int(signal.SIGINT), int(signal.SIGTERM))}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def run_all(specs: Sequence[Spec], jobs: Jobs, pack: int = 1, threads: bool | None = None) -> int:
    """Run what is missing, `pack` runs at a time on each GPU, or on the CPU where there is none; what is needed comes first.

    `threads` says whether those of one GPU are threads of one process; None: where that pays. Returns the exit status: 0,
    1 where a run failed, 2 where a run was held by another command. A run that fails is reported, and the others go on.
    Raises UserError for a mistake that no other run would escape, Interrupted when asked to stop.
    """
    places = find_places(pack)[: len(specs)]
    if threads is None:
        on_gpu = any(place.gpu is not None for place in places)
        threads = on_gpu and job.share_a_process(specs, jobs.source.execution)
    watch = progress.watcher()
    try:
        with stop_on_signal() as should_stop:
            if len(places) == 1:
                return _in_turn(specs, jobs, watch, should_stop)
            return _side_by_side(specs, jobs, places, threads and pack > 1, watch, should_stop)
    finally:
        watch.close()
        sys.stdout.flush()


def find_places(pack: int) -> list[Place]:
    """Where runs may go at the same time on this machine; GPUs in turn, so that two runs are on two of them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = named.split(",") if named else [str(number) for number in range(count)]
    if count:
        return [Place(gpu, None) for _ in range(pack) for gpu in gpus[:count]]
    return [Place(None, max(1, torch.get_num_threads() // pack) if pack > 1 else None) for _ in range(pack)]


def _in_turn(specs: Sequence[Spec], jobs: Jobs, watch: progress.Watcher, should_stop: Callable[[], bool]) -> int:
    status = 0
    for number, spec in enumerate(specs, start=1):
        watch.begin(number, len(specs), spec.run_id)
        outcome = jobs.do(spec, lambda report, run_id=spec.run_id: watch.report(run_id, report), should_stop)  # type: ignore[misc]
        _raise(outcome)
        watch.end(spec.run_id, outcome.text)
        status = max(status, STATUS[outcome.kind])
    return status


def _raise(outcome: Outcome) -> None:
    if outcome.kind == "mistake":
        raise UserError(outcome.text)
    if outcome.kind == "interrupted":
        raise Interrupted(outcome.text)


@dataclass
class _Child:
    """A process of ours, the runs in it, and the way to talk with it."""

    process: BaseProcess
    words: Connection
    gpu: str | None
    runs: dict[str, Place]
    """Those that have not ended, by their ids, with the places that they take."""
    open: bool
    """Whether it takes further runs, each in a thread."""
    gone: bool = False


def _side_by_side(
    specs: Sequence[Spec],
    jobs: Jobs,
    places: Sequence[Place],
    threads: bool,
    watch: progress.Watcher,
    should_stop: Callable[[], bool],
) -> int:
    """Each run in a process of its own, or those of one GPU as threads of one: what kills a process leaves others alone."""
    recipes = [(spec.dataset, spec.recipe) for spec in specs]
    for dataset, selection in dict.fromkeys((d, r.selection) for d, r in recipes if isinstance(r, CifarRecipe)):
        from bench.images import memory

        memory.load(dataset, jobs.source.folder, selection, jobs.source.download)  # once, and a mistake is said once
    free, waiting, children = list(places), list(enumerate(specs, start=1)), list[_Child]()
    status, ending = 0, None
    try:
        while children or (waiting and not ending):
            while free and not ending and (ready := _ready(waiting, children)) is not None:
                (number, spec), place = waiting.pop(ready), free.pop(0)
                watch.begin(number, len(specs), spec.run_id)
                if not (threads and any(_give(child, spec, place) for child in children)):
                    company = job.Company(sum(other.gpu == place.gpu for other in places), threads)
                    children.append(_start(spec, place, replace(jobs, company=company)))
            for child in children:
                if not child.runs:
                    _dismiss(child)
            wait([child.words for child in children], timeout=0.5)
            stops = []
            for child in list(children):
                for run_id, outcome in _listen(child, watch):
                    free.append(child.runs.pop(run_id))
                    if outcome.kind not in STATUS:
                        stops.append(outcome)
                    elif not (ending and outcome.kind == "failed"):
                        watch.end(run_id, outcome.text)
                        status = max(status, STATUS[outcome.kind])
                if child.gone:
                    children.remove(child)
            stops += [Outcome("interrupted", "stopped")] if should_stop() else []
            if stops and not ending:
                ending = stops[0]
                _end(children)  # once: a second signal would end them before they have saved
    except BaseException:
        _end(children)
        raise
    if ending:
        _raise(ending)
    return status


def _ready(waiting: Sequence[tuple[int, Spec]], children: Sequence[_Child]) -> int | None:
    """Which of those that wait takes no net of a run that has not ended; None where each does, or none waits."""
    not_ended = {spec.run_id for _, spec in waiting}.union(*(child.runs for child in children))
    ready = (i for i, (_, spec) in enumerate(waiting) if not not_ended & {run.run_id for run in spec.needs})
    return next(ready, None)


def _start(spec: Spec, place: Place, jobs: Jobs) -> _Child:
    fresh = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA
    ours, theirs = fresh.Pipe()
    process = fresh.Process(target=_in_threads if jobs.company.threads else _alone, args=(place, jobs, theirs))
    process.start()
    theirs.close()  # so that the child's end is heard
    with contextlib.suppress(OSError):  # it has ended already, and will be told as such
        ours.send(spec)
    return _Child(process, ours, place.gpu, {spec.run_id: place}, jobs.company.threads)


def _give(child: _Child, spec: Spec, place: Place) -> bool:
    """Have the child run this too; returns whether it does."""
    if not child.open or child.gpu != place.gpu:
        return False
    try:
        child.words.send(spec)
    except OSError:
        return False
    child.runs[spec.run_id] = place
    return True


def _dismiss(child: _Child) -> None:
    """Let the child end when its runs have."""
    if child.open:
        child.open = False
        with contextlib.suppress(OSError):
            child.words.send(None)


def _alone(place: Place, jobs: Jobs, words: Connection) -> None:
    """The main function of a process that holds one run."""
    _settle(place)
    spec: Spec = words.recv()
    with stop_on_signal() as should_stop:
        outcome = jobs.do(spec, lambda report: words.send((spec.run_id, report)), should_stop)
        words.send((spec.run_id, outcome))


def _in_threads(place: Place, jobs: Jobs, words: Connection) -> None:
    """The main function of a process that holds several runs; it ends when told, or when nobody listens any more."""
    _settle(place)
    from bench.device import lanes

    speaking, alone = threading.Lock(), threading.Event()

    def say(spec: Spec, word: Report | Outcome) -> None:
        with speaking, contextlib.suppress(OSError):
            words.send((spec.run_id, word))

    with stop_on_signal() as should_stop:

        def do(spec: Spec) -> None:
            say(spec, jobs.do(spec, partial(say, spec), lambda: should_stop() or alone.is_set()))

        lanes.each(_received(words, alone), do)


def _received(words: Connection, alone: threading.Event) -> Iterator[Spec]:
    """The runs that are given to this process."""
    try:
        while (spec := words.recv()) is not None:
            yield spec
    except (EOFError, OSError):
        alone.set()


def _settle(place: Place) -> None:
    """Give this process its GPU, or its share of the cores."""
    if place.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = place.gpu
    import torch

    if place.threads:
        torch.set_num_threads(place.threads)


def _listen(child: _Child, watch: progress.Watcher) -> list[tuple[str, Outcome]]:
    """Hand on what the child's runs have reported; returns the outcomes of those that have ended."""
    ended: dict[str, Outcome] = {}
    try:
        while child.words.poll():
            run_id, word = child.words.recv()
            if isinstance(word, Outcome):
                ended[run_id] = word
            else:
                watch.report(run_id, word)
    except (EOFError, OSError):
        child.gone = True
        child.process.join()
        said = f"failed: its process ended with {child.process.exitcode}"
        ended = {**{run_id: Outcome("failed", f"{run_id} {said}") for run_id in child.runs}, **ended}
    if any(outcome.kind == "failed" for outcome in ended.values()):
        _dismiss(child)  # an error of CUDA stays with a process; the runs that wait get a fresh one
    if ended and child.runs.keys() == ended.keys() and not child.open:
        child.process.join()
    return list(ended.items())


def _end(children: Sequence[_Child]) -> None:
    """Ask runs to save and end."""
    for child in children:
        _dismiss(child)
        if child.process.is_alive():
            child.process.terminate()

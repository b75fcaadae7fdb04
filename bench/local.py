"""Runs on this machine: one for each GPU at a time, or one after another on a CPU."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench import job, progress
from bench.errors import Busy, Interrupted, UserError
from bench.spec import RunSpec
from bench.store import RunFolder

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

    def do(self, spec: RunSpec, report: Callable[[Report], None], should_stop: Callable[[], bool]) -> Outcome:
        """Bring one run to its end. Raises nothing but KeyboardInterrupt."""
        folder = RunFolder(self.results, spec.run_id)
        try:
            job.run(spec, self.results, self.source, self.force, report, should_stop)
            result = folder.read_result()
        except Busy as error:
            return Outcome("busy", f"run.py: {error}")
        except UserError as error:
            return Outcome("mistake", str(error))
        except Interrupted as error:
            return Outcome("interrupted", str(error))
        except Exception as error:  # the run's log has the traceback; the other runs are not to blame
            said = f"{type(error).__name__}: {error}"
            return Outcome("failed", f"{spec.run_id} failed: {said} (log: {folder.log})")
        error_text = "diverged" if result.test_error is None else f"test error {result.test_error:.2f} %"
        return Outcome("done", f"{spec.run_id}: {error_text} after {job.format_duration(result.wall_seconds)}")


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


def run_all(specs: Sequence[RunSpec], jobs: Jobs, pack: int = 1) -> int:
    """Run what is missing, `pack` runs at a time on each GPU, or on the CPU where there is none.

    Returns the exit status: 0, 1 where a run failed, 2 where a run was held by another command. A run that fails is
    reported, and the others go on. Raises UserError for a mistake that no other run would escape, Interrupted when asked to
    stop.
    """
    places = find_places(pack)[: len(specs)]
    watch = progress.watcher()
    try:
        with stop_on_signal() as should_stop:
            if len(places) == 1:
                return _in_turn(specs, jobs, watch, should_stop)
            return _side_by_side(specs, jobs, places, watch, should_stop)
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


def _in_turn(specs: Sequence[RunSpec], jobs: Jobs, watch: progress.Watcher, should_stop: Callable[[], bool]) -> int:
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


@dataclass(frozen=True)
class _Child:
    """A run in a process of its own, and what it says."""

    spec: RunSpec
    place: Place
    process: BaseProcess
    words: Connection


def _side_by_side(
    specs: Sequence[RunSpec],
    jobs: Jobs,
    places: Sequence[Place],
    watch: progress.Watcher,
    should_stop: Callable[[], bool],
) -> int:
    """Each run in a process of its own: it sees one GPU, and what kills it leaves the others alone."""
    for dataset, selection in dict.fromkeys((s.dataset, s.cifar.selection) for s in specs if s.arch.family == "cifar"):
        from bench.training import data

        data.load(dataset, jobs.source.folder, selection, jobs.source.download)  # once, and a mistake is said once
    free, waiting, children = list(places), list(enumerate(specs, start=1)), list[_Child]()
    status, ending = 0, None
    try:
        while children or (waiting and not ending):
            while free and waiting and not ending:
                number, spec = waiting.pop(0)
                watch.begin(number, len(specs), spec.run_id)
                children.append(_start(spec, free.pop(0), jobs))
            wait([child.words for child in children], timeout=0.5)
            ended = [(child, outcome) for child in children if (outcome := _listen(child, watch))]
            for child, outcome in ended:
                children.remove(child)
                free.append(child.place)
                if outcome.kind in STATUS and not (ending and outcome.kind == "failed"):
                    watch.end(child.spec.run_id, outcome.text)
                    status = max(status, STATUS[outcome.kind])
            stops = [outcome for _, outcome in ended if outcome.kind not in STATUS]
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


def _start(spec: RunSpec, place: Place, jobs: Jobs) -> _Child:
    fresh = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA
    words, mouth = fresh.Pipe(duplex=False)
    process = fresh.Process(target=_alone, args=(spec, place, jobs, mouth))
    process.start()
    mouth.close()  # so that the child's end is heard
    return _Child(spec, place, process, words)


def _alone(spec: RunSpec, place: Place, jobs: Jobs, mouth: Connection) -> None:
    """The main function of a process that holds one run."""
    if place.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = place.gpu
    import torch

    if place.threads:
        torch.set_num_threads(place.threads)
    with stop_on_signal() as should_stop:
        mouth.send(jobs.do(spec, mouth.send, should_stop))


def _listen(child: _Child, watch: progress.Watcher) -> Outcome | None:
    """Hand on what the run has reported; returns its outcome once it has ended."""
    try:
        while child.words.poll():
            word = child.words.recv()
            if isinstance(word, Outcome):
                child.process.join()
                return word
            watch.report(child.spec.run_id, word)
    except EOFError:
        child.process.join()
        return Outcome("failed", f"{child.spec.run_id} failed: its process ended with {child.process.exitcode}")
    return None


def _end(children: Sequence[_Child]) -> None:
    """Ask runs to save and end."""
    for child in children:
        if child.process.is_alive():
            child.process.terminate()

"""Several runs at once, on this machine or in a Slurm task: each in a process, or as threads of one process for each GPU.

What kills a process leaves the others alone, a run that needs another one waits for it, and a request to stop is passed on
once. On a CPU threads would gain nothing and cost something: Python's lock is held between any two operations, each run's
own share of the cores does not show beside the others', and PyTorch's compiler is not safe in threads.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Literal

from bench.compute import job, kinds
from bench.compute.context import Company, Context
from bench.errors import Busy, Interrupted, Unready, UserError
from bench.runs.folder import RunFolder
from bench.runs.spec import CifarRecipe, Execution, Spec
from bench.training.report import Report, never, unheard

if TYPE_CHECKING:
    from bench.compute.progress import Watcher

Ending = Literal["done", "failed", "busy", "mistake", "interrupted"]
PERSON = (signal.SIGINT, signal.SIGTERM)
"""What asks a command to stop."""
SCHEDULER = (signal.SIGUSR2, signal.SIGTERM)
"""What asks a Slurm task to stop: its time is nearly up, or it must end."""
ASKED_TO_END = {-number for number in (*PERSON, *SCHEDULER)}
"""Exit codes of a process that was asked to stop before it listened."""


@dataclass(frozen=True)
class Outcome:
    """How one run ended, in words for a person."""

    kind: Ending
    text: str


@dataclass(frozen=True)
class Place:
    """Where one run at a time may go: a GPU, by its name in CUDA_VISIBLE_DEVICES, or a share of the cores."""

    gpu: str | None
    """None: whatever this process sees."""
    threads: int | None
    """Of torch on a CPU; None leaves them as they are."""

    def settle(self) -> None:
        """Give this process its GPU and its share of the cores."""
        if self.gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpu
        import torch

        if self.threads:
            torch.set_num_threads(self.threads)


def share_a_process(specs: Sequence[Spec], execution: Execution) -> bool:
    """Whether runs side by side on a GPU are threads of one process: where an iteration is one launch of a captured graph.

    Launched kernel by kernel they would wait for Python's lock, and for images they have processes of their own. The
    arithmetic of products is a switch of the process, so that runs of several precisions have one each.
    """
    one_precision = len({spec.recipe.precision for spec in specs}) == 1
    captured = execution in ("auto", "captured") and all(isinstance(spec.recipe, CifarRecipe) for spec in specs)
    return captured and one_precision


def run_one(spec: Spec, context: Context) -> Outcome:
    """Bring one run to its end, in this thread. Raises what went wrong only where several processes train one net."""
    folder = RunFolder(context.results, spec.run_id)
    try:
        job.run(spec, context)
        if context.process[0] > 0:  # the first one writes the result
            return Outcome("done", f"{spec.run_id}: process {context.process[0]} is done")
        result = kinds.of(spec).read(folder)
        return Outcome("done", f"{spec.run_id}: {result.summary} after {job.format_duration(result.wall_seconds)}")
    except Busy as error:
        return Outcome("busy", f"run.py: {error}")
    except Unready as error:
        return Outcome("failed", f"{spec.run_id} {error}")
    except UserError as error:
        return Outcome("mistake", str(error))
    except Interrupted as error:
        return Outcome("interrupted", str(error))
    except Exception as error:  # the run's log has the traceback; the other runs are not to blame
        if context.process[1] > 1:
            raise  # the other processes wait for this one: let srun end them
        said = f"{type(error).__name__}: {error}"
        return Outcome("failed", f"{spec.run_id} failed: {said} (log: {folder.log})")


@contextmanager
def listening(*numbers: int, twice: bool = True) -> Iterator[set[int]]:
    """The signals of these that have come so far, each of which asks to save and end.

    `twice`: a second one of a kind does what it does by default, so that a second Ctrl-C ends at once. A scheduler may send
    one several times, and means nothing by it.
    """
    come: set[int] = set()

    def hear(number: int, frame: object) -> None:
        come.add(number)
        if twice:
            signal.signal(number, before[number])

    before = {int(number): signal.signal(number, hear) for number in numbers}
    try:
        yield come
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_in_turn(
    specs: Sequence[Spec], context: Context, watch: Watcher, ends: frozenset[Ending] = frozenset()
) -> dict[str, Outcome]:
    """Run one after another in this process. Returns the outcomes by id, up to the first one in `ends`."""
    outcomes: dict[str, Outcome] = {}
    for number, spec in enumerate(specs, start=1):
        watch.begin(number, len(specs), spec.run_id)
        outcome = run_one(spec, replace(context, on_report=partial(watch.report, spec.run_id)))
        outcomes[spec.run_id] = outcome
        if outcome.kind in ends:
            break
        watch.end(spec.run_id, outcome.text)
    return outcomes


@dataclass
class _Child:
    """A process of ours, the runs in it, and the way to talk with it."""

    process: BaseProcess
    words: Connection
    gpu: str | None
    runs: dict[str, Place]
    """Those that have not ended, by their ids, with the places that they take."""
    open: bool = True
    """Whether it takes further runs."""
    gone: bool = False

    def give(self, spec: Spec, place: Place) -> bool:
        """Have it run this; returns whether it can."""
        if not self.open or self.gpu != place.gpu:
            return False
        with contextlib.suppress(OSError):
            self.words.send(spec)
            self.runs[spec.run_id] = place
            return True
        return False

    def dismiss(self) -> None:
        """Let it end when its runs have."""
        if self.open:
            self.open = False
            with contextlib.suppress(OSError):
                self.words.send(None)

    def hear(self, stopping: bool) -> Iterator[tuple[str, Report | Outcome]]:
        """What its runs have said since the last time, and how those ended that its process took along."""
        try:
            while self.words.poll():
                yield self.words.recv()
        except (EOFError, OSError):
            self.process.join()
            self.gone = True
            code = self.process.exitcode
            for run_id in list(self.runs):
                if stopping and code in ASKED_TO_END:
                    yield run_id, Outcome("interrupted", f"{run_id} stopped before it began")
                else:
                    yield run_id, Outcome("failed", f"{run_id} failed: its process ended with {code}")


def _ready(waiting: Sequence[tuple[int, Spec]], children: Sequence[_Child]) -> int | None:
    """Which of those that wait takes no net of a run that has not ended; None where each does, or none waits."""
    not_ended = {spec.run_id for _, spec in waiting}.union(*(child.runs for child in children))
    needs = [{run.run_id for run in spec.needs} for _, spec in waiting]
    return next((number for number, needed in enumerate(needs) if not not_ended & needed), None)


@dataclass
class Supervisor:
    """Runs as many at a time as there are places, each as soon as what it needs has ended."""

    specs: Sequence[Spec]
    context: Context
    places: Sequence[Place]
    threads: bool
    """Whether those of one GPU are threads of one process; else each has a process."""
    watch: Watcher
    ends: frozenset[Ending] = frozenset()
    """Outcomes that ask all other runs to stop, as `context.should_stop` does."""

    def __post_init__(self) -> None:
        self.free = list(self.places)
        self.waiting = list(enumerate(self.specs, start=1))
        self.children: list[_Child] = []
        self.outcomes: dict[str, Outcome] = {}
        self.ending = False

    def run(self) -> dict[str, Outcome]:
        """Bring all to their end. Returns the outcomes by id; none of those that had not begun when it was asked to stop."""
        try:
            while self.children or (self.waiting and not self.ending):
                self.fill()
                wait([child.words for child in self.children], timeout=0.5)
                for child in list(self.children):
                    self.listen(child)
                if self.context.should_stop():
                    self.end()
        except BaseException:
            self.ask_to_stop()
            raise
        return self.outcomes

    def fill(self) -> None:
        """Start what can start; let processes end that have nothing left to do."""
        while self.free and not self.ending and (ready := _ready(self.waiting, self.children)) is not None:
            number, spec = self.waiting.pop(ready)
            self.watch.begin(number, len(self.specs), spec.run_id)
            self.start(spec, self.free.pop(0))
        for child in self.children:
            if not child.runs:
                child.dismiss()

    def start(self, spec: Spec, place: Place) -> None:
        """In a process that is there, if it takes further threads; else in a fresh one."""
        if self.threads and any(child.give(spec, place) for child in self.children):
            return
        fresh = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA
        ours, theirs = fresh.Pipe()
        company = Company(sum(other.gpu == place.gpu for other in self.places), self.threads)
        context = replace(self.context, on_report=unheard, should_stop=never, company=company)  # it has its own
        process = fresh.Process(target=_work, args=(place, context, theirs))
        process.start()
        theirs.close()  # so that the child's end is heard
        child = _Child(process, ours, place.gpu, {spec.run_id: place})
        child.give(spec, place)  # where it has ended already, it is heard to have
        if not self.threads:
            child.dismiss()
        self.children.append(child)

    def listen(self, child: _Child) -> None:
        """Hand on what the child's runs report, and note how they ended."""
        for run_id, word in child.hear(self.ending or self.context.should_stop()):
            if not isinstance(word, Outcome):
                self.watch.report(run_id, word)
            elif run_id in child.runs:
                self.free.append(child.runs.pop(run_id))
                self.note(child, run_id, word)
        if child.gone:
            self.children.remove(child)
        elif not (child.runs or child.open):
            child.process.join()  # before another one needs what it holds of the GPU

    def note(self, child: _Child, run_id: str, outcome: Outcome) -> None:
        self.outcomes[run_id] = outcome
        if outcome.kind == "failed":
            child.dismiss()  # an error of CUDA stays with a process; the runs that wait get a fresh one
        if outcome.kind in self.ends:
            self.end()
        else:
            self.watch.end(run_id, outcome.text)

    def end(self) -> None:
        """Ask all runs to save and end: once, since a second signal would end them before they have saved."""
        if not self.ending:
            self.ending = True
            self.ask_to_stop()

    def ask_to_stop(self) -> None:
        for child in self.children:
            child.dismiss()
            if child.process.is_alive():
                child.process.terminate()


def _work(place: Place, context: Context, words: Connection) -> None:
    """The main function of a process that holds runs; it ends when asked to, or when nobody listens any more."""
    speaking, deserted = threading.Lock(), threading.Event()

    def say(spec: Spec, word: Report | Outcome) -> None:
        with speaking:
            try:
                words.send((spec.run_id, word))
            except OSError:
                deserted.set()

    with listening(*(SCHEDULER if context.attempt else PERSON), twice=context.attempt is None) as asked:
        place.settle()

        def do(spec: Spec) -> None:
            heard = replace(context, on_report=partial(say, spec), should_stop=lambda: bool(asked) or deserted.is_set())
            say(spec, run_one(spec, heard))

        if context.company.threads:
            from bench.device import lanes

            lanes.each(_received(words, deserted), do)
        else:
            for spec in _received(words, deserted):
                do(spec)


def _received(words: Connection, deserted: threading.Event) -> Iterator[Spec]:
    """The runs that are given to this process."""
    try:
        while (spec := words.recv()) is not None:
            yield spec
    except (EOFError, OSError):
        deserted.set()

"""Programs that are timed in turns, minutes long: a machine that slows down slows them all.

Each lives in a process of its own. While it is another's turn the process is held, with all that it has started: loader
workers, compilers. Its clock stands still meanwhile.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from bench.measure.speed.throughput import environment

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SECONDS = 20.0
"""Of a turn: long beside what a switch costs, short beside what the neighbours of a machine do to it."""


@dataclass(frozen=True)
class Program:
    """`target(*arguments, tell)` tells now and then how many images it has trained on."""

    target: Callable[..., None]
    arguments: tuple[Any, ...]
    of_ours: bool = True
    """Whether it gets our environment or what most people have."""


def timelines(programs: Sequence[Program], seconds: float = SECONDS) -> list[list[tuple[float, int]]]:
    """(seconds of its own turns, images) of each `tell(images)`, for each program, all run to their ends.

    The start of Python counts. Raises RuntimeError where one fails.
    """
    with ExitStack() as stack:
        held = [stack.enter_context(_Held(program)) for program in programs]
        while any(not one.ended for one in held):
            for one in held:
                if not one.ended:
                    one.take(seconds)
    return [one.told for one in held]


@dataclass
class _Held:
    """A program that runs in its turns alone."""

    program: Program
    told: list[tuple[float, int]] = field(default_factory=list)
    ended: bool = False
    _seconds: float = 0.0
    """Its turns so far."""
    _process: Any = None

    def __enter__(self) -> Self:
        self._empty = tempfile.TemporaryDirectory(prefix="resnet-bench-")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._each(lambda process: (process.resume(), process.kill()))
            self._process.join()
        self._empty.cleanup()

    def take(self, seconds: float) -> None:
        began = time.monotonic()
        if self._process:
            self._each(lambda process: process.resume())
        else:
            self._start()
        try:
            while (left := began + seconds - time.monotonic()) > 0:
                if self._mouth.poll(left):
                    self._listen(began)
            self._hold()
            while self._mouth.poll():
                self._listen(began)
        except EOFError:
            self.ended = True
            self._process.join()
            if self._process.exitcode or not self.told:
                name = self.program.target.__name__
                raise RuntimeError(f"{name} ended with status {self._process.exitcode}") from None
        self._seconds += time.monotonic() - began

    def _start(self) -> None:
        fresh = multiprocessing.get_context("spawn")
        self._mouth, theirs = fresh.Pipe(duplex=False)
        self._process = fresh.Process(target=_tell_all, args=(self.program.target, self.program.arguments, theirs))
        with environment(self.program.of_ours, self._empty.name):
            self._process.start()
        theirs.close()

    def _listen(self, began: float) -> None:
        images: int = self._mouth.recv()
        self.told.append((self._seconds + time.monotonic() - began, images))

    def _hold(self) -> None:
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(self._process.pid).suspend()  # first, so that it starts nothing more
        self._each(lambda process: process.suspend())

    def _each(self, do: Callable[[Any], object]) -> None:
        """To the process and what it has started."""
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self._process.pid)
            for one in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    do(one)


def _tell_all(target: Callable[..., None], arguments: tuple[Any, ...], mouth: Connection) -> None:
    target(*arguments, mouth.send)

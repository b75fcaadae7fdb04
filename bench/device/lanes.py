"""Runs that are threads of one process: each its own stream on the GPU, and some moments alone.

A captured iteration is one launch, so that Python's lock is held for a fraction of it, and kernels of several streams run on
a GPU at the same time. What PyTorch has only once in a process is used by one thread while the others stand still: it allows
one capture at a time and no other work of CUDA meanwhile ("Constraints" in its notes on CUDA graphs), and torch.fx changes
nn.Module itself while it traces.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import torch

from bench.errors import UserError

STREAMS = 32
"""That PyTorch has for a device; it hands them out in a circle, so that a further lane would share another's."""


T = TypeVar("T")


class _Gate:
    """Threads at work pass it freely, until one of them wants to be alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._moving: set[int] = set()
        self._waiting = 0
        self._alone = False

    @contextmanager
    def working(self) -> Iterator[None]:
        me = threading.get_ident()
        self._enter(me)
        try:
            yield
        finally:
            self._leave(me)

    def pause(self) -> None:
        me = threading.get_ident()
        if self._waiting and me in self._moving:
            self._leave(me)
            self._enter(me)

    @contextmanager
    def alone(self) -> Iterator[None]:
        me = threading.get_ident()
        with self._changed:
            working = me in self._moving
            self._moving.discard(me)
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._moving and not self._alone)
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._waiting -= 1
                if working:
                    self._moving.add(me)
                self._changed.notify_all()

    def _enter(self, me: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
            self._moving.add(me)

    def _leave(self, me: int) -> None:
        with self._changed:
            self._moving.discard(me)
            self._changed.notify_all()


_GATE = _Gate()
"""Of this process."""
_FREE: list[torch.cuda.Stream] = []
"""Streams of the process's GPU that no run is on."""
_LEFT = threading.Semaphore(STREAMS)


def pause() -> None:
    """Stand still while another thread is alone or wants to be; called between iterations, where it costs a look."""
    _GATE.pause()


def alone() -> AbstractContextManager[None]:
    """While this lasts no other thread in a lane does anything. Waits until each has come to a pause, or to its end."""
    return _GATE.alone()


@contextmanager
def lane(device: torch.device, own_stream: bool = True) -> Iterator[None]:
    """The place of one run in its process: what this thread computes in it is on a stream of its own.

    The backward pass stays in this thread too: in the one that PyTorch has for a device all runs would share a handle of
    cuBLAS, and graphs captured with it its workspace. PyTorch keeps workspaces by handle and stream, and frees those of a
    stream when a graph that was captured on it ends (its issue 193402); so a stream goes to another run only when this one
    has ended, and not if it has failed, since a traceback may hold its graph. Raises UserError where all are taken.
    """
    with _GATE.working():
        if device.type != "cuda" or not own_stream:
            yield
            return
        stream = _take(device)
        with torch.cuda.stream(stream), torch.autograd.set_multithreading_enabled(False):
            yield
        gc.collect()  # whatever of the run still waits to be destroyed
        _FREE.append(stream)
        _LEFT.release()


def _take(device: torch.device) -> torch.cuda.Stream:
    if not _LEFT.acquire(blocking=False):
        raise UserError(
            f"more than {STREAMS} runs in one process are more than PyTorch has streams: give a lower --pack"
        )
    try:
        return _FREE.pop()
    except IndexError:
        return torch.cuda.Stream(device)


def each(items: Iterable[T], do: Callable[[T], object]) -> None:
    """Do each as soon as it comes, in a thread of its own. Returns when all have ended.

    Called before CUDA has started, which then gives every stream a queue to the GPU; by default streams share eight.
    """
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", str(STREAMS))
    threads = []
    for item in items:
        threads.append(threading.Thread(target=do, args=(item,)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def settle(device: torch.device) -> None:
    """Wait until the device has done what this thread has asked of it; no other thread's work is waited for."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()

"""How iterations are executed: the plain, readable way; compiled; or on a GPU as one captured graph.

What is computed is the recipe's business and the same in all three, to rounding.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.device import lanes
from bench.device.precision import autocast
from bench.errors import UserError
from bench.runs.spec import Execution, ImageNetRecipe, Recipe, Spec
from bench.training.feed import Feed, MemoryFeed

Mode = Literal["eager", "compiled", "captured"]
LOSS_SCALE = 1024.0
"""Of fp16; a power of two, so that it changes no digit."""
DEEPEST_COMPILED = 164
"""Compiling takes about a second for each layer; from here on, minutes."""
SECONDS_PER_LAYER, SECONDS_AT_LEAST = 0.8, 25.0
"""Of compiling with cold caches, on one core, rounded up: at least, and for each layer beside."""
GAIN = 0.15
"""Share of an eager iteration that a compiled one saves on a CPU, at least."""
AHEAD = 16
"""Iterations after which a thread that launches graphs waits for the GPU: enough that the GPU never waits for a thread."""


def choose(
    asked: Execution, spec: Spec, device: torch.device, seconds: float, earlier: str | None, in_thread: bool = False
) -> Mode:
    """The way to execute a run that would take so many seconds eagerly.

    A run that goes on does so the way it was begun (`earlier`), for the same bits, where this machine can; a new one takes
    the fastest: captured on a GPU, compiled on a CPU where compiling pays. A run that shares its process with others is
    not compiled: PyTorch's compiler is not safe in threads. Raises UserError for a choice that the device does not allow.
    """
    captured = device.type == "cuda" and not isinstance(spec.recipe, ImageNetRecipe)
    compiled = compiler() is not None and not in_thread
    if asked == "captured" and not captured:
        raise UserError("--execution captured needs a GPU and a CIFAR net: try compiled or eager")
    if asked == "compiled" and in_thread:
        raise UserError("--execution compiled needs a process for each run: leave out --pack, or try captured or eager")
    if asked == "compiled" and not compiled:
        raise UserError("--execution compiled needs a C++ compiler: install g++, or try eager")
    if asked != "auto":
        return asked
    if earlier == "eager" or (earlier == "compiled" and compiled) or (earlier == "captured" and captured):
        return earlier  # type: ignore[return-value]
    if captured:
        return "captured"
    return "compiled" if device.type == "cpu" and compiled and _pays(spec, seconds) else "eager"


def _pays(spec: Spec, seconds: float) -> bool:
    """Whether compiling saves more than it takes."""
    compiling = SECONDS_AT_LEAST + SECONDS_PER_LAYER * spec.arch.depth
    return spec.arch.depth <= DEEPEST_COMPILED and GAIN * seconds > compiling


def compiler() -> str | None:
    """The C++ compiler that torch.compile would call, where there is one."""
    return shutil.which(os.environ.get("CXX", "g++"))


def prepare(net: nn.Module, mode: Mode) -> nn.Module:
    """The net as an iteration calls it. The net itself, which shares its weights, is for tests and checkpoints."""
    if mode != "compiled":
        return net
    from bench.training.fused import fuse

    fuse(net)
    # Sizes never change; left to find that out, the compiler makes kernels for sizes it does not know, which are slow.
    return torch.compile(net, dynamic=False)  # type: ignore[return-value]


class Iteration:
    """A batch's loss, its gradient and one update. Nothing here asks the device for a number, so that nothing waits."""

    def __init__(self, model: nn.Module, optimiser: torch.optim.SGD, recipe: Recipe, device: torch.device) -> None:
        self.model, self.optimiser, self.recipe, self.device = model, optimiser, recipe, device
        self.scale = LOSS_SCALE if recipe.precision == "fp16" else 1.0
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.wrong = torch.zeros((), dtype=torch.int64, device=device)
        """Over the iterations since they were last taken."""
        self.last_wrong = torch.zeros((), dtype=torch.int64, device=device)

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        with autocast(self.device, self.recipe.precision):
            logits = self.model(images)
            loss = F.cross_entropy(logits.float(), labels)
        self.optimiser.zero_grad(set_to_none=True)
        (loss * self.scale).backward() if self.scale != 1 else loss.backward()
        if self.scale != 1:
            torch._foreach_div_([p.grad for p in self.model.parameters() if p.grad is not None], self.scale)
        self.optimiser.step()
        self.loss_sum += loss.detach() * len(labels)
        self.last_wrong.copy_((logits.detach().argmax(1) != labels).sum())
        self.wrong += self.last_wrong


class Captured:
    """Crops, loss, gradient and update as one graph that the GPU runs by itself: one launch instead of hundreds.

    The learning rate is part of a graph, so that there is one for each rate. On a device without graphs the same steps are
    taken one by one, on the same buffers.
    """

    def __init__(self, feed: MemoryFeed, iteration: Iteration) -> None:
        self.feed, self.iteration = feed, iteration
        self.draw = torch.zeros((4, feed.share), dtype=torch.int64, device=iteration.device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.rate: float | None = None
        self.launched = 0
        if iteration.device.type == "cuda":
            self.mark, self.aside = torch.cuda.Event(blocking=True), _stream_for_capture()
        for group in iteration.optimiser.param_groups:
            for parameter in group["params"]:  # with velocity 0 the first update is what it is without one
                iteration.optimiser.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))

    def __call__(self, rate: float) -> None:
        """One iteration at this learning rate, which the optimiser already has."""
        self.draw.copy_(self.feed.next_draw(), non_blocking=True)
        if self.iteration.device.type != "cuda":
            return self._steps()
        if rate != self.rate:
            with lanes.alone():
                self._capture()
            self.rate = rate
        assert self.graph is not None
        self.graph.replay()
        return self._wait_for_those_before()

    def _steps(self) -> None:
        self.iteration(*self.feed.augment(self.draw))

    def _wait_for_those_before(self) -> None:
        """Let this thread be at most 2 AHEAD iterations before the GPU: asleep, with no other run's work waited for."""
        self.launched += 1
        if self.launched % AHEAD == 0:
            self.mark.synchronize()
            self.mark.record()

    def _capture(self) -> None:
        """Record the graph, after iterations that leave no trace and let the libraries choose their kernels."""
        here = torch.cuda.current_stream()
        here.synchronize()
        self.graph = None  # before the new one needs workspaces: a graph that ends takes those of its stream along
        own = self._state()
        before = [tensor.clone() for tensor in own]
        self.aside.wait_stream(here)
        with torch.cuda.stream(self.aside):
            for _ in range(3):
                self._steps()
        here.wait_stream(self.aside)
        for tensor, value in zip(own, before, strict=True):
            tensor.copy_(value)
        self.iteration.optimiser.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with _nothing_collected(), torch.cuda.graph(graph, stream=self.aside, capture_error_mode="thread_local"):
            self._steps()
        self.graph = graph

    def _state(self) -> Sequence[Tensor]:
        """All that an iteration changes."""
        i = self.iteration
        velocities = [state["momentum_buffer"] for state in i.optimiser.state.values()]
        with torch.no_grad():
            weights = [parameter.data for parameter in i.model.parameters()]
        return [*weights, *i.model.buffers(), *velocities, i.loss_sum, i.wrong, i.last_wrong]


def _stream_for_capture() -> torch.cuda.Stream:
    """This thread's own stream in a lane; beside the default one, which cannot be captured, a further one."""
    here = torch.cuda.current_stream()
    return torch.cuda.Stream() if here == torch.cuda.default_stream() else here


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Collect no garbage meanwhile: a graph in it, of a run that failed, would be destroyed in the middle of a capture."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def advance(mode: Mode, feed: Feed, iteration: Iteration) -> Callable[[float], None]:
    """The function that takes one iteration at a learning rate."""
    if mode == "captured":
        assert isinstance(feed, MemoryFeed)
        return Captured(feed, iteration)
    return lambda rate: iteration(*feed.batch())

"""Images per second of a net, beside the loop that most people run and beside what the machine could do at best.

Each loop lives in a process of its own, with its own threads and memory, and takes so many iterations when it is asked to;
whoever times it (pytest-benchmark) sees nothing but a call. Images are random: their content costs nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.device.environment import ENVIRONMENT
from bench.measure.speed import reference_loop
from bench.measure.speed.settings import Setting, kind
from bench.runs.datasets import CIFAR10
from bench.runs.provenance import cores
from bench.runs.spec import CifarRecipe, ImageNetRecipe, Recipe
from models.arch import parse_arch

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bench.images.memory import Dataset


class Loop:
    """A loop in a process of its own. Calling it takes iterations and returns when the device has done them."""

    def __init__(self, words: Connection, process: Any, facts: dict[str, Any]) -> None:
        self._words, self._process, self.facts = words, process, facts
        self.seconds = 0.0
        """Of an iteration, about."""

    def __call__(self, iterations: int) -> None:
        self._words.send(iterations)
        self._listen()

    def warm_up(self) -> None:
        """Take iterations until they are as they will be. Long ones need fewer."""
        for number in range(4):
            began = time.perf_counter()
            self(1)
            self.seconds = time.perf_counter() - began
            if number and self.seconds > 1:
                break

    @property
    def alive(self) -> bool:
        return bool(self._process.is_alive())

    def peak_mb(self) -> int:
        """Most memory so far, of the device or of the process, above what it had with PyTorch loaded and no net."""
        self._words.send("peak")
        peak: int = self._listen()
        return peak

    def _listen(self) -> Any:
        try:
            return self._words.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"the loop ended with status {self._process.exitcode}: out of memory?") from None


@contextmanager
def loop(setting: Setting) -> Iterator[Loop]:
    """Start a loop and take its first iteration; `facts` says how long that took and on how many threads."""
    fresh = multiprocessing.get_context("spawn")
    mine, theirs = fresh.Pipe()
    process = fresh.Process(target=_serve, args=(setting, theirs))
    with tempfile.TemporaryDirectory(prefix="resnet-bench-") as empty:
        with environment(setting.how != "reference", empty):
            process.start()
        theirs.close()
        try:
            started = Loop(mine, process, {})
            started.facts = started._listen()
            yield started
        finally:
            mine.close()
            process.join(20)
            process.kill()
            process.join()


class References:
    """The reference loop, which settings of one net and batch share one after another."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._setting: Setting | None = None
        self._loop: Loop | None = None

    def of(self, setting: Setting) -> Loop:
        """The reference loop of a setting, warmed up."""
        if self._loop is None or not self._loop.alive or setting.reference != self._setting:
            self.close()
            self._loop = self._open.enter_context(loop(setting.reference))
            self._setting = setting.reference
            self._loop.warm_up()
        return self._loop

    def close(self) -> None:
        self._open.close()
        self._loop = None


@contextmanager
def environment(of_ours: bool, empty: str) -> Iterator[None]:
    """What a process that is timed finds when it starts: all cores, our environment or none, nothing compiled before."""
    ours: dict[str, str | None] = {**ENVIRONMENT} if of_ours else dict.fromkeys(ENVIRONMENT)
    values = {**ours, "OMP_NUM_THREADS": str(cores()), "TORCHINDUCTOR_CACHE_DIR": empty}
    before = {name: os.environ.get(name) for name in values}
    _export(values)
    try:
        yield
    finally:
        _export(before)


def _export(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _serve(setting: Setting, words: Connection) -> None:
    """The main function of the process that holds a loop."""
    import torch

    device = torch.device(kind())
    wait: Callable[[], object] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    torch.zeros(1, device=device)
    before = _resident(device)
    began = time.perf_counter()
    if setting.how == "reference":
        cifar = random_images().train if setting.arch.family == "cifar" else None
        step = reference_loop.step(setting, device, cifar)
    else:
        step = ours(setting, device)
    step()
    wait()
    words.send({"first_seconds": round(time.perf_counter() - began, 2), "threads": torch.get_num_threads()})
    while True:
        try:
            word = words.recv()
        except EOFError:
            return
        if word == "peak":
            words.send(_resident(device, peak=True) - before)
        else:
            for _ in range(word):
                step()
            wait()
            words.send(word)


def _resident(device: torch.device, peak: bool = False) -> int:
    """Megabytes in use: of the GPU by tensors, or of this process."""
    import torch

    if device.type == "cuda":
        return (torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated()) >> 20
    status = Path("/proc/self/status")
    key = "VmHWM:" if peak else "VmRSS:"
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith(key)), 0)


def ours(setting: Setting, device: torch.device) -> Callable[[], object]:
    """An iteration of the harness's own training, or a forward pass of its test, on random images.

    CIFAR images are cropped, flipped and normalised on the way, as in a run. ImageNet images come as the loader hands them
    over, and get their colour noise and normalisation.
    """
    from bench.device.precision import set_precision
    from bench.training import execution
    from bench.training.feed import Feed, MemoryFeed
    from bench.training.folder_feed import of_random_images, random_test
    from bench.training.loop import sgd

    recipe = recipe_of(setting)
    net = _net(setting, recipe, device)
    set_precision(setting.precision)
    if isinstance(recipe, ImageNetRecipe):
        if not setting.training:
            return random_test(net.eval(), recipe, device)
        feed: Feed = of_random_images(recipe, device)
    else:
        memory_feed = feed = MemoryFeed(recipe, random_images(), device)
        if not setting.training:
            return _cifar_test(net, memory_feed, device)
    optimiser = sgd(net, recipe)
    mode: execution.Mode = setting.how if setting.how != "reference" else "eager"
    iteration = execution.Iteration(execution.prepare(net.train(), mode), optimiser, recipe, device)
    advance = execution.advance(mode, feed, iteration)
    return lambda: advance(recipe.lr)


def recipe_of(setting: Setting) -> CifarRecipe | ImageNetRecipe:
    """The paper's recipe, in the setting's batch and arithmetic; batches too small for its batch-norm groups have one."""
    kind = CifarRecipe if setting.arch.family == "cifar" else ImageNetRecipe
    group = kind.bn_group
    return kind(
        batch=setting.batch,
        precision=setting.precision,
        memory_format=setting.memory_format,
        bn_group=None if group and setting.batch % group else group,
    )


def _cifar_test(net: nn.Module, feed: Any, device: torch.device) -> Callable[[], object]:
    import torch

    from bench.device.precision import autocast
    from bench.testing.error_rate import fold

    tested = fold(net) if device.type == "cpu" else net.eval()
    images = feed.test[: feed.recipe.batch].images

    @torch.inference_mode()
    def test() -> torch.Tensor:
        with autocast(device, feed.recipe.precision):
            return tested(feed.normalise(images)).argmax(1)  # type: ignore[no-any-return]

    return test


def random_images() -> Dataset:
    """Random images of CIFAR-10's shape and number."""
    import torch

    from bench.images.memory import Dataset, Images

    seed = torch.Generator().manual_seed(0)
    parts = []
    for count in (CIFAR10.train, CIFAR10.test):  # so that as much memory is used, and epochs begin as seldom
        images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=seed)
        parts.append(Images(images, torch.randint(0, CIFAR10.classes, (count,), generator=seed)))
    return Dataset(*parts)


def _net(setting: Setting, recipe: Recipe, device: torch.device) -> nn.Module:
    import torch

    from models.build import build

    layout = torch.channels_last if setting.memory_format == "channels_last" else torch.contiguous_format
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = build(setting.arch, bn_group=recipe.bn_group)
        return net.to(device, memory_format=layout)  # type: ignore[call-overload, no-any-return]


def reference_run(net: str, batch: int, folder: Path | None, seconds: float, tell: Callable[[int], object]) -> None:
    """`reference.epochs` on the CIFAR-10 in a folder, or on random images; for `turns.timelines`."""
    import torch

    from bench.images import memory

    images = memory.load("cifar10", folder) if folder else random_images()
    reference_loop.epochs(parse_arch(net), images, batch, torch.device(kind()), seconds, tell)

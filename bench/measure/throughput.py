"""Images per second of a net, beside the loop that most people run and beside what the machine could do at best.

Each loop lives in a process of its own, with its own threads and memory, and takes so many iterations when it is told to;
whoever times it (pytest-benchmark) sees nothing but a call. Images are random: their content costs nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench import memory
from bench.measure.closed_form import count
from bench.spec import Arch, CifarRecipe, Precision, parse_arch

if TYPE_CHECKING:
    import torch
    from torch import nn

How = Literal["reference", "eager", "compiled", "captured"]
IMAGES = 10_000
"""Of the random data set: a fifth of CIFAR-10, since only the crops' cost counts."""
PASSES = {True: 5, False: 2}
"""Least passes over every convolution's output. Forward it is written and read; in training its gradient is too, and it is
read again."""
WORKERS = 2
"""That load images for the reference loop."""


@dataclass(frozen=True)
class Setting:
    """One loop that is timed."""

    net: str
    how: How
    training: bool = True
    precision: Precision = "fp32"
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    batch: int = 128

    @property
    def arch(self) -> Arch:
        return parse_arch(self.net)

    @property
    def name(self) -> str:
        return "-".join((self.net, "train" if self.training else "test", self.how, self.precision))


class Loop:
    """A loop in a process of its own. Calling it takes iterations and returns when the device has done them."""

    def __init__(self, words: Connection, process: Any, facts: dict[str, Any]) -> None:
        self._words, self._process, self.facts = words, process, facts

    def __call__(self, iterations: int) -> None:
        self._words.send(iterations)
        self._listen()

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
    """Start a loop and take its first iteration; `facts` says how long that took and where it runs."""
    fresh = multiprocessing.get_context("spawn")
    mine, theirs = fresh.Pipe()
    process = fresh.Process(target=_serve, args=(setting, theirs))
    with _environment(
        {memory.NAME: memory.VALUE if setting.how != "reference" else "", "OMP_NUM_THREADS": str(cores())}
    ):
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


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def cores() -> int:
    """Cores of this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _serve(setting: Setting, words: Connection) -> None:
    """The main function of the process that holds a loop."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wait: Callable[[], object] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    torch.zeros(1, device=device)
    before = _resident(device)
    began = time.perf_counter()
    step = reference(setting, device) if setting.how == "reference" else ours(setting, device)
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
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith(key)), 0)


def ours(setting: Setting, device: torch.device) -> Callable[[], object]:
    """An iteration of the harness's own training, or a forward pass of its test, on random images of CIFAR's shape."""
    import torch

    from bench.training import execution
    from bench.training.data import Dataset, Images
    from bench.training.evaluate import autocast, fold
    from bench.training.feed import MemoryFeed
    from bench.training.loop import sgd

    recipe = CifarRecipe(batch=setting.batch, precision=setting.precision, memory_format=setting.memory_format)
    images = Images(*_random_images(10))
    feed = MemoryFeed(recipe, Dataset(images, images), device)
    net = _net(setting, device)
    execution.set_precision(setting.precision)
    if not setting.training:
        net = fold(net) if device.type == "cpu" else net.eval()
        batch = images[: setting.batch].to(device)

        @torch.inference_mode()
        def test() -> torch.Tensor:
            with autocast(device, setting.precision):
                return net(feed.normalise(batch.images)).argmax(1)  # type: ignore[no-any-return]

        return test
    optimiser = sgd(net, recipe)
    mode: execution.Mode = setting.how if setting.how != "reference" else "eager"
    iteration = execution.Iteration(execution.prepare(net.train(), mode), optimiser, recipe, device)
    advance = execution.advance(mode, feed, iteration)
    return lambda: advance(recipe.lr)


def reference(setting: Setting, device: torch.device) -> Callable[[], object]:
    """The common script: images one by one through PIL in worker processes, NCHW, single precision, loss and error read at
    every iteration."""
    import torch
    import torch.nn.functional as F
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    from bench.training.augment import IMAGENET_MEAN, IMAGENET_STD

    way = [transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, 4)] if setting.training else []
    last = [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    images, labels = _random_images(10)
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    transform = transforms.Compose([*way, *last])

    class PilImages(Dataset[Any]):
        def __len__(self) -> int:
            return len(labels)

        def __getitem__(self, index: int) -> tuple[Any, int]:
            from PIL import Image

            return transform(Image.fromarray(pixels[index])), int(labels[index])

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield from DataLoader(
                PilImages(), setting.batch, shuffle=setting.training, num_workers=WORKERS, drop_last=True,
                multiprocessing_context="fork", pin_memory=device.type == "cuda",
            )  # fmt: skip

    net, source = _net(setting, device), batches()
    net.to(memory_format=torch.contiguous_format).train(setting.training)  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)

    def train() -> None:
        x, y = (t.to(device, non_blocking=True) for t in next(source))
        logits = net(x)
        loss = F.cross_entropy(logits, y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        (loss.item(), (logits.argmax(1) == y).sum().item())

    @torch.no_grad()
    def test() -> None:
        x, y = (t.to(device, non_blocking=True) for t in next(source))
        logits = net(x)
        (F.cross_entropy(logits, y).item(), (logits.argmax(1) == y).sum().item())

    return train if setting.training else test


def _random_images(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    seed = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, generator=seed)
    return images, torch.randint(0, classes, (IMAGES,), generator=seed)


def _net(setting: Setting, device: torch.device) -> nn.Module:
    import torch

    from bench.nets import build

    kind = torch.channels_last if setting.memory_format == "channels_last" else torch.contiguous_format
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(setting.arch).to(device, memory_format=kind)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True)
class Ceilings:
    """What the machine does at best: operations of a large matrix product (two a multiply-add), bytes of a large copy."""

    flops: float
    bytes: float


def ceilings(device: torch.device) -> Ceilings:
    """Measured with torch.utils.benchmark, which warms up and waits for the device: 4096 squared, and 256 MB copied."""
    import torch
    from torch.utils.benchmark import Timer

    side = 4096 if device.type == "cuda" else 2048
    a, b = torch.randn(side, side, device=device), torch.randn(side, side, device=device)
    block = torch.randn(1 << 26, device=device)
    times = {}
    for name, statement, values in (
        ("product", "a @ b", {"a": a, "b": b}),
        ("copy", "target.copy_(block)", {"block": block, "target": torch.empty_like(block)}),
    ):
        timer = Timer(statement, globals=values, num_threads=cores())
        times[name] = timer.blocked_autorange(min_run_time=1.0).median
    return Ceilings(2 * side**3 / times["product"], 2 * block.numel() * block.element_size() / times["copy"])


def floor(setting: Setting, best: Ceilings) -> tuple[float, float]:
    """Seconds an iteration takes at least: for its operations at the product's rate, for its bytes at the copy's."""
    operations = 2 * count(setting.arch).multiply_adds * (3 if setting.training else 1)
    moved = 4 * PASSES[setting.training] * conv_outputs(setting.arch)
    return setting.batch * operations / best.flops, setting.batch * moved / best.bytes


def conv_outputs(arch: Arch) -> int:
    """Numbers that all convolutions of a CIFAR net put out for one image."""
    n = (arch.depth - 2) // 6
    return 16 * 32 * 32 * (2 * n + 1) + 32 * 16 * 16 * 2 * n + 64 * 8 * 8 * 2 * n

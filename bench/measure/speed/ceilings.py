"""What a machine does at best, and the least that a net can ask of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.measure.counts.closed_form import conv_outputs, count
from bench.measure.speed.settings import Setting
from bench.runs.provenance import cores
from bench.runs.spec import Precision

if TYPE_CHECKING:
    import torch

PASSES = {True: 5, False: 2}
"""Least passes over every convolution's output. Forward it is written and read; in training its gradient is too, and it is
read again."""
PRODUCTS = {True: 3, False: 1}
"""Forward; in training backward twice as much."""
BYTES: dict[Precision, int] = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2}


@dataclass(frozen=True)
class Ceilings:
    """What the machine does at best."""

    flops: dict[Precision, float]
    """Operations a second of a large matrix product in each precision, two a multiply-add."""
    bytes: float
    """Bytes a second of a large copy, read and written."""

    def __or__(self, other: Ceilings) -> Ceilings:
        """The better of two measurements, each by itself: a ceiling is what was reached at best."""
        flops = {name: max(c.flops.get(name, 0.0) for c in (self, other)) for name in {**self.flops, **other.flops}}
        return Ceilings(flops, max(self.bytes, other.bytes))


def ceilings(device: torch.device, precisions: Iterable[Precision] = ("fp32",)) -> Ceilings:
    """Measured with torch.utils.benchmark, which warms up and waits for the device; the best of a second of each.

    A product of square matrices, 2048 wide on a CPU and 8192 on a GPU, and a copy of 256 MB, on a GPU of 2 GB.
    """
    import torch

    gpu = device.type == "cuda"
    side, numbers = (8192, 1 << 29) if gpu else (2048, 1 << 26)
    flops = {}
    for precision in dict.fromkeys(("fp32", *precisions)):
        kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
        a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        flops[precision] = 2 * side**3 / _seconds("a @ b", a=a, b=b)
        torch.backends.cuda.matmul.allow_tf32 = before
    block = torch.randn(numbers, device=device)
    moved = 2 * block.numel() * block.element_size()
    return Ceilings(flops, moved / _seconds("target.copy_(block)", block=block, target=torch.empty_like(block)))


def _seconds(statement: str, **values: torch.Tensor) -> float:
    from torch.utils.benchmark import Timer

    return min(Timer(statement, globals=values, num_threads=cores()).blocked_autorange(min_run_time=1.0).times)


def multiply_adds(setting: Setting) -> int:
    """Of an iteration: convolutions and fully connected layers, forward and in training backward."""
    return setting.batch * PRODUCTS[setting.training] * count(setting.arch).multiply_adds


def least_bytes(setting: Setting) -> int:
    """Of an iteration: `PASSES` over the outputs of all convolutions. Weights, of which there are few, are left out."""
    return setting.batch * BYTES[setting.precision] * PASSES[setting.training] * conv_outputs(setting.arch)


def floor(setting: Setting, best: Ceilings) -> tuple[float | None, float]:
    """Seconds an iteration takes at least: for its operations at the product's rate, for its bytes at the copy's.

    The first is None where no product was measured in its precision.
    """
    rate = best.flops.get(setting.precision)
    return 2 * multiply_adds(setting) / rate if rate else None, least_bytes(setting) / best.bytes

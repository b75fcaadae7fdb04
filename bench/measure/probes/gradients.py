"""The gradient of every layer while a net is trained, and the signal that it meets on the way forward.

Section 4.1: "this optimization difficulty is unlikely to be caused by vanishing gradients. These plain networks are trained
with BN, which ensures forward propagated signals to have non-zero variances. We also verify that the backward propagated
gradients exhibit healthy norms with BN. So neither forward nor backward signals vanish."

Without batch norm and offsets a plain net is homogeneous in the weights of each layer, so that the product of a layer's
weights and their gradient is the same in all layers (Euler), however the signals vanish or explode: what is vanishing backward
is seen in the gradient of the responses, not of the weights. Both are measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.files import read_lines, write_lines
from bench.measure.probes.gradients_record import COLUMNS
from bench.measure.probes.layers import convolutions
from bench.runs.derived import GradientRun
from bench.runs.folder import RunFolder
from bench.runs.initial_net import build_for_run
from bench.training.feed import Feed, MemoryFeed

TINY = 1e-37
"""Close to the smallest number of single precision: what is smaller counts as nothing."""


class Watch:
    """Measures on a twin of the net that is trained, so that the net itself never carries a hook or a changed statistic.

    The twin gets the weights, is shown the same images each time, in training mode, and computes loss and gradient.
    """

    def __init__(self, spec: GradientRun, folder: RunFolder, feed: Feed) -> None:
        assert isinstance(feed, MemoryFeed)
        began = time.monotonic()
        self.path, self.at = folder.points, frozenset(spec.probe_at)
        memory_format = torch.channels_last if spec.recipe.memory_format == "channels_last" else torch.contiguous_format
        self.twin = build_for_run(spec).to(feed.device, memory_format=memory_format).train()  # type: ignore[call-overload]
        self.weights = [layer.conv.weight for layer in convolutions(self.twin)] + [self.twin.linear.weight]
        self.signals: list[Tensor] = []
        self.signal_gradients: dict[int, Tensor] = {}
        for module in [*(layer.norm for layer in convolutions(self.twin)), self.twin.linear]:
            module.register_forward_hook(self._forward)
        probe = feed.train[: spec.probe_images]
        self.images, self.labels = feed.normalise(probe.images), probe.labels
        self.rows: list[dict[str, Any]] | None = None
        self.besides = time.monotonic() - began  # what goes to the next point's account

    def __call__(self, iteration: int, net: nn.Module) -> None:
        """Measure the net, and write it down."""
        began = time.monotonic()
        if self.rows is None:  # what was measured after the checkpoint is measured again
            earlier = read_lines(self.path) if self.path.exists() else []
            self.rows = [row for row in earlier if row["iteration"] < iteration]
        found = self._look(net)
        looked = time.monotonic()
        self.rows.append({"iteration": iteration, "seconds": looked - began + self.besides, **found})
        write_lines(self.path, self.rows)
        self.besides = time.monotonic() - looked

    def _look(self, net: nn.Module) -> dict[str, list[float | None]]:
        self.signals.clear()
        self.signal_gradients.clear()
        self.twin.load_state_dict(net.state_dict())
        self.twin.zero_grad(set_to_none=True)
        F.cross_entropy(self.twin(self.images), self.labels).backward()
        gradients = [weight.grad.double() for weight in self.weights if weight.grad is not None]
        of_weights = [torch.stack([g.norm(), g.mean(), g.var(correction=0)]) for g in gradients]
        of_signals = [
            torch.stack([deviation, self.signal_gradients[number]]) for number, deviation in enumerate(self.signals)
        ]
        every = torch.cat(
            [torch.stack(of_weights), torch.stack(of_signals)], dim=1
        ).T.tolist()  # one wait for the device
        return {name: [_digits(value) for value in values] for name, values in zip(COLUMNS, every, strict=True)}

    def _forward(self, module: nn.Module, args: object, response: Tensor) -> None:
        """Look at a response before the nonlinearity overwrites it, and at its gradient when that comes back."""
        number = len(self.signals)
        self.signals.append(_deviation(response.detach()))

        def back(gradient: Tensor) -> None:
            self.signal_gradients[number] = _norm(gradient)

        response.register_hook(back)


@contextmanager
def without_denormals() -> Iterator[None]:
    """Numbers below 1e-38 count as zero for a while: what vanishes gets there, where a CPU takes a hundred times as long."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _norm(values: Tensor) -> Tensor:
    """The Euclidean norm, in double precision. Squares of what explodes or vanishes would leave single precision."""
    largest = values.abs().amax().clamp(min=TINY)
    norm: Tensor = largest.double() * (values / largest).norm().double()
    return norm


def _deviation(values: Tensor) -> Tensor:
    """The standard deviation over all values, in double precision."""
    largest = values.abs().amax().clamp(min=TINY)
    scaled = values / largest
    square = scaled.norm().double().square() / values.numel() - scaled.mean().double().square()
    deviation: Tensor = largest.double() * square.clamp(min=0).sqrt()
    return deviation


def _digits(value: float) -> float | None:
    """The value as far as single precision goes; None where it is not a finite number, which JSON does not know."""
    return float(f"{value:.7g}") if math.isfinite(value) else None

"""Error rates: the share of images whose highest logit is not their label, in percent."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from bench.device import lanes
from bench.device.precision import autocast
from bench.device.processes import ALONE, Processes
from bench.images.memory import Images
from bench.images.normalise import Normaliser

EVAL_BATCH = {"cpu": 125, "cuda": 1000}
"""Images tested at once: on a CPU as many as its caches hold, on a GPU enough to fill it."""


def fold(net: nn.Module) -> nn.Module:
    """A copy for testing, every batch norm folded into the convolution before it: the same function to rounding.

    Batch norm only moves memory, which on a CPU is a third of what a test of these nets takes.
    """
    folded = copy.deepcopy(net).eval()
    for module in folded.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = nn.BatchNorm2d  # in evaluation all kinds are
    with lanes.alone():
        fused: nn.Module = fuse(folded, inplace=True)
    return fused


@torch.inference_mode()
def error_rate(
    net: nn.Module, data: Images, normalise: Normaliser, precision: str = "fp32", processes: Processes = ALONE
) -> float:
    """Top-1 error in percent over all of `data`, single view, evaluation mode.

    Of several processes each takes every n-th batch; no image is left out or counted twice.
    """
    device, training = data.images.device, net.training
    wrong = torch.zeros((), dtype=torch.int64, device=device)
    batch = EVAL_BATCH[device.type]
    tested = fold(net) if device.type == "cpu" else net.eval()  # on a GPU folding takes longer than it saves
    for start in range(processes.rank * batch, len(data), processes.count * batch):
        part = data[start : start + batch]
        with autocast(device, precision):
            logits = tested(normalise(part.images))
        wrong += (logits.argmax(1) != part.labels).sum()
    net.train(training)
    return 100 * int(processes.total(wrong)) / len(data)

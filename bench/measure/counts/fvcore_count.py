"""Parameters and multiply-adds of a net as fvcore counts them on a forward pass of one image.

What fvcore calls a flop is one multiply-add for convolutions and fully connected layers, two operations an element for
batch norm in evaluation mode, and one an element for adaptive average pooling. The paper counts the first two only.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass

from bench.measure.counts import closed_form
from bench.runs.datasets import CIFAR10, IMAGENET
from models.arch import Arch
from models.build import build


@dataclass(frozen=True)
class Cost:
    """Counts of one net. Multiply-adds are of one image, 32x32 for CIFAR nets and 224x224 for the others."""

    parameters: int
    multiply_adds: int
    """Of convolutions and fully connected layers: the paper's FLOPs (section 3.3)."""
    conv_multiply_adds: int
    """Of convolutions alone."""
    fvcore_total: int
    """fvcore's sum over every operator it counts, batch norm included."""
    closed_form: bool
    """Whether parameters and both counts of multiply-adds agree exactly with the closed form."""


def image_side(arch: Arch) -> int:
    return (CIFAR10 if arch.family == "cifar" else IMAGENET).side


def measure(arch: Arch) -> Cost:
    """Build the net, trace it on one image, count."""
    import torch
    from fvcore.nn import FlopCountAnalysis

    net = build(arch).eval()
    side = image_side(arch)
    with torch.no_grad():
        analysis = FlopCountAnalysis(net, torch.zeros(1, 3, side, side))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        logging.getLogger("fvcore").setLevel(logging.ERROR)
        operators = analysis.by_operator()
    counted = closed_form.Count(
        parameters=sum(p.numel() for p in net.parameters()),
        multiply_adds=int(operators["conv"] + operators["linear"]),
        conv_multiply_adds=int(operators["conv"]),
    )
    return Cost(**asdict(counted), fvcore_total=int(analysis.total()), closed_form=counted == closed_form.count(arch))

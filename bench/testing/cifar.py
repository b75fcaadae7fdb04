"""Anybody's CIFAR-10 net: a file of weights, tested as section 4.2 tests: the single view of the original 32x32 image."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from bench.errors import UserError
from bench.images import memory
from bench.images.normalise import Normaliser
from bench.runs.scores import Score
from bench.runs.spec import CifarRecipe
from bench.testing import weights
from bench.testing.error_rate import error_rate
from models.arch import Arch
from models.build import build

Normalise = Literal["per-pixel", "per-channel", "imagenet"]


def evaluate_file(
    path: Path,
    arch: Arch,
    data_folder: Path,
    normalise: Normalise = "per-pixel",
    device: torch.device | None = None,
    images: int | None = None,
) -> Score:
    """Top-1 errors of the weights in `path` on CIFAR-10's 10,000 test images (the first `images` of them), in fp32.

    `normalise` must be what the net was trained with; its mean and deviation are taken over the 50,000 training images.
    `device` None is the CPU. Raises UserError where file or data are damaged or missing, or the file does not fit `arch`.
    """
    if arch.family != "cifar":
        raise UserError(f"{arch.name} is no CIFAR net: choose one such as resnet-20-A")
    net = build(arch)
    weights.into(net, weights.load_file(path, "--evaluate"), f"--evaluate {path}")
    train, test = (part.to(device or torch.device("cpu")) for part in memory.cifar10(data_folder))
    test = test[:images] if images else test
    normaliser = Normaliser(train, CifarRecipe(normalise=normalise))
    net = net.to(test.images.device, memory_format=normaliser.format)  # type: ignore[call-overload]
    wrong = round(error_rate(net, test, normaliser) * len(test) / 100)
    return Score(wrong, None, len(test))


def describe(path: Path, arch: Arch, normalise: Normalise, score: Score) -> tuple[str, str, str]:
    """What a person reads of `evaluate_file`'s result: the test, the error, and how far chance may have moved it."""
    low, high = score.top1_interval
    return (
        f"{path} as {arch.name} on CIFAR-10's test images: single view, {normalise} normalisation",
        f"error {score.top1:.2f} %: {score.top1_wrong:,} of {score.images:,} images wrong",
        f"95 % interval {low:.2f} to {high:.2f} % (Wilson; of other images, not of other trainings)",
    )

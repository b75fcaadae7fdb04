"""Tests of nets that are trained already: `evaluate`, of a file, of released weights, or of an ensemble."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.errors import UserError
from bench.runs.folder import RunFolder
from bench.runs.spec import RunSpec
from models.arch import Arch, parse_arch

if TYPE_CHECKING:
    import torch

    from bench.command.options import Options


def evaluate_cifar(options: Options) -> int:
    """Test anybody's CIFAR-10 net and print its error. Returns 0; raises UserError."""
    from bench.images.memory import check_cifar10
    from bench.testing import cifar

    asked = options.elsewhere
    assert asked.evaluate
    try:
        arch = parse_arch(asked.arch or "")
    except ValueError as error:
        raise UserError(f"--arch {error}") from error
    if options.download:
        check_cifar10(options.data, options.download)
    score = cifar.evaluate_file(asked.evaluate, arch, options.data, asked.normalise, _device())
    print("\n".join(cifar.describe(asked.evaluate, arch, asked.normalise, score)))
    return 0


def test(archs: Sequence[Arch], specs: Sequence[RunSpec], options: Options) -> None:
    """Test what --weights or --ensemble names, and print the errors. Raises UserError."""
    from bench.testing import pretrained
    from bench.training.folder_feed import cores

    asked, workers = options.elsewhere, options.workers if options.workers is not None else cores()
    if asked.ensemble:
        ended = [spec for spec in specs if RunFolder(options.results, spec.run_id).finished()]
        found = [pretrained.score_ensemble(ended, options.data, options.results, _device(), workers, _progress)]
    else:
        assert asked.weights
        nets = pretrained.archs_of(archs) if asked.weights == pretrained.TORCHVISION else [_imagenet_arch(asked.arch)]
        found = [
            pretrained.score_weights(
                asked.weights, arch, options.data, options.results, _device(), workers, options.force, _progress
            )
            for arch in nets
        ]
    for evaluation in found:
        for protocol, score in evaluation.scores.items():
            top5 = score.top5
            print(
                f"{evaluation.name}  {evaluation.arch}  {protocol}: top-1 error {score.top1:.2f} %"
                + ("" if top5 is None else f", top-5 {top5:.2f} %")
                + f", {score.images:,} images"
            )


def _imagenet_arch(name: str | None) -> Arch:
    from bench.report.sections.imagenet import arch_of

    return arch_of(name or "")


def _progress(done: int, of: int) -> None:
    """A line of progress in a terminal; nothing in a file or pipe."""
    if sys.stderr.isatty():
        print(f"\r{done:,} of {of:,} images", end="" if done < of else "\n", file=sys.stderr, flush=True)


def _device() -> torch.device:
    """Where nets are tested, in single precision."""
    import torch

    from bench.device.precision import set_precision

    set_precision("fp32")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

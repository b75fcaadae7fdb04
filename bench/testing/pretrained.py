"""Nets of other projects, under the protocols of the paper: what a person without a cluster can measure today."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from bench.errors import UserError
from bench.images import folder
from bench.images.normalise import IMAGENET_MEAN, IMAGENET_STD
from bench.images.protocols import MULTI_SCALE, ONE_CROP, TEN_CROP, TEN_CROP_SUMMED, Ensemble, Protocol, evaluate
from bench.runs.folder import RunFolder
from bench.runs.initial_net import build_for_run
from bench.runs.scores import ENSEMBLE, Evaluation, read_evaluation, write_evaluation
from bench.runs.spec import RunSpec
from bench.testing import weights
from models.arch import Arch
from models.build import build

PROTOCOLS: tuple[Protocol, ...] = (ONE_CROP, TEN_CROP, TEN_CROP_SUMMED, MULTI_SCALE)
TORCHVISION = "torchvision"


def score_weights(
    source: str,
    arch: Arch,
    data: Path,
    results: Path,
    device: torch.device,
    workers: int,
    force: bool = False,
    report: Callable[[int, int], object] | None = None,
) -> Evaluation:
    """Test torchvision's released weights, or those in a file, on a val folder, and keep the scores in `results/weights`.

    What was tested before is read. Raises UserError where weights or images are missing or do not fit.
    """
    if source == TORCHVISION:
        state, name = weights.torchvision_state(arch)
        note = "stride in the 3x3, later recipe" if arch.depth >= 50 else "later recipe"
    else:
        path = Path(source)
        state = weights.load_file(path)
        name, note = f"{path.name} ({hashlib.sha256(path.read_bytes()).hexdigest()[:8]})", "somebody's recipe"
    images = folder.find_val(data)
    labels = folder.imagenet_labels(images)
    target = RunFolder(results / "weights", _slug(name, arch, images.digest)).evaluation
    if target.exists() and not force:
        return read_evaluation(target)
    net = build(arch)
    weights.into(net, state, f"--weights {source}")
    mean_and_deviation = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    found = evaluate(
        net.to(device), images, labels, PROTOCOLS, mean_and_deviation, device, workers=workers, report=report
    )
    evaluation = Evaluation(name, arch.name, note, found)
    write_evaluation(target, evaluation)
    return evaluation


def score_ensemble(
    specs: Sequence[RunSpec],
    data: Path,
    results: Path,
    device: torch.device,
    workers: int,
    report: Callable[[int, int], object] | None = None,
) -> Evaluation:
    """Test the trained nets of several runs as one, by the multi-scale protocol (Table 5). Raises UserError."""
    if len(specs) < 2:
        raise UserError(
            f"--ensemble: {len(specs)} finished runs of this table in {results}: two or more make an ensemble"
        )
    _, images = folder.find(data)
    mean_and_deviation = torch.tensor(IMAGENET_MEAN), torch.ones(3)
    if any(spec.imagenet.normalise != "mean" for spec in specs):
        raise UserError(
            "--ensemble: runs of other normalisations than `mean` cannot be tested together: choose with --only"
        )
    nets = []
    for spec in specs:
        net = build_for_run(spec)
        weights.into(net, weights.load_file(RunFolder(results, spec.run_id).checkpoint), spec.run_id)
        nets.append(net)
    together = Ensemble(nets).to(device)
    found = evaluate(
        together, images, images.labels, [MULTI_SCALE], mean_and_deviation, device, workers=workers, report=report
    )
    ids = ", ".join(spec.run_id for spec in specs)
    evaluation = Evaluation(f"{len(specs)} nets of ours", ids, ENSEMBLE, found)
    slug = hashlib.sha256((ids + images.digest).encode()).hexdigest()[:8]
    write_evaluation(RunFolder(results / "weights", f"ensemble-{slug}").evaluation, evaluation)
    return evaluation


def archs_of(study: Sequence[Arch]) -> list[Arch]:
    """The nets of torchvision that have the depths of a table's residual nets."""
    return [weights.arch_of_torchvision(depth) for depth in dict.fromkeys(a.depth for a in study if a.residual)]


def _slug(name: str, arch: Arch, digest: str) -> str:
    word = "".join(c if c.isalnum() or c in "._-" else "-" for c in name)
    return f"{word}-{arch.name}-{digest[:8]}"

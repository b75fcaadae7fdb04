"""Whether the images that runs need are there: asked before any run is begun or sent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.runs.datasets import IMAGENET
from bench.runs.spec import Spec


def look_for(specs: Iterable[Spec], data: Path, download: bool) -> None:
    """Raise UserError where images are missing; downloads CIFAR-10 if asked, since compute nodes seldom reach the internet."""
    datasets = {spec.dataset for spec in specs}
    if "cifar10" in datasets:
        from bench.images.memory import check_cifar10

        check_cifar10(data, download)
    if any(name.startswith("image") for name in datasets):
        from bench.images import folder

        folder.look_for(data, IMAGENET.classes if "imagenet" in datasets else None)

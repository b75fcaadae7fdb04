"""One module for each table of the paper: its nets and runs, and the published numbers that they answer.

`TABLES` is read by `--help`, so that nothing heavy may be imported here.
"""

from __future__ import annotations

from typing import Literal

from bench.studies import (
    calibration,
    cifar_depth,
    complexity,
    constructed_solution,
    gradients,
    imagenet,
    layer_responses,
    loss_surface,
    warmup,
)

INSIDE: dict[str, str] = {
    "constructed_solution": constructed_solution.TITLE,
    "loss_surface": loss_surface.TITLE,
    "warmup": warmup.TITLE,
}
"""Tables that look inside CIFAR nets."""

TABLES: dict[str, str] = {
    "complexity": complexity.TITLE,
    "cifar_depth": cifar_depth.TITLE,
    **{name: study.title for name, study in imagenet.STUDIES.items()},
    "layer_responses": layer_responses.TITLE,
    **INSIDE,
    "gradients": gradients.TITLE,
    "claims": "The paper's sentences, each with a verdict: holds, contradicted, undecided, not run",
    "calibration": calibration.TITLE,
    "third_party": "What other people's reproductions report beside the paper, each with its protocol",
    "harness": "What the harness itself costs: answers, submission, status, report, and a run beside training",
    "throughput": "How fast the nets train and are tested, against the common loop and the machine's best",
    "loading": "How many images a core makes ready for an ImageNet net, against the usual ways",
}
"""Table -> a line on it."""

Cluster = Literal["local", "slurm"]

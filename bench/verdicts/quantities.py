"""What claims compare, and how a finished run gives it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure.probes import responses_record
from bench.measure.probes.gradients_record import Ratio, forward, lowest, of_weights, read
from bench.runs.datasets import CIFAR10
from bench.runs.finished import FinishedRun, find
from bench.runs.spec import ImageNetRecipe, RunSpec
from bench.studies.claim import Quantity
from bench.studies.layer_responses import responses

STARTED = 89.0
"""Training error, over an epoch, below which a net has started: 50,000 guesses leave 90 %, with a deviation of 0.13."""


@dataclass(frozen=True)
class Source:
    """One quantity: its unit, whether it is an error rate, and how a run gives it."""

    words: str
    unit: str
    value: Callable[[FinishedRun], float | None] | None
    """None of a run: it was not measured. None at all: `inside` gives it."""
    top: int | None = None
    """Of an error rate, how many labels a net may guess; None: no error rate."""
    inside: Callable[[FinishedRun, Sequence[Path]], float | None] | None = None
    """How what was measured of the run's net gives it, in the first of these results folders that has it."""


def guessing(spec: RunSpec, top: int) -> float:
    """Percent that a net errs which says the same of every image: what is left of one that diverged."""
    classes = spec.recipe.classes if isinstance(spec.recipe, ImageNetRecipe) else CIFAR10.classes
    return 100 * (1 - top / classes)


def _tested(protocol: str, top: int) -> Callable[[FinishedRun], float | None]:
    def value(run: FinishedRun) -> float | None:
        score = run.evaluation.get(protocol)
        return None if score is None else score.top1 if top == 1 else score.top5

    return value


def _first_epoch(name: str, error: float) -> Callable[[FinishedRun], float | None]:
    """The epoch of the first evaluation point with less than `error` percent; the last epoch of a run that has none.

    Of a run that diverged before, nothing is known.
    """

    def value(run: FinishedRun) -> float | None:
        points = run.metrics
        last = points[-1]["epoch"] if run.result.status == "done" else None
        return next((point["epoch"] for point in points if point[name] < error), last)

    return value


def _response(run: FinishedRun, folders: Sequence[Path]) -> float | None:
    """The standard deviations of the responses of a run's net, under our choice, averaged over its 6n+1 layers."""
    spec = responses(run.spec)
    folder = find(spec, *folders)
    return responses_record.read(spec, folder).mean() if folder else None


def _lowest(ratio: Ratio) -> Callable[[FinishedRun], float | None]:
    """Of a run whose gradients were measured: ratios are compared by their logarithm, as they multiply over layers."""

    def value(run: FinishedRun) -> float | None:
        found = lowest(read(run.folder), ratio)
        return math.log10(found) if found else None

    return value


SOURCES: Mapping[Quantity, Source] = {
    "test_error": Source("test error", "%", lambda run: run.result.test_error, 1),
    "train_error": Source("training error", "%", lambda run: run.result.train_error, 1),
    "train_error_full": Source("training error, whole set", "%", lambda run: run.result.train_error_full, 1),
    "top1_10crop": Source("top-1 error, 10-crop", "%", _tested("10-crop", 1), 1),
    "top5_10crop": Source("top-5 error, 10-crop", "%", _tested("10-crop", 5), 5),
    "top1_multiscale": Source("top-1 error, multi-scale", "%", _tested("multi-scale", 1), 1),
    "top5_multiscale": Source("top-5 error, multi-scale", "%", _tested("multi-scale", 5), 5),
    "epochs_to_start": Source(
        f"epochs to a training error below {STARTED:.0f} %", "epochs",
        _first_epoch("train_error", STARTED),
    ),
    "epochs_to_55": Source(
        "epochs to a validation error below 55 %", "epochs", _first_epoch("test_error", 55.0)
    ),
    "layer_response": Source("standard deviation of layer responses, mean over layers", "", None, inside=_response),
    "gradient_ratio": Source(
        "gradient at the first layer's weights over that at the last one's, lowest of a run, as a power of ten", "",
        _lowest(of_weights),
    ),
    "signal_ratio": Source(
        "signal at the last layer over that at the first, lowest of a run, as a power of ten", "", _lowest(forward),
    ),
}  # fmt: skip


def value(quantity: Quantity, run: FinishedRun, folders: Sequence[Path] = ()) -> float | None:
    """The quantity of a run, in its unit; None where it was not measured. Raises UserError where a file is damaged.

    `folders`: the results folders in which what was measured of its net is looked for.
    """
    source = SOURCES[quantity]
    if source.inside:
        return source.inside(run, folders)
    assert source.value
    if run.result.status == "diverged" and source.top is not None:
        return guessing(run.spec, source.top)
    return source.value(run)

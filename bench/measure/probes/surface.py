"""The loss around a trained net, along random directions (Li et al., "Visualizing the Loss Landscape of Neural Nets", 2018).

Batch norm keeps its averages and is not moved, so that it is a constant factor of each filter: it is folded into the
convolutions once, of the net and of the directions alike, and a point of the grid is a sum of weights and a forward pass.
"""

from __future__ import annotations

import copy
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.device import lanes
from bench.device.precision import autocast
from bench.errors import Interrupted
from bench.files import read_lines, write_lines
from bench.runs.derived import Grid, SurfacePart
from bench.runs.folder import Measured
from bench.runs.spec import Precision
from bench.testing.error_rate import EVAL_BATCH, fold
from bench.training import checkpoint
from bench.training.feed import MemoryFeed
from bench.training.loop import Session
from bench.training.report import Report

BATCH = {"cpu": EVAL_BATCH["cpu"], "cuda": 2_500}
"""Images of a forward pass: many points ask for the same ones, so that a GPU may hold more of them than in a test."""
SAVE_SECONDS = 10.0

Weights = dict[str, Tensor]


def measure(part: SurfacePart, session: Session) -> Measured:
    """Measure the points of a part that are not in its folder yet; the net itself stays what it was.

    A point is the mean cross-entropy, in nats, and the error, in percent, over the grid's images in evaluation mode. Raises
    Unready where the net is not there, and Interrupted, after writing what is measured, once `should_stop()` holds.
    """
    folder, feed = session.folder, session.feed
    assert isinstance(feed, MemoryFeed)
    net = checkpoint.trained(part.run, folder.results).to(feed.train.images.device)
    if part.recipe.memory_format == "channels_last":
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = checkpoint.digest_of(net)
    kept = read_lines(folder.points) if folder.points.exists() else []
    points = {(p["row"], p["column"]): p for p in kept if p["weights"] == weights}
    images = feed.train[: part.grid.images]
    around = Around(net, part.grid, feed.normalise(images.images), images.labels, part.recipe.precision)
    wanted = part.points
    began = saved = time.monotonic()
    done = 0
    for row, column in wanted:
        if (row, column) in points:
            continue
        lanes.pause()
        before = time.monotonic()
        loss, error = around(row, column)
        now = time.monotonic()
        points[row, column] = {
            "row": row, "column": column, "loss": loss, "error": error, "weights": weights, "seconds": now - before,
        }  # fmt: skip
        done += 1
        stops = session.should_stop()
        if stops or now - saved > SAVE_SECONDS:
            write_lines(folder.points, points.values())
            saved = now
        rate = done / (now - began)
        left = (len(wanted) - len(points)) / rate
        shown = math.nan if loss is None else loss
        session.on_report(
            Report(
                len(points), len(wanted), shown, error, None, rate * len(images), left, column + 1 == part.grid.columns
            )
        )
        if stops and len(points) < len(wanted):
            raise Interrupted(f"{part.run_id} stopped at point {len(points)} of {len(wanted)}")
    write_lines(folder.points, points.values())
    seconds = sum(point["seconds"] for point in points.values())
    return Measured(part.run_id, "done", len(points), weights, seconds)


class Around:
    """The loss of copies of a net, moved to points of a grid."""

    def __init__(
        self, net: nn.Module, grid: Grid, images: Tensor, labels: Tensor, precision: Precision = "fp32"
    ) -> None:
        self.grid, self.images, self.labels, self.precision = grid, images, labels, precision
        self.moved = fold(net)
        self.parameters = {name: p for name, p in self.moved.named_parameters() if p.ndim > 1}
        self.origin = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.net = net
        self.cached: dict[int, Weights] = {}

    def direction(self, number: int) -> Weights:
        """A direction as it moves the folded net: batch norm's factors are in it."""
        if number not in self.cached:
            if self.grid.kind == "lines":
                self.cached.clear()  # a row needs one direction, and there may be many
            along = copy.deepcopy(self.net)
            along.load_state_dict({**along.state_dict(), **direction(self.net, self.grid.seed, number)})
            folded = dict(fold(along).named_parameters())
            self.cached[number] = {name: folded[name].detach() for name in self.origin}
        return self.cached[number]

    @torch.inference_mode()
    def __call__(self, row: int, column: int) -> tuple[float | None, float]:
        """Mean cross-entropy in nats, None where it is not finite, and error in percent at a point of the grid."""
        grid = self.grid
        steps = [(grid.coefficient(column), self.direction(row if grid.kind == "lines" else 0))]
        if grid.kind == "plane":
            steps.append((grid.second(row), self.direction(1)))
        for name, parameter in self.parameters.items():
            parameter.copy_(self.origin[name])
            for coefficient, along in steps:
                parameter.add_(along[name], alpha=coefficient)
        size, count = BATCH[self.images.device.type], len(self.labels)
        losses, wrong = [], []
        for images, labels in zip(self.images.split(size), self.labels.split(size), strict=True):
            with autocast(images.device, self.precision):
                logits = self.moved(images)
            losses.append(F.cross_entropy(logits.double(), labels, reduction="sum"))
            wrong.append((logits.argmax(1) != labels).sum())
        loss = float(torch.stack(losses).sum()) / count
        return (loss if math.isfinite(loss) else None), 100 * int(torch.stack(wrong).sum()) / count


def direction(net: nn.Module, seed: int, number: int) -> Weights:
    """A random direction: Gaussian, each filter scaled to the norm of the net's own (Li et al., section 4).

    A filter is what makes one output channel, or one logit. Biases and batch norm are left out. The draws depend on seed,
    number and shapes alone, so that a plain net and the residual net of its depth are moved by the same ones.
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, number])))
    found = {}
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            drawn = torch.from_numpy(rng.standard_normal(tuple(parameter.shape), dtype=np.float32)).to(parameter.device)
            ratio = _filter_norms(parameter.detach()) / _filter_norms(drawn)
            found[name] = drawn * ratio.view(-1, *[1] * (parameter.ndim - 1))
    return found


def _filter_norms(weight: Tensor) -> Tensor:
    """(C,...) -> (C,)."""
    norms: Tensor = weight.flatten(1).norm(dim=1)
    return norms

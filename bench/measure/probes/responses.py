"""How strongly the layers of a trained net respond (Fig. 7): "the standard deviations (std) of the layer responses on
CIFAR-10. The responses are the outputs of each 3x3 layer, after BN and before nonlinearity."

The paper leaves open over which images, whether over the whole tensor or channel by channel, and what batch norm uses. All
of it is measured.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from bench.device.precision import autocast
from bench.errors import Interrupted
from bench.files import read_lines, write_lines
from bench.images.memory import Images
from bench.measure.probes.layers import convolutions
from bench.measure.probes.responses_record import PASSES, REDUCTIONS
from bench.runs.derived import Responses
from bench.runs.folder import Measured
from bench.runs.spec import CifarRecipe
from bench.testing.error_rate import EVAL_BATCH
from bench.training import checkpoint
from bench.training.feed import MemoryFeed
from bench.training.loop import Session
from bench.training.report import Report


def measure(spec: Responses, session: Session) -> Measured:
    """Measure under each choice that is not in the folder yet; a line of `points.jsonl` for each pass over the images.

    Raises Unready where the net is not there, and Interrupted, with what is measured kept, once `should_stop()` holds.
    """
    folder, feed = session.folder, session.feed
    assert isinstance(feed, MemoryFeed)
    net = checkpoint.trained(spec.run, folder.results).to(feed.device)
    weights = checkpoint.digest_of(net)
    kept = read_lines(folder.points) if folder.points.exists() else []
    rows = {(row["data"], row["batch_norm"]): row for row in kept if row["weights"] == weights}
    sets = {"test": feed.test, "train": feed.train[: spec.train_images]}
    for data, mode in PASSES:
        if (data, mode) in rows:
            continue
        began = time.monotonic()
        found = deviations(net, spec.recipe, feed, sets[data], mode, session.should_stop)
        seconds = time.monotonic() - began
        std = {reduction: list(values) for reduction, values in zip(REDUCTIONS, found, strict=True)}
        rows[data, mode] = {
            "data": data, "batch_norm": mode, **std, "images": len(sets[data]), "weights": weights, "seconds": seconds,
        }  # fmt: skip
        write_lines(folder.points, rows.values())
        rate, left = len(sets[data]) / seconds, (len(PASSES) - len(rows)) * seconds
        session.on_report(Report(len(rows), len(PASSES), math.nan, math.nan, None, rate, left, True))
    seconds = sum(row["seconds"] for row in rows.values())
    return Measured(spec.run_id, "done", len(rows), weights, seconds)


def deviations(
    net: nn.Module,
    recipe: CifarRecipe,
    feed: MemoryFeed,
    images: Images,
    mode: str,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The standard deviation of each 3x3 convolution's response: over the whole tensor, and averaged over channels.

    `mode`: batch norm takes its moving averages (`eval`), or the statistics of each batch as it does in training (`batch`).
    The net is not touched: a copy is shown the images. Raises Interrupted.
    """
    memory_format = torch.channels_last if recipe.memory_format == "channels_last" else torch.contiguous_format
    shown = copy.deepcopy(net).train(mode == "batch").to(memory_format=memory_format)  # type: ignore[call-overload]
    moments = [Moments() for _ in convolutions(shown)]
    for layer, found in zip(convolutions(shown), moments, strict=True):
        layer.norm.register_forward_hook(lambda module, args, response, found=found: found.add(response))
    size = recipe.batch if mode == "batch" else None
    with torch.inference_mode():
        for part in _batches(images.images, size):
            if should_stop():
                raise Interrupted("stopped while responses were measured")
            with autocast(part.device, recipe.precision):
                shown(feed.normalise(part))
    return tuple(found.over_tensor() for found in moments), tuple(found.over_channels() for found in moments)


def _batches(images: Tensor, size: int | None) -> Iterator[Tensor]:
    """All images as tests take them; or batches of `size`, where a last one that is not full would have other statistics."""
    count = len(images)
    if size is None:
        return iter(images.split(EVAL_BATCH[images.device.type]))
    return iter(images[: max(count - count % size, size)].split(size))


class Moments:
    """Mean and variance of each channel of a response, put together from batches in double precision."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, Tensor, Tensor]] = []

    def add(self, response: Tensor) -> None:
        """(N,C,H,W), looked at before the nonlinearity overwrites it."""
        response = response.float()
        mean = response.mean((0, 2, 3), keepdim=True)
        variance = (response - mean).square().mean((0, 2, 3))  # torch.var_mean takes three times as long on a CPU
        self.parts.append((response.numel() // response.shape[1], mean.flatten().double(), variance.double()))

    def channels(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of each channel over all images, both (C,)."""
        share = torch.tensor([count for count, _, _ in self.parts], dtype=torch.float64)
        share = (share / share.sum())[:, None]
        means = torch.stack([mean for _, mean, _ in self.parts]).cpu()  # (batches,C)
        variances = torch.stack([variance for _, _, variance in self.parts]).cpu()
        mean = (share * means).sum(0)
        return mean, (share * (variances + (means - mean).square())).sum(0)

    def over_tensor(self) -> float:
        """Every channel has as many values, so that the variances are averaged and their means' is added."""
        mean, variance = self.channels()
        return float((variance.mean() + mean.var(correction=0)).sqrt())

    def over_channels(self) -> float:
        return float(self.channels()[1].sqrt().mean())

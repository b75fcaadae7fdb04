"""The paper's thought experiment made real: a deeper net that is a trained shallower one followed by identities.

Section 1: "There exists a solution by construction to the deeper model: the added layers are identity mapping, and the
other layers are copied from the learned shallower model. The existence of this constructed solution indicates that a deeper
model should produce no higher training error than its shallower counterpart."
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.device.precision import autocast
from bench.files import write_json
from bench.images.memory import Images
from bench.images.normalise import Normaliser
from bench.runs.derived import Extension
from bench.runs.folder import RunFolder
from bench.runs.initial_net import build_for_run
from bench.testing.error_rate import EVAL_BATCH, fold
from bench.training import checkpoint, loop
from bench.training.feed import Feed, MemoryFeed
from models.blocks import BasicBlock
from models.cifar import CifarNet

STAGES = ("layer1", "layer2", "layer3")


def begin(spec: Extension, folder: RunFolder, feed: Feed) -> None:
    """Construct the deeper net, write what it does, and make it the checkpoint that its training goes on from.

    Does nothing where the training has begun. Raises Unready where the shallower net is not there.
    """
    if folder.checkpoint.exists():
        return
    assert isinstance(feed, MemoryFeed)
    device = feed.train.images.device
    shallow = checkpoint.trained(spec.run, folder.results).to(device)
    deep = build_for_run(spec).to(device)
    assert isinstance(shallow, CifarNet)
    assert isinstance(deep, CifarNet)
    extend(shallow, deep, feed.train, feed.normalise)
    weights = checkpoint.digest_of(shallow)
    write_json(folder.construction, {"weights": weights, **compare(shallow, deep, feed)})
    optimiser = loop.sgd(deep, spec.recipe)
    checkpoint.save(folder, spec, deep, optimiser, checkpoint.Progress())


def extend(shallow: CifarNet, deep: CifarNet, train: Images, normalise: Normaliser) -> None:
    """Make a deeper plain net compute what the shallow one does, to rounding.

    The added blocks are the last ones of each stage, where no shape changes.
    """
    missing, unexpected = deep.load_state_dict(shallow.state_dict(), strict=False)
    assert not unexpected
    for name, (mean, variance) in stage_statistics(shallow, train, normalise).items():
        for index, block in getattr(deep, name).named_children():
            if f"{name}.{index}.conv1.weight" in missing:
                make_identity(block, mean, variance)
    deep.eval()


@torch.no_grad()
def make_identity(block: BasicBlock, mean: Tensor, variance: Tensor) -> None:
    """Make a plain block the identity on maps without negative values whose channels have this mean and variance, all (C,).

    The convolutions pass every channel on. Batch norm subtracts the mean, divides by the deviation, and puts both back: as
    an identity in training too, to the noise of a batch. Rectifying changes nothing, since the block's input is rectified.
    """
    for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        nn.init.dirac_(conv.weight)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean)


@torch.inference_mode()
def stage_statistics(net: CifarNet, train: Images, normalise: Normaliser) -> dict[str, tuple[Tensor, Tensor]]:
    """Stage -> mean and variance of each channel of its output, (C,) each, over the training images, not augmented."""
    sums: dict[str, list[Tensor]] = {}
    pixels = dict.fromkeys(STAGES, 0)
    training = net.training
    net.eval()
    for x in _batches(train, normalise):
        x = F.relu(net.bn1(net.conv1(x)))
        for name in STAGES:
            x = getattr(net, name)(x)  # (N,C,H,W)
            wide = x.double()
            found = [wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3))]
            sums[name] = [a + b for a, b in zip(sums[name], found, strict=True)] if name in sums else found
            pixels[name] += x.numel() // x.shape[1]
    net.train(training)
    statistics = {}
    for name, (total, squares) in sums.items():
        mean = total / pixels[name]
        statistics[name] = (mean.float(), (squares / pixels[name] - mean.square()).clamp(min=0).float())
    return statistics


def _batches(images: Images, normalise: Normaliser) -> Iterator[Tensor]:
    batch = EVAL_BATCH[images.images.device.type]
    for start in range(0, len(images), batch):
        yield normalise(images[start : start + batch].images)


@torch.inference_mode()
def compare(shallow: nn.Module, deep: nn.Module, feed: MemoryFeed) -> dict[str, float | int]:
    """What both nets do on all training and test images, tested as the nets of runs are.

    Errors in percent; `logit_difference` is the largest absolute difference of any logit of any image, `logit_size` the
    largest absolute logit; `predictions_changed` counts images.
    """
    device = feed.train.images.device
    batch = EVAL_BATCH[device.type]
    nets = [fold(net) if device.type == "cpu" else net.eval() for net in (shallow, deep)]
    found: dict[str, float | int] = {}
    largest, size, changed = 0.0, 0.0, 0
    for name, images in (("train", feed.train), ("test", feed.test)):
        wrong = [0, 0]
        for start in range(0, len(images), batch):
            part = images[start : start + batch]
            with autocast(device, feed.recipe.precision):
                before, after = (net(feed.normalise(part.images)) for net in nets)
            wrong = [w + int((y.argmax(1) != part.labels).sum()) for w, y in zip(wrong, (before, after), strict=True)]
            largest = max(largest, float((before - after).abs().max()))
            size = max(size, float(before.abs().max()))
            changed += int((before.argmax(1) != after.argmax(1)).sum())
        errors = [100 * w / len(images) for w in wrong]
        found |= {f"{name}_error_shallow": errors[0], f"{name}_error": errors[1], f"{name}_images": len(images)}
    return {**found, "logit_difference": largest, "logit_size": size, "predictions_changed": changed}

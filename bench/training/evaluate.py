"""Error rates: the share of images whose highest logit is not their label, in percent."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from bench.training.augment import Normaliser
from bench.training.data import Images
from bench.training.processes import ALONE, Processes

EVAL_BATCH = 500


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The arithmetic of a named precision: fp32, or bf16 where PyTorch's autocast holds it safe."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@torch.inference_mode()
def error_rate(
    net: nn.Module, data: Images, normalise: Normaliser, precision: str = "fp32", processes: Processes = ALONE
) -> float:
    """Top-1 error in percent over all of `data`, single view, evaluation mode; the net's mode is put back.

    Of several processes each takes every n-th batch; no image is left out or counted twice.
    """
    training, wrong = net.training, torch.zeros((), dtype=torch.int64, device=data.images.device)
    net.eval()
    for start in range(processes.rank * EVAL_BATCH, len(data), processes.count * EVAL_BATCH):
        part = data[start : start + EVAL_BATCH]
        with autocast(data.images.device, precision):
            logits = net(normalise(part.images))
        wrong += (logits.argmax(1) != part.labels).sum()
    net.train(training)
    return 100 * int(processes.total(wrong)) / len(data)


def recompute_batch_norm(net: nn.Module, data: Images, normalise: Normaliser, batch: int) -> None:
    """Replace moving averages by a plain average over the training images, as the authors did after training."""

    def batches() -> Iterator[Tensor]:
        for start in range(0, len(data) - batch + 1, batch):
            yield normalise(data[start : start + batch].images)

    torch.optim.swa_utils.update_bn(batches(), net)

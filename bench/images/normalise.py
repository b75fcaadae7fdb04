"""Pixels as a net takes them: minus the mean, as the paper, or by the statistics of later libraries."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.images.memory import Images
from bench.runs.spec import CifarRecipe

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of each channel, 0..1, as torchvision gives them."""


class Normaliser:
    """Pixels 0..255 to 0..1, minus the mean: of each pixel over the training set, as the paper, or of each channel."""

    def __init__(self, train: Images, recipe: CifarRecipe) -> None:
        height, width = train.images.shape[-2:]
        if recipe.normalise == "imagenet":
            mean = torch.tensor(IMAGENET_MEAN)[:, None, None].expand(3, height, width)
            std = torch.tensor(IMAGENET_STD)[:, None, None]
        else:
            mean = _pixel_mean(train.images)
            std = torch.ones(3, 1, 1)
            if recipe.normalise == "per-channel":
                mean = mean.mean((1, 2), keepdim=True).expand(3, height, width)
                std = _channel_std(train.images, mean)
        self.mean = mean.float().contiguous().to(train.images.device)  # (3,H,W)
        self.std = std.float().to(train.images.device)  # (3,1,1)
        self.format = torch.channels_last if recipe.memory_format == "channels_last" else torch.contiguous_format

    def __call__(self, images: Tensor) -> Tensor:
        """The single view of a test: (N,3,H,W) uint8 -> (N,3,H,W) float32."""
        return self.finish(images, self.mean)

    def finish(self, images: Tensor, mean: Tensor) -> Tensor:
        x = images.to(torch.float32, memory_format=self.format)
        return x.mul_(1 / 255).sub_(mean).div_(self.std)


def _pixel_mean(images: Tensor) -> Tensor:
    """Mean of each pixel, 0..1, in double precision without a double copy of the data: (N,3,H,W) -> (3,H,W)."""
    total = torch.stack([part.to(torch.int64).sum(0) for part in images.split(5_000)]).sum(0)
    return total.double() / (255 * len(images))


def _channel_std(images: Tensor, mean: Tensor) -> Tensor:
    """Standard deviation of each channel around `mean`, 0..1: (N,3,H,W) -> (3,1,1)."""
    squares = torch.stack([(p.double() / 255 - mean).square().sum((0, 2, 3)) for p in images.split(5_000)]).sum(0)
    return (squares / (images.numel() / images.shape[1])).sqrt()[:, None, None]

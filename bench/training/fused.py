"""Batch norm for compiled nets: its statistics in one pass over memory.

On a CPU batch norm only moves memory, and the compiler's own version reads its input twice for the statistics and computes
a root and a quotient again for every element. Here the sums of (x - shift) and its square are taken in one pass, the shift
being the moving mean so that nothing cancels, and what belongs to a channel is computed once for each channel. The numbers
are those of nn.BatchNorm2d to rounding (a test holds that); what it gains stands in docs/performance.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


@torch.library.custom_op("resnet_bench::per_channel", mutates_args=())
def _per_channel(values: Tensor) -> Tensor:
    """The same values. The compiler cannot look into it, so that it does not compute them again for every element."""
    return values.clone()


@_per_channel.register_fake
def _(values: Tensor) -> Tensor:
    return torch.empty_like(values)


def _affine(x: Tensor, *coefficients: Tensor) -> tuple[Tensor, ...]:
    """Coefficients of shape (C,) as they multiply x (N,C,H,W)."""
    return tuple(_per_channel(torch.stack(coefficients))[:, :, None, None].unbind())


class _Normalise(torch.autograd.Function):
    """(x, weight, bias, shift, eps) -> (y, mean, variance); all but x (N,C,H,W) and y are (C,)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor, eps: float) -> tuple[Tensor, ...]:
        wide = x.float()
        count = x.numel() // x.shape[1]
        moved = wide - shift[:, None, None]
        first, second = moved.sum((0, 2, 3)) / count, moved.square().sum((0, 2, 3)) / count
        mean, variance = first + shift, second - first.square()
        inverse = torch.rsqrt(variance + eps)
        scale, offset = _affine(x, inverse * weight, bias - mean * inverse * weight)
        ctx.save_for_backward(x, weight, mean, inverse)
        return (wide * scale + offset).to(x.dtype), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        wide, gradient = x.float(), gradients[0].float()
        count = x.numel() // x.shape[1]
        of_bias, of_product = gradient.sum((0, 2, 3)), (gradient * wide).sum((0, 2, 3))
        of_weight = (of_product - mean * of_bias) * inverse
        scale = inverse * weight
        slope = -scale * inverse * of_weight / count
        a, b, c = _affine(x, scale, slope, -scale * of_bias / count - slope * mean)
        return (gradient * a + wide * b + c).to(x.dtype), of_weight, of_bias, None, None


class OnePassBatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d, but for the order of its sums."""

    def forward(self, x: Tensor) -> Tensor:
        """(N,C,H,W) -> (N,C,H,W)."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        shift = self.running_mean.clone()
        y, mean, variance = _Normalise.apply(x, self.weight, self.bias, shift, self.eps)  # type: ignore[no-untyped-call]
        count = x.numel() // x.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked.add_(1)
        normalised: Tensor = y
        return normalised


def fuse(net: nn.Module) -> None:
    """Make every plain batch norm of a net a one-pass one, in place; state dicts and evaluation stay what they are."""
    for module in net.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = OnePassBatchNorm2d

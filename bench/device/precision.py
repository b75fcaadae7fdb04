"""Named precisions, and what they are to PyTorch: `fp32`, `tf32`, `bf16` and `fp16`."""

from __future__ import annotations

import torch

from bench.runs.spec import Precision


def set_precision(precision: Precision) -> None:
    """Let a GPU round the factors of products and convolutions to tf32, or not: off but for `tf32`.

    It is the process's own switch. PyTorch leaves it on for convolutions, so that whatever trains, tests or describes a run
    says first what it wants.
    """
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The arithmetic of a named precision for what runs under it: half precision where PyTorch holds it safe."""
    half = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, half, enabled=precision in ("bf16", "fp16"))


def emulated(precision: str) -> bool:
    """Whether this CPU has no instructions for a half precision, so that PyTorch computes it in a slow way."""
    half = {"bf16": "_is_mkldnn_bf16_supported", "fp16": "_is_mkldnn_fp16_supported"}
    return precision in half and not getattr(torch.ops.mkldnn, half[precision])()

"""Half precision on a processor that has no instructions for it: said, since nobody would wait for it."""

from __future__ import annotations

import pytest
import torch
from conftest import Command

from bench.device import precision

TINY = ("--table", "cifar_depth", "--schedule", "smoke", "--only", "resnet-8-A")


class Processor:
    """What PyTorch says of a processor."""

    def __init__(self, bf16: bool) -> None:
        self._is_mkldnn_bf16_supported = lambda: bf16
        self._is_mkldnn_fp16_supported = lambda: False


@pytest.mark.parametrize(
    ("name", "bf16", "slow"),
    [
        ("bf16", False, True),
        ("bf16", True, False),
        ("fp16", True, True),
        ("fp32", False, False),
        ("tf32", False, False),
    ],
)
def test_a_precision_is_emulated_where_its_instructions_are_missing(
    monkeypatch: pytest.MonkeyPatch, name: str, bf16: bool, slow: bool
) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", Processor(bf16))
    assert precision.emulated(name) == slow


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bf16", "fp32"])
def test_the_command_says_so_once(command: Command, name: str) -> None:
    said = command(*TINY, "--seeds", "2", "--set", f"precision={name}", "iterations=20", "drops=10,15").stderr
    expected = precision.emulated(name) and not torch.cuda.is_available()
    assert said.count(f"warning: --set precision={name}: this CPU has no instructions for {name}") == expected

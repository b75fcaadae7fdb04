"""The throughput table: what counts as a drop, what a page says, and that the loops it times do what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command

from bench.errors import UserError
from bench.measure import throughput
from bench.measure.throughput import Ceilings, Setting
from bench.nets import build
from bench.report import throughput as pages
from bench.report.throughput import Machine, Speed

SETTING = Setting("resnet-20-A", "compiled")


def machine(factor: float, noise: float, name: str = "a machine", setting: Setting = SETTING) -> Machine:
    """Rounds of which ours are `factor` times as fast as the reference, both on a machine whose speed drifts."""
    rng = np.random.default_rng(0)
    reference = 0.25 * np.exp(rng.normal(0, 0.05, 8))
    ours = reference / factor * np.exp(rng.normal(0, noise, 8))
    speed = Speed(setting, tuple(ours.tolist()), tuple(reference.tolist()), 20.0, 900)
    return Machine(name, "torch", "abc", Ceilings(3e11, 3e10), (speed,))


@pytest.mark.parametrize(
    ("factor", "noise", "drops"), [(1.5, 0.02, True), (1.75, 0.02, False), (1.5, 0.6, False), (2.2, 0.02, False)]
)
def test_a_drop_is_significant_and_large(factor: float, noise: float, drops: bool) -> None:
    """From 1.8: to 1.5 is one, to 1.75 is too small, to 1.5 in rounds that differ by half says nothing."""
    lines = pages.regressions(machine(1.8, 0.02), machine(factor, noise))
    assert bool(lines) == drops
    if drops:
        assert lines[0].startswith("resnet-20-A-train-compiled-fp32: 1.5")


def test_the_ratio_does_not_know_how_fast_the_machine_is() -> None:
    fast, slow = machine(1.8, 0.0), machine(1.8, 0.0)
    speed = slow.speeds[0]
    halved = Speed(
        speed.setting, tuple(2 * s for s in speed.seconds), tuple(2 * s for s in speed.reference_seconds), 20.0, 900
    )
    assert halved.ratio == pytest.approx(fast.speeds[0].ratio) == pytest.approx(1.8)
    assert halved.rate == pytest.approx(fast.speeds[0].rate / 2)


def test_what_was_measured_is_kept_and_replaced(tmp_path: Path) -> None:
    old = [machine(1.8, 0.02), machine(1.2, 0.02, "another")]
    eager = Setting("resnet-20-A", "eager")
    merged = pages.merge(pages.merge(old, machine(1.4, 0.02, setting=eager)), machine(2.0, 0.0))
    pages.save(tmp_path / "kept.json", merged)
    assert pages.load(tmp_path / "kept.json") == merged
    first, second = merged
    assert [m.name for m in merged] == ["a machine", "another"]
    assert [round(speed.ratio, 1) for speed in first.speeds] == [2.0, 1.4]
    assert second == old[1]
    (tmp_path / "kept.json").write_text("{}")
    with pytest.raises(UserError, match="measure anew with --table throughput"):
        pages.load(tmp_path / "kept.json")


def test_the_page_says_what_is_missing() -> None:
    text = pages.render([machine(1.8, 0.0)])
    assert "| ResNet-20 | compiled    | fp32" in text
    assert f"missing: `{pages.COMMAND}` on a machine with one" in text
    assert "missing" not in pages.render([machine(1.8, 0.0, "NVIDIA H100")])


def test_least_work_is_counted_as_the_net_does_it() -> None:
    """Outputs of all convolutions, counted in a real forward pass."""
    arch = SETTING.arch
    seen = []
    net = build(arch).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda m, x, y: seen.append(y.numel()))
    net(torch.zeros(1, 3, 32, 32))
    assert throughput.conv_outputs(arch) == sum(seen)
    operations, moved = throughput.floor(SETTING, Ceilings(1.0, 1.0))
    assert operations == pytest.approx(128 * 3 * 2 * 40.8e6, rel=0.01)
    assert moved == 128 * 5 * 4 * sum(seen)


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", [Setting("resnet-8-A", "eager", batch=16), Setting("resnet-8-A", "reference", batch=16)]
)
def test_a_loop_runs_and_ends(setting: Setting) -> None:
    with throughput.loop(setting) as loop:
        loop(2)
        assert loop.peak_mb() > 0
        assert loop.facts["first_seconds"] > 0
        process = loop._process
    assert not process.is_alive()


def test_the_table_says_what_it_would_run(command: Command) -> None:
    done = command("--table", "throughput", "--only", "resnet-20-A", "--dry-run")
    assert "-m pytest tests/throughput" in done.stdout
    assert "--nets resnet-20-A" in done.stdout
    command("--table", "throughput", "--report")
    assert "# Throughput" in (command.tables / "throughput.md").read_text()

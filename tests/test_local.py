"""Several runs at once on this machine."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest
import torch
from conftest import Command

from bench.compute import local
from bench.compute.side_by_side import Place

TWO = (
    "--table",
    "cifar_depth",
    "--schedule",
    "smoke",
    "--only",
    "resnet-20-A",
    "--seeds",
    "2",
    "--set",
    "iterations=120",
)
SHORT = (*TWO[:-1], "iterations=20")
pytestmark = pytest.mark.slow


def both_running(command: Command) -> list[int]:
    """The processes of both runs, once both have trained some iterations."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        beats = [json.loads(path.read_text()) for path in command.results.glob("*/heartbeat.json")]
        if len(beats) == 2 and all(beat["iteration"] for beat in beats):
            return [beat["pid"] for beat in beats]
        time.sleep(0.05)
    raise AssertionError("no two runs")


def test_places_are_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every GPU gets a run before any gets a second; a person's own CUDA_VISIBLE_DEVICES is kept."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert [place.gpu for place in local.find_places(2)] == ["3", "5", "3", "5"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [place.gpu for place in local.find_places(1)] == ["0", "1"]


def test_without_a_gpu_there_is_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert local.find_places(1) == [Place(None, None)]
    assert local.find_places(2) == [Place(None, 4)] * 2


def test_two_runs_at_once_end_as_one_after_the_other(
    command: Command, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Command(tmp_path_factory.mktemp("in turn"))
    together, in_turn = command(*SHORT, "--pack", 2), other(*SHORT)
    for done in (together, in_turn):
        assert done.stdout.count(" % after ") == 2
    results = [
        {path.parent.name: torch.load(path, weights_only=True)["net"] for path in each.results.glob("*/checkpoint.pt")}
        for each in (command, other)
    ]
    assert results[0].keys() == results[1].keys()
    for name, net in results[0].items():
        assert all(torch.equal(net[key], results[1][name][key]) for key in net)


def test_a_killed_run_leaves_the_other(command: Command) -> None:
    process = command.start(*TWO, "--pack", 2)
    victim = both_running(command)[0]
    subprocess.run(["kill", "-9", str(victim)], check=True)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "failed: its process ended with -9" in out
    assert out.count(" % after ") == 1


def test_ctrl_c_saves_all_and_the_same_command_goes_on(command: Command) -> None:
    process = command.start(*TWO, "--pack", 2)
    both_running(command)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "to go on, give the same command" in err
    assert len(list(command.results.glob("*/checkpoint.pt"))) == 2
    assert command(*TWO, "--pack", 2).stdout.count(" % after ") == 2

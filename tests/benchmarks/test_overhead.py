"""What a run spends beside training: real runs by the paper's recipe, stopped after their first evaluation point."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command

from bench.report.tables.harness import APART, NETS, Overhead
from bench.runs.folder import RunFolder
from bench.runs.provenance import cores

FEW = 8
"""Iterations between points of the net that takes an hour for an epoch on a CPU."""


@pytest.mark.timeout(0)
@pytest.mark.parametrize("net", NETS)
def test_overhead(benchmark: Any, net: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if (glob := request.config.getoption("--nets")) and not fnmatchcase(net, glob):
        pytest.skip(f"--nets {glob}")
    data = request.config.getoption("--data") or request.getfixturevalue("cifar10_folder")
    few = ("--set", f"evaluate_every={FEW}") if net == NETS[-1] and not torch.cuda.is_available() else ()
    command = Command(tmp_path)
    arguments = ("--table", "cifar_depth", "--only", net, "--data", Path(data).resolve(), *few)
    benchmark.pedantic(until_a_point, args=(command, arguments), rounds=1)
    (path,) = command.results.glob("*/checkpoint.pt")
    now = torch.load(path, weights_only=True)["progress"]
    overhead = Overhead(
        net, now["execution"], now["iteration"], len(now["metrics"]), now["saves"], now["wall_seconds"],
        *(now["seconds"].get("first", 0.0), now["train_seconds"]),
        *(now["seconds"][part] for part in ("evaluation", "checkpoints", "metrics")),
    )  # fmt: skip
    assert overhead.points == 1
    assert overhead.iterations >= (FEW if few else APART)
    benchmark.extra_info.update(asdict(overhead))


def until_a_point(command: Command, arguments: tuple[object, ...]) -> None:
    """Start the command and, once it has saved after an evaluation point, stop it as Slurm would."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(cores())}
    process = subprocess.Popen(command.arguments(*arguments), cwd=command.folder, env=environment)
    while not saved_after_a_point(command.results) and process.poll() is None:
        time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 130


def saved_after_a_point(results: Path) -> bool:
    for metrics in results.glob("*/metrics.jsonl"):
        folder = RunFolder(results, metrics.parent.name)
        if metrics.stat().st_size and folder.checkpoint.exists():
            return folder.checkpoint.stat().st_mtime_ns > metrics.stat().st_mtime_ns
    return False

"""Packed runs: one process for those of a GPU, and what happens to the others when one fails, dies, or is told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from test_lanes import SOURCE, assert_same_bits, provenance, short, three

from bench.cluster import task
from bench.compute import heartbeat, job, local
from bench.compute.context import Context
from bench.compute.heartbeat import Attempt
from bench.compute.side_by_side import Place
from bench.runs.finished import finished_runs
from bench.runs.folder import RunFolder
from bench.runs.spec import RunSpec

pytestmark = pytest.mark.slow


def pids(results: Path, runs: Sequence[RunSpec]) -> set[int]:
    beats = [heartbeat.read(RunFolder(results, run.run_id)) for run in runs]
    return {beat.pid for beat in beats if beat}


def test_threads_end_with_the_bits_of_the_same_runs_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three at a time, and a fourth that takes the first free place, all in one process."""
    runs = [*three(), short(3)]
    assert local.run_all(runs, Context(tmp_path / "packed", SOURCE), pack=3, threads=True) == 0
    shown = capsys.readouterr().out
    for number, run in enumerate(runs, start=1):
        assert f"[{number}/4] {run.run_id}\n" in shown
        assert f"{run.run_id}: test error" in shown
        job.run(run, Context(tmp_path / "alone", SOURCE))
    assert_same_bits(runs, tmp_path / "packed", tmp_path / "alone")
    assert len(pids(tmp_path / "packed", runs)) == 1
    assert os.getpid() not in pids(tmp_path / "packed", runs)
    assert provenance(tmp_path / "packed", runs[0])["packed"] == {"runs": 3, "threads": True}
    assert provenance(tmp_path / "alone", runs[0])["packed"] == {"runs": 1, "threads": False}


def test_a_run_that_fails_leaves_the_others_and_those_that_wait_get_a_fresh_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [short(seed, iterations=6 if seed == 1 else 90) for seed in range(4)]
    metrics = RunFolder(tmp_path, runs[1].run_id).metrics
    metrics.mkdir(parents=True)  # so that it cannot be written
    assert local.run_all(runs, Context(tmp_path, SOURCE), pack=3, threads=True) == 1
    assert f"{runs[1].run_id} failed: IsADirectoryError" in capsys.readouterr().out
    assert finished_runs(tmp_path).keys() == {run.run_id for run in runs} - {runs[1].run_id}
    assert "IsADirectoryError" in RunFolder(tmp_path, runs[1].run_id).log.read_text()
    assert len(pids(tmp_path, runs[:3])) == 1
    assert pids(tmp_path, runs[3:]).isdisjoint(pids(tmp_path, runs[:3]))


def test_a_process_that_dies_is_told_for_each_of_its_runs_and_another_gpu_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two GPUs by name, of which this machine has none, with two runs each."""
    monkeypatch.setattr(local, "find_places", lambda pack: [Place(gpu, 1) for gpu in ("0", "1", "0", "1")])
    runs = [short(seed, iterations=30_000 if seed in (0, 2) else 60) for seed in range(4)]

    def kill() -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            beats = [heartbeat.read(RunFolder(tmp_path, runs[seed].run_id)) for seed in (0, 2)]
            if all(beat and beat.iteration for beat in beats):
                return os.kill(beats[0].pid, signal.SIGKILL)  # type: ignore[union-attr]
            time.sleep(0.05)
        return None

    killer = threading.Thread(target=kill)
    killer.start()
    assert local.run_all(runs, Context(tmp_path, SOURCE), pack=2, threads=True) == 1
    killer.join()
    shown = capsys.readouterr().out
    for seed in (0, 2):
        assert f"{runs[seed].run_id} failed: its process ended with -9" in shown
    assert finished_runs(tmp_path).keys() == {runs[1].run_id, runs[3].run_id}


COMMAND = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from bench.errors import Interrupted
from bench.compute.context import Context
from test_packed import SOURCE, local, three
if __name__ == "__main__":
    try:
        local.run_all(three(100), Context(Path({results!r}), SOURCE), pack=3, threads=True)
    except Interrupted:
        sys.exit(130)
"""


def test_ctrl_c_saves_all_and_they_go_on_to_the_same_bits(tmp_path: Path) -> None:
    """As a terminal sends it: to all processes at once."""
    runs = three(100)
    script = tmp_path / "command.py"
    script.write_text(COMMAND.format(root=str(ROOT), tests=str(ROOT / "tests"), results=str(tmp_path / "packed")))
    process = subprocess.Popen([sys.executable, script], start_new_session=True, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    end = time.monotonic() + 120
    while time.monotonic() < end and len(pids(tmp_path / "packed", runs)) == 0:
        time.sleep(0.02)
    folders = [RunFolder(tmp_path / "packed", run.run_id) for run in runs]
    while time.monotonic() < end and not all(f.metrics.exists() for f in folders):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    stopped = [torch.load(f.checkpoint, weights_only=True)["progress"]["iteration"] for f in folders]
    assert any(iteration < run.recipe.iterations for iteration, run in zip(stopped, runs, strict=True))
    for run in runs:
        for folder in ("packed", "alone"):
            job.run(run, Context(tmp_path / folder, SOURCE))
    assert_same_bits(runs, tmp_path / "packed", tmp_path / "alone")


def test_a_slurm_task_packs_in_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Slurm: one run fails, the others do not mind, and the task hears of each."""
    runs = three()
    RunFolder(tmp_path, runs[1].run_id).metrics.mkdir(parents=True)
    monkeypatch.setattr(task, "_on_gpu", lambda: True)
    outcomes = task.run(runs, Context(tmp_path, SOURCE, attempt=Attempt("test.0", 0, "1")), cpus=1)
    assert [outcomes[run.run_id].kind for run in runs] == ["done", "failed", "done"]
    assert len(pids(tmp_path, runs)) == 1
    assert provenance(tmp_path, runs[0])["packed"] == {"runs": 3, "threads": True}


TASK = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from bench.cluster.task import Work, work
from bench.compute.context import Context
from test_packed import SOURCE, three
if __name__ == "__main__":
    work(Work(tuple(three(30_000)), Context(Path({results!r}), SOURCE), requeue=False, cpus=1, comment="test"))
"""


@pytest.mark.parametrize(("number", "times"), [(signal.SIGUSR2, 1), (signal.SIGTERM, 3)])
def test_what_slurm_asks_of_a_task_reaches_each_of_its_processes(tmp_path: Path, number: int, times: int) -> None:
    """Its time is up: all save. It must end: all save too, however often that is said, and Slurm decides what comes next."""
    script = tmp_path / "task.py"
    script.write_text(TASK.format(root=str(ROOT), tests=str(ROOT / "tests"), results=str(tmp_path)))
    process = subprocess.Popen([sys.executable, script], start_new_session=True, stderr=subprocess.PIPE, text=True)
    runs = three(30_000)
    end = time.monotonic() + 120
    while time.monotonic() < end and not all(RunFolder(tmp_path, run.run_id).metrics.exists() for run in runs):
        time.sleep(0.05)
    assert len(pids(tmp_path, runs)) == 3
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.1)
    _, said = process.communicate(timeout=120)
    assert process.returncode == (1 if number == signal.SIGUSR2 else 128 + signal.SIGTERM)
    assert ("TaskFailed: its time is up" in said) == (number == signal.SIGUSR2)
    for run in runs:
        assert "stopped at iteration" in RunFolder(tmp_path, run.run_id).log.read_text()
        assert RunFolder(tmp_path, run.run_id).checkpoint.exists()

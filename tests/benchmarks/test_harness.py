"""What the harness itself costs: answers, counts, a thousand runs in the queue, ten thousand finished. Never asserted."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import slurm_site
from conftest import Command
from slurm_site import Site, Table

from bench.runs.finished import finished_runs
from bench.runs.folder import Result, RunFolder
from bench.runs.provenance import cores
from bench.runs.upgrades import FORMAT
from bench.studies.cifar_depth import ARCHS
from bench.studies.variant import PAPER

ROOT = Path(__file__).resolve().parents[2]
MANY, FEW, FINISHED = 1000, 10, 10_000
COMMANDS = ("squeue", "sacct", "scontrol", "sinfo", "sbatch")


class Watched:
    """Runs commands and keeps what they took: memory of the largest process, and calls of the scheduler's programs."""

    def __init__(self, folder: Path, site: Site | None = None) -> None:
        self.log, self.peak_mb = folder / "calls", 0
        self.environment = dict(site.environment if site else os.environ)
        self.environment["OMP_NUM_THREADS"] = str(cores())
        for name in COMMANDS if site else ():
            script = folder / name
            script.write_text(f'#!/bin/sh\necho {name} >> "{self.log}"\nexec {shutil.which(name)} "$@"\n')
            script.chmod(0o755)
        self.environment["PATH"] = f"{folder}:{self.environment['PATH']}"

    def __call__(self, command: Command, *arguments: object) -> str:
        words = command.arguments(*arguments)
        process = subprocess.Popen(words, cwd=command.folder, env=self.environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        said = process.stdout.read()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        self.peak_mb = max(self.peak_mb, usage.ru_maxrss // 1024)
        return said

    def calls(self) -> dict[str, int]:
        """Calls since this was asked last."""
        found = Counter(self.log.read_text().split()) if self.log.exists() else Counter[str]()
        self.log.unlink(missing_ok=True)
        return dict(sorted(found.items()))


@pytest.fixture(scope="module")
def busy_site() -> Iterator[Site]:
    """A site at its default MaxArraySize on which nothing starts."""
    for site in slurm_site.start(nodes=2):
        site.call("scontrol", "update", "nodename=n[0-1]", "state=drain", "reason=benchmark")
        yield site


@pytest.fixture
def watched(tmp_path: Path, busy_site: Site) -> Watched:
    return Watched(tmp_path, busy_site)


SEND = ("--cluster", "slurm", "--profile", "cpu", "--cpus", 1, "--mem", "1500M")


def study(folder: Path, site: Site, seeds: int) -> Table:
    folder.mkdir()
    return Table(folder, site, "--only", "resnet-20-A", "--seeds", str(seeds))


def test_help(benchmark: Any, tmp_path: Path) -> None:
    command, watched = Command(tmp_path), Watched(tmp_path)
    said = benchmark.pedantic(watched, args=(command, "--help"), rounds=7, warmup_rounds=1)
    assert "--table" in said
    benchmark.extra_info.update(runs=0, peak_mb=watched.peak_mb)


def test_dry_run(benchmark: Any, tmp_path: Path) -> None:
    command, watched = Command(tmp_path), Watched(tmp_path)
    arguments = (command, "--table", "cifar_depth", "--seeds", 5, "--dry-run")
    said = benchmark.pedantic(watched, args=arguments, rounds=7, warmup_rounds=1)
    runs = 5 * len(ARCHS)
    assert said.startswith(f"{runs} runs in ")
    benchmark.extra_info.update(runs=runs, peak_mb=watched.peak_mb)


@pytest.mark.timeout(0)
def test_complexity(benchmark: Any, tmp_path: Path) -> None:
    """Every net counted anew."""
    command, watched = Command(tmp_path), Watched(tmp_path)
    said = benchmark.pedantic(watched, args=(command, "--table", "complexity"), rounds=3)
    assert "ResNet-1202" in said
    benchmark.extra_info.update(runs=0, peak_mb=watched.peak_mb)


def test_plan_and_submit(benchmark: Any, watched: Watched, busy_site: Site, tmp_path: Path) -> None:
    """The whole command, Python's start included, into a new results folder each round."""
    few = study(tmp_path / "few", busy_site, FEW)
    watched(few.command, *few.arguments, *SEND)
    of_ten = watched.calls()
    tables = [study(tmp_path / f"many {number}", busy_site, MANY) for number in range(4)]
    waiting = iter(tables)

    def fresh() -> tuple[tuple[object, ...], dict[str, object]]:
        watched.calls()
        table = next(waiting)
        return (table.command, *table.arguments, *SEND), {}

    said = benchmark.pedantic(watched, setup=fresh, rounds=3)
    assert f"{MANY} to send" in said
    benchmark.extra_info.update(runs=MANY, peak_mb=watched.peak_mb, calls=watched.calls(), calls_of_ten=of_ten)
    benchmark.extra_info["slurm"] = busy_site.call("sinfo", "--version").strip()
    busy_site.call("scancel", "--partition", "debug")


def test_status(benchmark: Any, watched: Watched, busy_site: Site, tmp_path: Path) -> None:
    few, many = study(tmp_path / "few", busy_site, FEW), study(tmp_path / "many", busy_site, MANY)
    for table in (few, many):
        watched(table.command, *table.arguments, *SEND)
    watched.calls()
    watched(few.command, *few.arguments, "--status")
    of_ten = watched.calls()
    fresh = Watched(tmp_path, busy_site)

    def setup() -> None:
        fresh.calls()

    said = benchmark.pedantic(fresh, args=(many.command, *many.arguments, "--status"), setup=setup, rounds=5)
    assert f"{MANY} runs: {MANY} queued" in said
    benchmark.extra_info.update(runs=MANY, peak_mb=fresh.peak_mb, calls=fresh.calls(), calls_of_ten=of_ten)


def test_report(benchmark: Any, tmp_path: Path) -> None:
    """All nets of Table 6, as many seeds as make ten thousand runs, each with the curve of 64,000 iterations."""
    command = Command(tmp_path)
    write_runs(command.results, FINISHED)
    watched = Watched(tmp_path)
    said = benchmark.pedantic(watched, args=(command, "--table", "cifar_depth", "--report"), rounds=3)
    assert "wrote" in said
    page = (command.tables / "cifar_depth.md").read_text()
    assert f"{FINISHED:,} runs, each with its own record" in page
    benchmark.extra_info.update(runs=FINISHED, peak_mb=watched.peak_mb)


def write_runs(results: Path, count: int) -> None:
    """Runs with made-up errors, of the size and shape of real ones: what they say never leaves the temporary folder."""
    model = next(iter(finished_runs(ROOT / "tables" / "measured").values()))
    provenance, chance = json.dumps(model.provenance), random.Random(0)
    for number in range(count):
        spec = PAPER.spec(ARCHS[number % len(ARCHS)], number // len(ARCHS))
        folder = RunFolder(results, spec.run_id)
        folder.path.mkdir(parents=True)
        points = [
            {
                **model.metrics[0],
                "iteration": spec.recipe.evaluate_every * (i + 1),
                "test_error": chance.random(),
                "train_error": chance.random(),
            }
            for i in range(128)
        ]
        facts = {**asdict(model.result), "run_id": spec.run_id, "iterations": 64_000, "test_error": 6 + chance.random()}
        folder.spec.write_text(json.dumps(spec.to_json()))
        folder.metrics.write_text("".join(json.dumps(point) + "\n" for point in points))
        folder.result.write_text(json.dumps({"format": FORMAT, **asdict(Result(**facts))}))
        folder.provenance.write_text(provenance)

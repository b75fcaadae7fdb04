"""A real Slurm of several nodes on this machine. Where its programs are missing, the tests skip and say so, but not in CI."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slurm.onemachine import cluster
from slurm.onemachine.cluster import OneMachine

PATIENCE = 240.0


class Site:
    """A running cluster, and what the tests ask of it."""

    def __init__(self, machine: OneMachine) -> None:
        self.machine = machine
        self.environment = {**cluster.environment_of(machine.conf), "OMP_NUM_THREADS": "1"}

    def call(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait(self, what: str, ready: Callable[[], object], patience: float = PATIENCE) -> None:
        """Ask until it is so. A question that takes long is asked seldom: the cores are for the runs that are waited for."""
        end = time.monotonic() + patience
        asked = time.monotonic()
        while not ready():
            answered = time.monotonic()
            assert answered < end, f"{what}: not within {patience:.0f} s\n{self.call('squeue', '--array')}"
            time.sleep(max(0.3, 4 * (answered - asked)))
            asked = time.monotonic()


class Table:
    """`bench/run.py --table cifar_depth --schedule smoke ...` against a site, from a folder and into folders with spaces."""

    def __init__(self, folder: Path, site: Site, *arguments: str) -> None:
        from conftest import Command

        self.command, self.site = Command(folder), site
        self.arguments = ("--table", "cifar_depth", "--schedule", "smoke", *arguments)
        self.results, self.tables = self.command.results, self.command.tables

    def __call__(self, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.command(*self.arguments, *arguments, check=check, env=self.site.environment)

    def send(self, *arguments: object) -> str:
        """Send on CPUs, one core a task; returns what was printed."""
        return self("--cluster", "slurm", "--profile", "cpu", "--cpus", 1, "--mem", "1500M", *arguments).stdout

    def status(self) -> dict[str, str]:
        """Run -> the rest of its line in --status."""
        lines = self("--status").stdout.splitlines()
        return {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if re.match(r"\S+-s\d+-\w{8} ", line)}

    def tasks(self) -> dict[str, str]:
        """Task -> state, of this table's tasks that have not ended, the report's among them."""
        stamps = tuple(path.name for path in (self.results / "slurm").glob("2*"))
        lines = self.site.call("squeue", "--noheader", "--array", "--format=%i|%T|%k").splitlines()
        return {
            task: state for task, state, comment in (line.split("|") for line in lines) if comment.startswith(stamps)
        }

    def wait_until_empty(self) -> None:
        self.site.wait("an empty queue", lambda: not self.tasks())

    def wait_until_done(self, patience: float = PATIENCE) -> None:
        """Until every run that has begun has its result; then --status has to say so too."""
        runs = [spec.parent for spec in self.results.glob("*/spec.json")]
        assert runs
        self.site.wait("all results", lambda: all((run / "result.json").exists() for run in runs), patience)
        self.site.wait("the word for it", lambda: set(self.status().values()) == {"done"})

    def iteration(self) -> int:
        """The furthest iteration of a run that is running; read off its heartbeat, since --status takes its time."""
        beats = [json.loads(file.read_text()) for file in self.results.glob("*/heartbeat.json")]
        return max((beat["iteration"] for beat in beats if beat["state"] == "running"), default=0)


def start(**facts: object) -> Iterator[Site]:
    lacking = cluster.missing_tools(bool(facts.get("accounting")))
    if lacking:
        reason = f"needs Slurm ({', '.join(lacking)} not found): install {cluster.PACKAGES}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm-")) / "c"
    machine = OneMachine(folder, **facts)  # type: ignore[arg-type]
    cluster.up(machine)
    yield Site(machine)
    cluster.down(folder)
    folder.parent.rmdir()


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Four nodes, arrays of at most five tasks, no accounting."""
    yield from start(nodes=4, max_array_size=5)


@pytest.fixture
def table(tmp_path: Path, site: Site) -> Iterator[Callable[..., Table]]:
    """Makes a Table in this test's folder; what it has in the queue is cancelled after the test."""
    made: list[Table] = []

    def make(*arguments: str) -> Table:
        made.append(Table(tmp_path, site, *arguments))
        return made[-1]

    yield make
    for study in made:
        if left := study.tasks():
            site.call("scancel", *left)
            study.wait_until_empty()

"""What becomes of runs that the scheduler has forgotten, with accounting and without it. Two clusters, side by side."""

from __future__ import annotations

import getpass
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import slurm_site
from slurm_site import Site, Table

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
CALLS = ("squeue", "sacct", "scontrol", "sinfo", "scancel", "sbatch")


def count_calls(site: Site, folder: Path) -> Path:
    """Let every call of Slurm's commands leave a line in a file; returns the file."""
    log = folder / "calls"
    for name in CALLS:
        script = folder / name
        script.write_text(f'#!/bin/sh\necho {name} >> "{log}"\nexec {shutil.which(name)} "$@"\n')
        script.chmod(0o755)
    site.environment["PATH"] = f"{folder}{os.pathsep}{site.environment['PATH']}"
    return log


class Case:
    """A cluster, and two tables on it whose tasks have ended in different ways."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.big = Table(folder / "big", site, "--only", "resnet-20-A")
        self.long = Table(folder / "long", site, "--only", "resnet-20-A", "--set", "iterations=120", "--seeds", "3")
        for study in (self.big, self.long):
            study.command.folder.mkdir(parents=True)

    def play(self) -> None:
        self.big.send("--mem", "150M")
        self.long.send("--parallel", 1)
        first = next(task for task in self.long.tasks() if "_" in task)  # the report is in the queue too, in any order
        self.site.wait("the first to run", lambda: self.long.iteration() > 0)
        self.site.call("scancel", first.partition("_")[0] + "_2")  # it has not begun
        self.site.wait("the second to run", self.second_runs)
        self.site.call("scancel", first.partition("_")[0] + "_1")

    def second_runs(self) -> bool:
        """Read off files: --status takes as long to answer as a good part of the run."""
        return any(self.long.results.glob("*/result.json")) and self.long.iteration() > 0

    def forgotten(self) -> bool:
        return not self.site.call("squeue", "--noheader", "--states=all").strip()


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Case]]:
    """By whether there is accounting; squeue has forgotten all by then."""
    with ExitStack() as stack:
        found = {}
        for accounting in (True, False):
            start = contextmanager(slurm_site.start)
            site = stack.enter_context(start(nodes=2, accounting=accounting, min_job_age=2))
            found[accounting] = Case(site, tmp_path_factory.mktemp(f"accounting {accounting}"))
            found[accounting].play()
        for case in found.values():
            case.site.wait("the scheduler to forget", case.forgotten)
        yield found


@pytest.mark.newer
@pytest.mark.parametrize("accounting", [True, False])
def test_forgotten_runs_are_told_apart(cases: dict[bool, Case], accounting: bool, tmp_path: Path) -> None:
    case = cases[accounting]
    log = count_calls(case.site, tmp_path)
    done = case.long("--status")
    assert done.stderr == ""
    assert "UNKNOWN" not in done.stdout
    calls = log.read_text().split()
    assert calls == (["squeue", "sacct"] if accounting else ["squeue"])  # however many tasks

    first, second, third = case.long.status().values()
    assert first == "done"
    if accounting:
        assert second.startswith("failed   cancelled, at iteration ")
    else:
        assert second.startswith(("stopped  at iteration ", "failed   cancelled, at iteration "))
    assert third.startswith("lost     never began")  # Slurm keeps no record of a task that is cancelled as it waits
    (of_big,) = case.big.status().values()
    assert of_big.startswith("failed   out of memory: give more --mem (log: ")


@pytest.mark.parametrize("accounting", [True, False])
def test_what_was_lost_is_sent_again(cases: dict[bool, Case], accounting: bool) -> None:
    case = cases[accounting]
    said = case.long.send("--retry", "failed", "--dry-run").splitlines()[0]
    assert "1 done" in said
    assert said.endswith("2 to send") or said.endswith("1 to send")


def test_an_account_may_be_typed_in_capitals(cases: dict[bool, Case], tmp_path: Path) -> None:
    """Slurm keeps names of accounts in small letters; the plan asks its database, and so does sbatch."""
    site = cases[True].site
    site.call("sacctmgr", "--immediate", "add", "account", "physics")
    site.call("sacctmgr", "--immediate", "add", "user", getpass.getuser(), "account=physics")
    study = Table(tmp_path, site, "--only", "resnet-8-A", "--set", "iterations=40")
    assert "is not yours" not in study.send("--account", "PHYSICS")
    study.wait_until_empty()
    assert set(study.status().values()) == {"done"}
    (submission,) = study.results.glob("slurm/*/submission.json")
    job = json.loads(submission.read_text())["arrays"][0]["job_id"]
    assert set(site.call("sacct", "--noheader", f"--jobs={job}", "--format=account").split()) == {"physics"}
    other = study("--cluster", "slurm", "--profile", "cpu", "--seeds", 2, "--account", "chemistry", check=False)
    assert "account chemistry is not yours on onemachine: choose from " in other.stdout + other.stderr


def test_without_a_controller_status_still_answers(cases: dict[bool, Case]) -> None:
    """From any machine that sees the results folder: what a heartbeat or a result tells is told, and why not more."""
    case = cases[False]
    case.site.call("scontrol", "shutdown")
    done = case.long("--status")
    assert "done" in done.stdout
    assert len((done.stdout + done.stderr).strip().splitlines()) <= 8
    again = case.long("--cluster", "slurm", "--profile", "cpu", check=False)
    assert again.returncode == 2
    assert len(again.stderr.splitlines()) == 1

"""Runs sent to a real Slurm: from the command line to the page, and what is sent when."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from slurm_site import Table

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
Tables = Callable[..., Table]
BRIEF = ("--only", "resnet-8-A", "--set", "iterations=40")
"""For what would be the same after two hundred more iterations."""


def provenance(table: Table, net: str) -> dict[str, object]:
    (path,) = table.results.glob(f"{net}-*/provenance.json")
    return json.loads(path.read_text())


@pytest.mark.newer
def test_a_table_is_there_in_the_morning(table: Tables) -> None:
    """An array of a real table, from another folder and into a path with spaces, and the report that waits for it.

    What is tested would be the same after two hundred more iterations.
    """
    study = table("--only", "*-20*", "--set", "iterations=80")
    said = study.send()
    assert "array 1, shape cifar: 2 tasks of 1 run" in said
    assert re.search(r"sent array 1 as job \d+, 2 tasks", said)
    assert re.search(r"sent the report as job \d+", said)
    study.wait_until_empty()
    page = (study.tables / "cifar_depth.smoke.iterations=80.md").read_text()
    for label in ("plain-20", "ResNet-20"):
        row = next(line for line in page.splitlines() if line.startswith(f"| {label} "))
        assert "not comparable" in row
    facts = provenance(study, "plain-20")
    assert facts["slurm"]["array_task_id"] in ("0", "1")
    assert facts["threads"] == 1
    assert set(study.status().values()) == {"done"}
    assert "all 2 runs have a result" in study("--cluster", "slurm", "--profile", "cpu").stdout


@pytest.mark.newer
def test_nothing_is_sent_twice_and_arrays_fit_the_site(table: Tables) -> None:
    """More runs than MaxArraySize make two arrays; a second launch, and one with more seeds, send only what is missing."""
    study = table("--only", "resnet-8-A")
    study.site.call("scontrol", "update", "nodename=n[0-3]", "state=drain", "reason=test")
    said = study.send("--seeds", 7)
    assert "array 1, shape cifar: 5 tasks of 1 run" in said
    assert "array 2, shape cifar: 2 tasks of 1 run" in said
    assert len(study.tasks()) == 8  # and the report
    assert "7 queued; 0 to send" in study.send("--seeds", 7)
    assert "7 queued, 1 new; 1 to send" in study.send("--seeds", 8)
    assert len(study.tasks()) == 10
    assert study("--seeds", 8, "--cancel").stdout == "cancelled 8 runs\n"
    study.site.call("scontrol", "update", "nodename=n[0-3]", "state=resume")
    study.wait_until_empty()


def test_cancel_ends_this_table_and_nothing_else(table: Tables, tmp_path: Path) -> None:
    study = table("--only", "*-20*")
    other = study.site.call("sbatch", "--parsable", f"--output={tmp_path}/o", "--wrap=sleep 60").strip()
    study.send()
    study("--only", "plain-20", "--cancel")
    cancelled = lambda: next(iter(study.status().values())).startswith("failed   cancelled")  # noqa: E731
    study.site.wait("the end of the cancelled run", cancelled)  # one that had begun saves first
    study("--cancel")
    study.wait_until_empty()
    assert other in study.site.call("squeue", "--noheader", "--format=%i").split()
    study.site.call("scancel", other)


def test_why_a_run_waits_is_said(table: Tables) -> None:
    study = table("--only", "resnet-8-A", "--seeds", "2")
    study.site.call("scontrol", "update", "nodename=n[0-3]", "state=drain", "reason=test")
    study.send()
    held, *_ = study.tasks()
    study.site.call("scontrol", "hold", held)
    study.site.wait("the hold", lambda: any("held" in line for line in study.status().values()), patience=30)
    first, second = study.status().values()
    assert re.match(r"queued   JobHeld\w+: ", first)
    assert re.match(
        r"queued   (Resources|Priority|None|ReqNodeNotAvail|Nodes required for job are DOWN, DRAINED)", second
    )
    study.site.call("scontrol", "update", "nodename=n[0-3]", "state=resume")


def test_a_job_runs_the_code_that_was_sent(table: Tables, tmp_path: Path) -> None:
    """A commit made between submission and start does not reach the job."""
    clone = tmp_path / "a clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    for part in ("bench", "models", "slurm"):  # as the checkout is, committed or not
        shutil.rmtree(clone / part)
        shutil.copytree(ROOT / part, clone / part)
    git = ["git", "-C", str(clone), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "as tested"], check=True)
    sent = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()

    study = table(*BRIEF)
    study.site.call("scontrol", "update", "nodename=n[0-3]", "state=drain", "reason=test")
    words = [sys.executable, str(clone / "bench" / "run.py"), *study.arguments, "--results", str(study.results)]
    words += ["--tables", str(study.tables), "--cluster", "slurm", "--profile", "cpu", "--cpus", "1"]
    subprocess.run(words, check=True, cwd=tmp_path, env=study.site.environment, capture_output=True)
    (clone / "bench" / "training" / "loop.py").write_text("raise RuntimeError('the code of tomorrow')\n")
    subprocess.run([*git, "commit", "--quiet", "-am", "tomorrow"], check=True)
    study.site.call("scontrol", "update", "nodename=n[0-3]", "state=resume")
    study.wait_until_empty()
    assert set(study.status().values()) == {"done"}
    assert provenance(study, "resnet-8-A")["code"] == {"commit": sent, "patch": None}


def test_several_runs_share_a_task(table: Tables) -> None:
    """`--pack`: side by side in processes of their own; one of them fails, and the other does not mind."""
    study = table(*BRIEF, "--seeds", "2")
    spec = run_ids(study)[1]
    (study.results / spec).mkdir(parents=True)
    (study.results / spec / "checkpoint.pt").write_text("no checkpoint")
    said = study.send("--pack", 2, "--mem", "3G")
    assert "1 task of 2 runs" in said
    study.wait_until_empty()
    status = study.status()
    assert status.pop(spec).startswith("failed   UserError: ")
    assert set(status.values()) == {"done"}


def run_ids(study: Table) -> list[str]:
    return [line.split()[0] for line in study("--dry-run").stdout.splitlines() if line.startswith("  resnet")]


def test_a_failing_task_among_good_ones_and_its_retry(table: Tables) -> None:
    study = table(*BRIEF, "--seeds", "3")
    bad = run_ids(study)[1]
    (study.results / bad).mkdir(parents=True)
    checkpoint = study.results / bad / "checkpoint.pt"
    checkpoint.write_text("no checkpoint")
    study.send()
    study.wait_until_empty()
    status = study.status()
    assert "checkpoint.pt is damaged" in status[bad]
    assert "log.txt" in status[bad]
    assert [*status.values()].count("done") == 2
    assert "checkpoint.pt is damaged" in study("--logs", bad).stdout
    page = (study.tables / "cifar_depth.smoke.iterations=40.md").read_text()  # the report came in spite of the failure
    assert "ResNet-8" in page

    checkpoint.unlink()
    assert "2 done, 1 failed; 1 to send" in study.send("--retry", "failed", "--wait")
    assert set(study.status().values()) == {"done"}


def test_wait_stays_and_tells(table: Tables) -> None:
    study = table(*BRIEF)
    said = study.send("--wait")
    assert "1 runs: 1 done" in said
    assert "ResNet-8" in said  # the page, at the end
    assert (study.tables / "cifar_depth.smoke.iterations=40.md").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--partition", "gpu"), "partition gpu is not on onemachine: choose from debug, short, low, high"),
        (("--partition", "short"), "time 08:00:00 is above the limit of partition short, 0:10:00"),
        (("--gpus", "3"), "gpus 3 makes 3 on a node; nodes of partition debug have 2 at most"),
        (("--constraint", "a100"), "constraint a100 is no feature of partition debug: it has cpu, node0"),
        (("--mem", "90G"), "mem 90G makes 92160 MB on a node"),
        (("--mem", "much"), "--mem much: must be a size such as 500M or 8G"),
        (("--time", "soon"), "--time soon: must be a minute or more, as 90, 4:00:00"),
        (("--nodes", "2"), "CIFAR nets are trained by one"),
        (("--profile", "nowhere"), "--profile nowhere: nowhere cannot be read"),
    ],
)
def test_a_profile_is_checked_before_anything_is_sent(table: Tables, arguments: tuple[str, ...], message: str) -> None:
    study = table("--only", "resnet-8-A")
    done = study("--cluster", "slurm", "--profile", "cpu", *arguments, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not study.results.exists()
    assert not study.tasks()


def test_a_task_gets_the_gpus_that_it_asks_for(table: Tables, tmp_path: Path) -> None:
    """The script carries the profile's directives; Slurm takes them and assigns (here: names of) GPUs."""
    study = table(*BRIEF)
    study.send("--gpus", 1, "--qos", "normal", "--setup", f"env >> '{tmp_path}/environment'")
    study.wait_until_empty()
    assert re.search(r"^CUDA_VISIBLE_DEVICES=[01]$", (tmp_path / "environment").read_text(), re.MULTILINE)
    (script,) = study.results.glob("slurm/*/1/*submission.sh")
    assert "#SBATCH --gpus-per-node=1" in script.read_text()

"""Runs that lose their node, their time or their place, on a real Slurm: they go on, to the same bits."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from slurm_site import Site, Table

from slurm.onemachine import cluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
Tables = Callable[..., Table]
A_WHILE = ("--only", "resnet-20-A", "--set", "iterations=200")
"""Long enough for something to happen to it."""


@pytest.fixture(scope="module", autouse=True)
def long_run(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """A run that needs several time limits, begun first and looked at last. It has a node's memory for itself.

    And one core: two threads that wait for each other get nowhere on a machine that others keep busy.
    """
    study = Table(tmp_path_factory.mktemp("a long run"), site, "--only", "resnet-110-A", "--set", "iterations=320")
    study.send("--time", 1, "--signal-seconds", 20, "--partition", "high", "--constraint", "node3", "--mem", "7500M")
    return study


def stops(study: Table) -> int:
    """How often its runs were stopped."""
    return sum(log.read_text().count("stopped at") for log in study.results.glob("*/log.txt"))


def more_time(study: Table) -> bool:
    """Whether Slurm took a longer limit for all that is in the queue: not of a task that is ending just now."""
    try:
        for task in study.tasks():
            study.site.call("scontrol", "update", f"jobid={task}", "timelimit=10")
    except AssertionError:
        return False
    return True


@pytest.fixture(autouse=True)
def time_enough(long_run: Table) -> None:
    """Where starting alone takes half a minute the long run would be requeued all day: after the second time it gets more."""
    if stops(long_run) >= 2:
        more_time(long_run)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Path:
    """The results of one ResNet-20 that nothing happened to, on this machine without Slurm."""
    study = Table(tmp_path_factory.mktemp("uninterrupted"), site, *A_WHILE)
    study("--cluster", "local")
    return study.results


def folder_of(results: Path) -> Path:
    (path,) = results.glob("resnet-*-s0-*")
    return path


def weights(results: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder_of(results) / "checkpoint.pt", weights_only=True)["net"]
    return state


def assert_same(mine: Path, other: Path) -> None:
    a, b = weights(mine), weights(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)
    one, two = (json.loads((folder_of(r) / "result.json").read_text()) for r in (mine, other))
    assert one["test_error"] == two["test_error"]


def facts_of(results: Path) -> dict[str, object]:
    return json.loads((folder_of(results) / "provenance.json").read_text())


@pytest.mark.newer
def test_a_preempted_run_goes_on_to_the_same_bits(table: Tables, uninterrupted: Path) -> None:
    """A job of higher priority takes the nodes, n3 left to the long run; the run saves in time, and goes on."""
    study = table(*A_WHILE)
    study.send("--partition", "low")
    study.site.wait("some iterations", lambda: study.iteration() >= 20)
    where = ("--partition=high", "--nodelist=n[0-2]", "--exclusive", "--mem=100", "--output=/dev/null")
    other = study.site.call("sbatch", "--parsable", *where, "--wrap=sleep 600")
    study.site.wait("the run to give way", lambda: "goes on from iteration" in "".join(study.status().values()))
    study.site.call("scancel", other.strip())
    study.wait_until_done()
    assert_same(study.results, uninterrupted)
    facts = facts_of(study.results)
    assert facts["restarts"] == 1
    assert facts["slurm"]["restart_count"] == "1"


def test_a_node_that_is_taken_down_gives_its_run_to_another(table: Tables, uninterrupted: Path) -> None:
    """Set down, Slurm starts a second copy elsewhere while the first may still compute: only the later one goes on."""
    study = table(*A_WHILE)
    study.send()
    study.site.wait("some iterations", lambda: study.iteration() >= 20)
    node = re.search(r"on (n\d),", "".join(study.status().values()))[1]  # type: ignore[index]
    study.site.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    study.wait_until_done()
    assert_same(study.results, uninterrupted)
    assert facts_of(study.results)["slurm"]["restart_count"] == "1"


def test_a_node_that_loses_power(table: Tables, uninterrupted: Path) -> None:
    """Its slurmd and all that runs on it die at once; Slurm notices, and the run goes on from its last checkpoint."""
    study = table(*A_WHILE)
    study.send()
    study.site.wait("some iterations", lambda: study.iteration() >= 20)
    node = re.search(r"on (n\d),", "".join(study.status().values()))[1]  # type: ignore[index]
    cluster.kill_node(study.site.machine, node)
    study.wait_until_done()
    cluster.start_node(study.site.machine, node)
    assert_same(study.results, uninterrupted)
    assert facts_of(study.results)["restarts"] == 1


def test_scancel_of_one_task_leaves_the_others(table: Tables) -> None:
    study = table(*A_WHILE, "--seeds", "2")
    study.send()
    study.site.wait("both to run", lambda: all("running" in s for s in study.status().values()))
    run_id, line = next(iter(study.status().items()))
    study.site.call("scancel", re.search(r"job (\d+_\d+)", line)[1])  # type: ignore[index]
    study.site.wait("the other's result", lambda: "done" in study.status().values())
    study.wait_until_empty()
    assert study.status().pop(run_id).startswith("failed   cancelled")
    assert "1 done, 1 failed; 1 to send" in study.send("--retry", "failed")


def test_out_of_memory_is_called_so(table: Tables) -> None:
    study = table("--only", "resnet-8-A", "--seeds", "2")
    study.send("--mem", "150M")
    study.wait_until_empty()
    for line in study.status().values():
        assert line.startswith("failed   out of memory: give more --mem (log: ")


def test_a_killed_process_is_reported(table: Tables) -> None:
    """Nothing can be written by what dies of SIGKILL: the scheduler's word and the last heartbeat tell."""
    study = table(*A_WHILE)
    study.send()
    study.site.wait("some iterations", lambda: study.iteration() >= 20)
    beat = json.loads((folder_of(study.results) / "heartbeat.json").read_text())
    subprocess.run(["kill", "-9", str(beat["pid"])], check=True)
    study.site.wait("its end", lambda: "failed" in "".join(study.status().values()))
    assert re.match(r"failed   (FAILED|NODE_FAIL)", next(iter(study.status().values())))


@pytest.mark.newer
def test_a_run_that_needs_several_time_limits_is_done_in_the_end(long_run: Table) -> None:
    """Told 20 s before each limit of a minute, it saves and is requeued, at least twice, until it is done."""
    long_run.site.wait("two time limits", lambda: stops(long_run) >= 2)
    long_run.site.wait("more time", lambda: more_time(long_run))
    long_run.wait_until_done(patience=420)
    facts = facts_of(long_run.results)
    assert int(facts["slurm"]["restart_count"]) >= 2
    assert facts["restarts"] == int(facts["slurm"]["restart_count"])
    assert stops(long_run) == facts["restarts"]
    long_run.wait_until_empty()
    assert "ResNet-110" in (long_run.tables / "cifar_depth.smoke.iterations=320.md").read_text()

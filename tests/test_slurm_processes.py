"""Several processes on several nodes train one net, on a real Slurm with gloo."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from slurm_site import Site, Table

from bench.cluster import launch
from bench.cluster.launch import Launch, Planned
from bench.compute import job
from bench.compute.context import Context
from bench.runs.folder import RunFolder
from bench.runs.spec import RunSpec
from bench.studies import cifar_depth
from bench.training.source import Source
from models.arch import parse_arch
from slurm.profile import report_profile

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def spec_of(bn_group: int | None) -> RunSpec:
    """A small learning rate: at 0.05 the rounding of the first iterations has grown to 0.005 after twenty."""
    arch = parse_arch("resnet-8-A")
    recipe = cifar_depth.recipe(arch, "smoke", "digits", "all")
    return RunSpec(arch, replace(recipe, iterations=20, evaluate_every=10, lr=0.01, bn_group=bn_group), "digits", 0)


def weights(results: Path, spec: RunSpec) -> dict[str, torch.Tensor]:
    net: dict[str, torch.Tensor] = torch.load(RunFolder(results, spec.run_id).checkpoint, weights_only=True)["net"]
    return net


def test_two_nodes_train_what_one_process_trains_in_ghost_batches(
    site: Site, table: Callable[..., Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients are averaged over processes and statistics are not: 2 x 64 images make one batch of two groups of 64."""
    monkeypatch.setenv("SLURM_CONF", str(site.machine.conf))
    spec = spec_of(64)
    study = table()
    lines = ("export OMP_NUM_THREADS=1", "export RESNET_BENCH_MASTER=127.0.0.1", "export GLOO_SOCKET_IFNAME=lo")
    values = {"nodes": 2, "tasks_per_node": 1, "gpus": 0, "cpus": 1, "mem": "1500M", "time": "10", "setup": lines}
    profile = launch.resolve(launch.load_profile("cpu"), "imagenet", values)
    page = ("--table", "complexity", "--report", "--tables", str(tmp_path))
    order = Launch("cifar_depth", study.results, Source(tmp_path), False, page, report_profile(profile))
    launch.send([Planned("imagenet", profile, ((spec,),))], order, launch.ask_site())
    folder = RunFolder(study.results, spec.run_id)
    study.site.wait("the result", lambda: folder.finished() or not study.tasks())
    logs = "".join(path.read_text() for path in study.results.glob("slurm/*/1/*.err"))
    assert folder.finished(), logs

    job.run(spec, Context(tmp_path / "alone", Source(tmp_path)))
    alone, together = weights(tmp_path / "alone", spec), weights(study.results, spec)
    trained = [name for name in alone if "running" not in name and "num_batches" not in name]
    assert max(float((alone[name] - together[name]).abs().max()) for name in trained) < 1e-6
    one = RunFolder(tmp_path / "alone", spec.run_id).read_result()
    assert folder.read_result().train_error == one.train_error

    whole = spec_of(None)  # and it is the groups that make it so
    job.run(whole, Context(tmp_path / "alone", Source(tmp_path)))
    other = weights(tmp_path / "alone", whole)
    assert max(float((alone[name] - other[name]).abs().max()) for name in trained) > 1e-3

    facts = json.loads(folder.provenance.read_text())["slurm"]
    assert (facts["ntasks"], facts["job_nodelist"]) == ("2", "n[0-1]")


def test_processes_that_cannot_share_a_batch_are_refused() -> None:
    from bench.device.processes import Processes
    from bench.errors import UserError

    Processes(0, 2).check(spec_of(64).recipe)
    Processes(0, 2).check(spec_of(32).recipe)
    for count, bn_group in ((3, 64), (2, 128), (2, None)):
        with pytest.raises(UserError):
            Processes(0, count).check(spec_of(bn_group).recipe)

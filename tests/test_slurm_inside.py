"""Work of its own on a real Slurm: the parts of a surface are tasks that wait for the run of the net."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from slurm_site import Table

pytestmark = [pytest.mark.slow, pytest.mark.slurm]


def test_a_surface_is_split_over_an_array_that_waits_for_the_net(table: Callable[..., Table]) -> None:
    """The run, the parts of the surface around its net, the page: one command. Parts start when the run has ended."""
    study = table("--only", "resnet-8-A", "--set", "iterations=40")
    study.arguments = ("--table", "loss_surface", *study.arguments[2:])
    said = study.send()
    assert "array 1, shape cifar: 1 task of 1 run" in said
    assert "array 2, shape cifar: 3 tasks of 1 run, after array 1, whose nets they take" in said
    study.wait_until_empty()
    assert [*study.status().values()] == ["done"] * 4
    (trained,) = study.results.glob("resnet-8-A-smoke-s0-*/provenance.json")
    ended = json.loads(trained.read_text())["ended"]
    parts = [json.loads(path.read_text()) for path in study.results.glob("resnet-8-A-[lp]*/provenance.json")]
    assert len({facts["slurm"]["array_task_id"] for facts in parts}) == 3
    assert all(facts["started"] >= ended for facts in parts)
    page = (study.tables / "loss_surface.smoke.iterations=40.md").read_text()
    assert any("115 of 115" in line for line in page.splitlines() if line.startswith("| ResNet-8 "))

"""Hours of runs to come, by those of runs that have ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_up
import pytest

from bench.measure.counts.estimate import Estimator
from bench.runs.finished import FinishedRun
from bench.runs.spec import Precision, RunSpec
from bench.studies import cifar_depth
from models.arch import parse_arch

HOUR = 3600.0


def spec(net: str = "resnet-20-A", precision: Precision = "fp32") -> RunSpec:
    arch = parse_arch(net)
    return RunSpec(arch, replace(cifar_depth.recipe(arch, "short"), precision=precision), "cifar10", 0)


def finished(results: Path, run: RunSpec, hours: float) -> FinishedRun:
    ended = made_up.run(results, run, 20.0)
    return replace(ended, result=replace(ended.result, wall_seconds=hours * HOUR))


def test_each_precision_has_a_speed_of_its_own(tmp_path: Path) -> None:
    slow, fast = finished(tmp_path, spec(), 3.0), finished(tmp_path, spec(precision="bf16"), 1.0)
    estimate = Estimator("cpu", [slow, fast])
    assert estimate(spec()).hours == pytest.approx(3.0)
    assert estimate(spec(precision="bf16")).hours == pytest.approx(1.0)
    assert estimate(spec("resnet-56-A")).hours == pytest.approx(3 * estimate(spec("resnet-56-A", "bf16")).hours)
    assert "in fp32" not in estimate(spec("resnet-56-A", "bf16")).source


def test_a_precision_not_yet_measured_is_estimated_as_single(tmp_path: Path) -> None:
    estimate = Estimator("cpu", [finished(tmp_path, spec(), 3.0)])(spec(precision="bf16"))
    assert estimate.hours == pytest.approx(3.0)
    assert estimate.source.endswith(", in fp32")


def test_single_precision_is_not_estimated_from_half(tmp_path: Path) -> None:
    estimate = Estimator("cpu", [finished(tmp_path, spec(precision="bf16"), 1.0)])(spec())
    assert estimate.source.endswith("nothing measured")

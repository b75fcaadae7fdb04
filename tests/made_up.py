"""Runs with made-up errors, of the shape of real ones: what they say never leaves a temporary folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conftest import ROOT

from bench.runs.finished import FinishedRun, finished_runs
from bench.runs.folder import Result, RunFolder
from bench.runs.spec import RunSpec

MEASURED = finished_runs(ROOT / "tables" / "measured")
(MODEL,) = (run for name, run in MEASURED.items() if name.startswith("plain-20-short-s0-"))


def run(results: Path, spec: RunSpec, error: float, facts: dict[str, Any] | None = None) -> FinishedRun:
    """Write a finished run whose errors fall from 90 % to `error`; `facts` replace parts of its provenance."""
    folder, recipe = RunFolder(results, spec.run_id), spec.recipe
    folder.path.mkdir(parents=True)
    iterations = range(recipe.iterations // 40, recipe.iterations + 1, recipe.iterations // 40)
    points = [
        {**MODEL.metrics[0], "iteration": i, "test_error": at, "train_error": 0.9 * at}
        for i in iterations
        for at in [error + (90 - error) * (1 - i / recipe.iterations) ** 4]
    ]
    changed = {"run_id": spec.run_id, "iterations": recipe.iterations, "test_error": error, "train_error": 0.9 * error}
    result = Result(**{**asdict(MODEL.result), **changed})
    folder.spec.write_text(json.dumps(spec.to_json()))
    folder.write_metrics(points)
    folder.write_result(result)
    folder.provenance.write_text(json.dumps({**MODEL.provenance, **(facts or {})}))
    return FinishedRun(spec, result, folder)


def runs(results: Path, specs: Iterable[RunSpec], error: float = 7.0) -> dict[str, FinishedRun]:
    """Several; each is a little worse than the one before it."""
    return {spec.run_id: run(results, spec, error + 0.1 * number) for number, spec in enumerate(specs)}

"""Whole runs: a real run beside the reference loop with tests of its own, minutes long; `--nets 'whole-*'`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.compute import job
from bench.compute.context import Context
from bench.errors import Interrupted
from bench.files import read_json
from bench.images import memory
from bench.images.memory import CIFAR10_FOLDER
from bench.measure.speed import throughput, turns
from bench.measure.speed.records import Machine, Session, Timeline, Whole
from bench.measure.speed.settings import WholeRun
from bench.measure.speed.turns import Program
from bench.runs.folder import RunFolder
from bench.runs.spec import RunSpec
from bench.studies import cifar_depth
from bench.training.report import Report
from bench.training.source import Source
from models.arch import parse_arch

ENOUGH = 10_000_000
"""Iterations: the clock ends the run."""
APART = 5.0
"""Seconds between two points that are kept."""


@pytest.mark.timeout(0)
def test_whole_run(
    benchmark: Any,
    asked: tuple[WholeRun, ...],
    machine: dict[str, Any],
    nothing_measured: Machine,
    session: Session,
    keep: Callable[[Machine], None],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    """Of one net, in one precision or several: the reference loop takes turns with all of them."""
    given = request.config.getoption("--data")
    folder = Path(given) if given and (Path(given) / CIFAR10_FOLDER).is_dir() else None
    seconds = 60 * request.config.getoption("--minutes") * (1 + len(asked))  # of which it has one part
    net, arch = asked[0].net, parse_arch(asked[0].net)
    recipe = replace(cifar_depth.recipe(arch, "paper"), iterations=ENOUGH)
    specs = [RunSpec(arch, replace(recipe, precision=one.precision), "cifar10", 0) for one in asked]
    programs = [
        Program(throughput.reference_run, (net, recipe.batch, folder, seconds), of_ours=False),
        *(Program(run_of_ours, (spec, tmp_path, folder, seconds)) for spec in specs),
    ]
    found: list[Timeline] = []
    benchmark.pedantic(lambda: found.extend(map(thinned, turns.timelines(programs))), rounds=1)
    images, (reference, *lines) = "CIFAR-10" if folder else "random", found
    wholes = []
    for one, spec, line in zip(asked, specs, lines, strict=True):
        execution = read_json(RunFolder(tmp_path, spec.run_id).provenance)["execution"]
        wholes.append(Whole(net, execution, images, line, reference, session, one.precision))
    said = [{"precision": one.precision, "execution": one.execution, "rates": one.rates()} for one in wholes]
    benchmark.extra_info.update(net=net, images=images, wholes=said, machine=machine)
    keep(replace(nothing_measured, wholes=tuple(wholes)))


def run_of_ours(
    spec: RunSpec, results: Path, folder: Path | None, seconds: float, tell: Callable[[int], object]
) -> None:
    """A run as the command makes it, until its first evaluation point after so many seconds. For `turns.timelines`."""
    if folder is None:
        images = throughput.random_images()
        memory.load = lambda *_: images
    began, over = time.monotonic(), list[bool]()

    def report(r: Report) -> None:
        tell(r.iteration * spec.recipe.batch)
        if r.evaluated and time.monotonic() - began > seconds:
            over.append(True)

    with contextlib.suppress(Interrupted):
        job.run(spec, Context(results, Source(folder or Path()), on_report=report, should_stop=lambda: bool(over)))


def thinned(line: list[tuple[float, int]]) -> Timeline:
    """Points some seconds apart, and the last."""
    kept = [line[0]]
    for point in line[1:]:
        if point[0] - kept[-1][0] >= APART:
            kept.append(point)
    kept = kept if kept[-1] == line[-1] else [*kept, line[-1]]
    return tuple((round(seconds, 2), images) for seconds, images in kept)

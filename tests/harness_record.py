"""`make benchmarks` measures; with --publish the figures are kept, and `--table harness` prints them."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from bench.measure.speed import records
from bench.report.tables import harness, loading
from bench.report.tables.harness import Figure, Figures
from bench.report.tables.loading import Loading, Way
from bench.runs import provenance

MEASURED = Path(__file__).resolve().parents[1] / "tables" / "measured"
LOADING = "test_loading_"

FIGURES = pytest.StashKey[Figures]()
WAYS = pytest.StashKey[Loading]()
OVERHEADS = pytest.StashKey[harness.Overheads]()
SPEEDS = pytest.StashKey[records.Machine]()
OVERHEAD = "test_overhead["
BESIDES = pytest.StashKey[harness.Besides]()
BESIDE = "test_beside["
NOT_HARNESS = (LOADING, OVERHEAD, BESIDE, "test_throughput[", "test_whole_run[")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--publish", action="store_true", help="keep the figures in tables/measured")
    group = parser.getgroup("throughput", "tests/throughput")
    group.addoption("--speeds", metavar="FILE", help="keep what is measured in FILE, each loop as soon as it is timed")
    group.addoption("--nets", metavar="GLOB", help="time only these nets or loops: resnet-20-A, '*-bf16'; or 'whole-*'")
    group.addoption("--execution", metavar="HOW", default="auto", help="time only loops that are executed so")
    group.addoption("--seconds", metavar="S", type=float, default=1.5, help="of each round (default: %(default)s)")
    group.addoption("--minutes", metavar="M", type=float, default=10.0, help="of a whole run (default: %(default)s)")
    group.addoption(
        "--data", metavar="DIR", help="where CIFAR-10 lies, for whole runs; without it they see random images"
    )
    group.addoption("--against", metavar="FILE", help="fail where ratios to the reference loop have dropped since FILE")


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]) -> None:
    """Put together what the pages need, from what pytest-benchmark has measured."""
    of_loading = [measured for measured in benchmarks if measured.name.startswith(LOADING)]
    of_harness = [measured for measured in benchmarks if not measured.name.startswith(NOT_HARNESS)]
    if of_harness:
        config.stash[FIGURES] = _figures(of_harness)
    if of_loading:
        config.stash[WAYS] = _ways(of_loading)
    if of_runs := [measured for measured in benchmarks if measured.name.startswith(OVERHEAD)]:
        found = tuple(harness.Overhead(**measured.extra_info) for measured in of_runs)
        config.stash[OVERHEADS] = harness.Overheads(provenance.cpu_name(), _versions("torch"), _commit(), found)

    if beside := [measured for measured in benchmarks if measured.name.startswith(BESIDE)]:
        speeds = tuple(harness.Beside(**measured.extra_info) for measured in beside)
        config.stash[BESIDES] = harness.Besides(provenance.cpu_name(), _versions("torch"), _commit(), speeds)


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[[records.Machine], None]:
    """Adds what was measured to what this session has, and to --speeds at once: nothing is lost where a later loop fails."""
    config = request.config

    def add(new: records.Machine) -> None:
        (config.stash[SPEEDS],) = records.merge([m] if (m := config.stash.get(SPEEDS, None)) else [], new)
        if path := config.getoption("--speeds"):
            records.save(Path(path), records.merge(records.load(Path(path)), new))

    return add


def _seconds(measured: Any) -> tuple[float, ...]:
    return tuple(round(seconds, 3) for seconds in measured.stats.data)


def _figures(benchmarks: list[Any]) -> Figures:
    figures = []
    for measured in benchmarks:
        extra = dict(measured.extra_info)
        figures.append(
            Figure(
                name=measured.name.removeprefix("test_"),
                runs=extra["runs"],
                seconds=_seconds(measured),
                peak_mb=extra["peak_mb"],
                calls=extra.get("calls"),
                calls_of_ten=extra.get("calls_of_ten"),
            )
        )
    slurm = next((extra["slurm"] for b in benchmarks if "slurm" in (extra := b.extra_info)), "no Slurm")
    return Figures(provenance.cpu_name(), platform.python_version(), slurm, _commit(), tuple(figures))


def _ways(benchmarks: list[Any]) -> Loading:
    ways = [
        Way(measured.name.removeprefix(LOADING), _seconds(measured), measured.extra_info["images"])
        for measured in benchmarks
    ]
    mean, largest = next(b.extra_info["difference"] for b in benchmarks if "difference" in b.extra_info)
    versions = _versions("torch", "torchvision", "pillow")
    return Loading(provenance.cpu_name(), versions, _commit(), mean, largest, tuple(ways))


def _versions(*packages: str) -> str:
    return ", ".join(f"{name} {version(name)}" for name in packages)


def _commit() -> str:
    code = provenance.code()
    return (code["commit"] or "unknown")[:10] + (" + patch" if code["patch"] else "")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the figures of a run in which nothing failed; hold those of throughput against others."""
    found = session.config.stash.get(SPEEDS, None)
    if found and (path := session.config.getoption("--against")):
        lines, said = records.check(Path(path), found)
        print("\n" + "\n  ".join([said or "the check of throughput failed:", *lines]))
        if lines:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    asked = [name for name in ("--against", "--speeds", "--publish") if session.config.getoption(name)]
    measured = [key for key in (SPEEDS, FIGURES, OVERHEADS, WAYS) if key in session.config.stash]
    if asked and not measured and exitstatus == 0 and not session.config.option.collectonly:
        print(f"\n{', '.join(asked)}: nothing was measured; run without PYTEST_ADDOPTS and --benchmark-skip")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if session.config.getoption("--publish") and exitstatus == 0:
        if FIGURES in session.config.stash:
            harness.save(MEASURED / "harness.json", session.config.stash[FIGURES])
        if OVERHEADS in session.config.stash:
            harness.save_overheads(MEASURED / harness.OVERHEAD, session.config.stash[OVERHEADS])
        if BESIDES in session.config.stash:
            harness.save_besides(MEASURED / harness.BESIDE, session.config.stash[BESIDES])
        if WAYS in session.config.stash:
            loading.save(MEASURED / "loading.json", session.config.stash[WAYS])

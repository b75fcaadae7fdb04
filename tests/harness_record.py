"""`make benchmarks` measures; with --publish the figures are kept, and `--table harness` prints them."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from bench import provenance
from bench.report import harness, loading, throughput
from bench.report.harness import Figure, Figures
from bench.report.loading import Loading, Way

MEASURED = Path(__file__).resolve().parents[1] / "tables" / "measured"
LOADING = "test_loading_"

FIGURES = pytest.StashKey[Figures]()
WAYS = pytest.StashKey[Loading]()
SPEEDS = pytest.StashKey[throughput.Machine]()
THROUGHPUT = "test_throughput["


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--publish", action="store_true", help="keep the figures in tables/measured")
    parser.addoption("--speeds", metavar="FILE", help="keep what tests/throughput measures in FILE")
    parser.addoption("--nets", metavar="GLOB", help="time only these nets in tests/throughput")
    parser.addoption(
        "--against", metavar="FILE", help="fail where ratios to the reference loop have dropped since FILE"
    )


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]) -> None:
    """Put together what the pages need, from what pytest-benchmark has measured."""
    of_loading = [measured for measured in benchmarks if measured.name.startswith(LOADING)]
    of_throughput = [measured for measured in benchmarks if measured.name.startswith(THROUGHPUT)]
    of_harness = [measured for measured in benchmarks if measured not in of_loading + of_throughput]
    if of_throughput:
        config.stash[SPEEDS] = throughput.of_benchmarks(of_throughput)
    if of_harness:
        config.stash[FIGURES] = _figures(of_harness)
    if of_loading:
        config.stash[WAYS] = _ways(of_loading)


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
    slurm = next(extra["slurm"] for b in benchmarks if "slurm" in (extra := b.extra_info))
    return Figures(provenance.cpu_name(), platform.python_version(), slurm, _commit(), tuple(figures))


def _ways(benchmarks: list[Any]) -> Loading:
    ways = [
        Way(measured.name.removeprefix(LOADING), _seconds(measured), measured.extra_info["images"])
        for measured in benchmarks
    ]
    mean, largest = next(b.extra_info["difference"] for b in benchmarks if "difference" in b.extra_info)
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "pillow"))
    return Loading(provenance.cpu_name(), versions, _commit(), mean, largest, tuple(ways))


def _commit() -> str:
    code = provenance.code()
    return (code["commit"] or "unknown")[:10] + (" + patch" if code["patch"] else "")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the figures of a run in which nothing failed."""
    found = session.config.stash.get(SPEEDS, None)
    if found and exitstatus == 0 and (path := session.config.getoption("--speeds")):
        throughput.save(Path(path), throughput.merge(throughput.load(Path(path)), found))
    if found and (path := session.config.getoption("--against")):
        before = {machine.name: machine for machine in throughput.load(Path(path))}
        if lines := throughput.regressions(before.get(found.name, found), found):
            print("\nslower than in " + "\n  ".join([f"{path}:", *lines]))
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if session.config.getoption("--publish") and exitstatus == 0:
        if FIGURES in session.config.stash:
            harness.save(MEASURED / "harness.json", session.config.stash[FIGURES])
        if WAYS in session.config.stash:
            loading.save(MEASURED / "loading.json", session.config.stash[WAYS])

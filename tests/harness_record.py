"""`make benchmarks` measures; with --publish the figures are kept, and `--table harness` prints them."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

from bench import provenance
from bench.report import harness
from bench.report.harness import Figure, Figures

MEASURED = Path(__file__).resolve().parents[1] / "tables" / "measured" / "harness.json"

FIGURES = pytest.StashKey[Figures]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--publish", action="store_true", help="keep the figures in tables/measured/harness.json")


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]) -> None:
    """Put together what the page needs, from what pytest-benchmark has measured."""
    figures = []
    for measured in benchmarks:
        extra = dict(measured.extra_info)
        rounds = tuple(round(seconds, 3) for seconds in measured.stats.data)
        figures.append(
            Figure(
                name=measured.name.removeprefix("test_"),
                runs=extra["runs"],
                seconds=rounds,
                peak_mb=extra["peak_mb"],
                calls=extra.get("calls"),
                calls_of_ten=extra.get("calls_of_ten"),
            )
        )
    version = next(extra["slurm"] for b in benchmarks if "slurm" in (extra := b.extra_info))
    code = provenance.code()
    commit = (code["commit"] or "unknown")[:10] + (" + patch" if code["patch"] else "")
    config.stash[FIGURES] = Figures(provenance.cpu_name(), platform.python_version(), version, commit, tuple(figures))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the figures of a run in which nothing failed."""
    if session.config.getoption("--publish") and exitstatus == 0:
        harness.save(MEASURED, session.config.stash[FIGURES])

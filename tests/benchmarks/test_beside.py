"""How much of its speed a run keeps beside another program: one busy process, in turns with quiet seconds. Never asserted."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from statistics import median
from typing import Any

import pytest

from bench.device import environment
from bench.measure.speed.settings import Setting
from bench.measure.speed.throughput import Loop, loop
from bench.report.tables.harness import BESIDE_NET, SPINS, Beside

TURNS, SECONDS = 5, 6.0


@pytest.mark.timeout(0)
@pytest.mark.parametrize("spin", SPINS)
def test_beside(benchmark: Any, spin: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(environment.ENVIRONMENT, "GOMP_SPINCOUNT", str(spin))
    setting = Setting(BESIDE_NET, "compiled")
    with loop(setting) as training:
        training.warm_up()
        quiet, beside = benchmark.pedantic(in_turns, args=(training, setting.batch), rounds=1)
        found = Beside(BESIDE_NET, "compiled", training.facts["threads"], spin, tuple(quiet), tuple(beside))
    assert median(quiet) > 0
    benchmark.extra_info.update(asdict(found))


def in_turns(training: Loop, batch: int) -> tuple[list[float], list[float]]:
    """Images per second of each turn without and with a busy process."""
    quiet, beside = [], []
    for _ in range(TURNS):
        quiet.append(rate(training, batch))
        with busy_process():
            beside.append(rate(training, batch))
    return quiet, beside


def rate(training: Loop, batch: int) -> float:
    began, images = time.perf_counter(), 0
    while (seconds := time.perf_counter() - began) < SECONDS:
        training(1)
        images += batch
    return round(images / seconds, 1)


@contextmanager
def busy_process() -> Iterator[None]:
    """A program of another session that never waits, on as many cores as one thread has."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    try:
        yield
    finally:
        process.kill()
        process.wait()

"""Images per second: `pytest tests/throughput`, or `--table throughput`, which keeps what comes out.

Every round times the reference loop and then ours, so that a machine that slows down slows both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from bench.measure.speed import throughput
from bench.measure.speed.records import Machine, Session, Speed
from bench.measure.speed.settings import AIMED_AT, Setting
from bench.measure.speed.throughput import References

ROUNDS, ROUNDS_OF_OTHERS, ROUNDS_OF_LONG = 8, 4, 3
LONG = 2.0
"""Seconds of an iteration."""
DRAIN, DRAIN_SECONDS = 6, 0.5
"""Iterations of the reference loop before each round, or as many as fit into half a second: what its workers have loaded ahead
while ours ran is used up. Where an iteration takes longer than loading its images does, they are ahead anyway."""


@pytest.mark.timeout(1800)
def test_throughput(
    benchmark: Any,
    setting: Setting,
    machine: dict[str, Any],
    nothing_measured: Machine,
    session: Session,
    references: References,
    keep: Callable[[Machine], None],
    request: pytest.FixtureRequest,
) -> None:
    reference, reference_seconds = references.of(setting), list[float]()
    round_seconds = request.config.getoption("--seconds")
    with throughput.loop(setting) as ours:
        ours.warm_up()
        count, of_reference = (max(1, round(round_seconds / each.seconds)) for each in (ours, reference))
        drain = max(1, min(DRAIN, round(DRAIN_SECONDS / reference.seconds)))

        def first_the_reference() -> None:
            reference(drain)
            began = time.perf_counter()
            reference(of_reference)
            reference_seconds.append((time.perf_counter() - began) / of_reference)

        benchmark.pedantic(lambda: ours(count), setup=first_the_reference, rounds=rounds(setting, ours.seconds))
        peak = ours.peak_mb()
    seconds = [each / count for each in benchmark.stats.stats.data]
    benchmark.extra_info.update(
        **asdict(setting),
        iterations=count,
        reference_seconds=reference_seconds,
        peak_mb=peak,
        machine=machine,
        **ours.facts,
    )
    speed = Speed(setting, rounded(seconds), rounded(reference_seconds), ours.facts["first_seconds"], peak, session)
    keep(replace(nothing_measured, speeds=(speed,)))


def rounds(setting: Setting, seconds: float) -> int:
    """How many, for an iteration of so many seconds."""
    if setting.training and setting.precision == "fp32" and setting.net in AIMED_AT:
        return ROUNDS
    return ROUNDS_OF_LONG if seconds > LONG else ROUNDS_OF_OTHERS


def rounded(seconds: list[float]) -> tuple[float, ...]:
    return tuple(float(f"{each:.6g}") for each in seconds)

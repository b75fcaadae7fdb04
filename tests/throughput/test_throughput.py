"""Images per second: `pytest tests/throughput`, or `--table throughput`, which keeps what comes out.

Every round times the reference loop and then ours, so that a machine that slows down slows both.
"""

from __future__ import annotations

import fnmatch
import time
from dataclasses import asdict
from typing import Any

import pytest

from bench.measure import throughput
from bench.measure.throughput import How, Setting

ROUNDS = 8
ROUND_SECONDS = 2.0
DRAIN = 6
"""Iterations of the reference loop before each round: what its workers have loaded ahead while ours ran is used up."""


def settings() -> list[Setting]:
    import torch

    fast: How = "captured" if torch.cuda.is_available() else "compiled"
    nets = ["plain-20", "resnet-20-A", "resnet-56-A", "resnet-110-A"]
    found = [Setting(net, how) for net in nets for how in ("eager", fast)]  # type: ignore[arg-type]
    found += [Setting(net, fast, precision="bf16") for net in ("resnet-20-A", "resnet-56-A")]
    found += [Setting(net, "eager", training=False) for net in ("resnet-20-A", "resnet-56-A")]
    return found


@pytest.fixture(scope="session")
def machine() -> dict[str, Any]:
    """Where this is measured, and what it does at best."""
    import torch

    from bench import provenance

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(throughput.cores())
    facts = {**asdict(throughput.ceilings(device)), **provenance.collect("fp32", device)}
    return {key: facts[key] for key in ("flops", "bytes", "device", "cpu", "python", "packages", "code")}


@pytest.mark.parametrize("setting", settings(), ids=lambda setting: setting.name)
def test_throughput(benchmark: Any, setting: Setting, machine: dict[str, Any], request: pytest.FixtureRequest) -> None:
    only = request.config.getoption("--nets")
    if only and not fnmatch.fnmatch(setting.net, only):
        pytest.skip(f"--nets {only}")
    plain = Setting(setting.net, "reference", setting.training, memory_format="contiguous", batch=setting.batch)
    reference_seconds: list[float] = []
    with throughput.loop(plain) as reference, throughput.loop(setting) as ours:
        for each in (reference, ours):
            each(3)
        began = time.perf_counter()
        ours(1)
        count = max(2, round(ROUND_SECONDS / (time.perf_counter() - began)))

        def first_the_reference() -> None:
            reference(DRAIN)
            began = time.perf_counter()
            reference(count)
            reference_seconds.append((time.perf_counter() - began) / count)

        benchmark.pedantic(lambda: ours(count), setup=first_the_reference, rounds=ROUNDS)
        benchmark.extra_info.update(
            **asdict(setting),
            iterations=count,
            reference_seconds=reference_seconds,
            peak_mb=ours.peak_mb(),
            machine=machine,
            **ours.facts,
        )

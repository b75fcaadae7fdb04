"""GPUs: memory, clocks, and other processes on them, by nvidia-smi."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from bench.doctor.finding import Finding, Question

SECTION = "GPU"
FACTS = (
    "index", "uuid", "name", "memory.total", "memory.used", "clocks.sm", "clocks.max.sm", "temperature.gpu", "power.draw",
    "mig.mode.current",
)  # fmt: skip
BUSY = 0.1
"""Share of a GPU's memory in use, from which it counts as busy."""


def check_gpus(question: Question) -> Iterator[Finding]:
    """A line for each GPU; one where there is none."""
    gpus, processes = query("gpu", FACTS), query("compute-apps", ("gpu_uuid", "pid", "process_name", "used_memory"))
    if not gpus:
        yield Finding(SECTION, "GPU", "skip", "none: runs compute on the CPU")
    mine = str(os.getpid())
    for gpu in gpus:
        yield of_gpu(gpu, [each for each in processes if each["gpu_uuid"] == gpu["uuid"] and each["pid"] != mine])


def of_gpu(gpu: dict[str, str], others: list[dict[str, str]]) -> Finding:
    """The line of one GPU, given what nvidia-smi says of it and of other processes on it."""
    total, used = _number(gpu["memory.total"]), _number(gpu["memory.used"])
    found = (
        f"{gpu['name']}, {total / 1024:.0f} GiB, {used / 1024:.1f} in use, {gpu['clocks.sm']} of {gpu['clocks.max.sm']} MHz, "
        f"{gpu['temperature.gpu']} C, {gpu['power.draw']} W"
    )
    if gpu["mig.mode.current"] == "Enabled":
        found += ", MIG"
    name = f"GPU {gpu['index']}"
    if others or used > BUSY * max(total, 1):
        who = ", ".join(f"{each['process_name']} ({each['pid']})" for each in others[:3]) or "somebody"
        remedy = "choose another one with CUDA_VISIBLE_DEVICES, or wait"
        return Finding(SECTION, name, "warn", f"{found}; also used by {who}", remedy)
    return Finding(SECTION, name, "ok", found)


def query(what: str, names: tuple[str, ...]) -> list[dict[str, str]]:
    """What nvidia-smi says, a row for each GPU or process; nothing where there is no such tool."""
    words = ["nvidia-smi", f"--query-{what}={','.join(names)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(words, capture_output=True, encoding="utf-8", errors="replace", timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[word.strip() for word in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
    return [dict(zip(names, row, strict=True)) for row in rows if len(row) == len(names)]


def _number(text: str) -> float:
    return float(text) if text.replace(".", "", 1).isdigit() else 0.0

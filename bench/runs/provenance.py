"""Where a result comes from: code, packages, machine, scheduler, times."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

from bench.files import convert, read_json
from bench.runs import checkout
from bench.runs.ranges import Range, check

ROOT = Path(__file__).absolute().parents[2]
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "fvcore", "submitit")
MAX_PATCH = 1 << 20
SNAPSHOT = "code.json"
"""In a copy of the code: what `code()` said where the copy was made."""


@dataclass(frozen=True)
class Origin:
    """What pages print of a run's provenance. A file may say more, and versions differ in what."""

    commit: str | None
    patch: str | None
    kind: Literal["cpu", "cuda"]
    device: str
    torch: str
    host: str
    threads: Annotated[int, Range("threads", least=0)]
    restarts: Annotated[int, Range("restarts", least=0)]
    skipped_images: dict[Literal["train", "val"], int]
    seconds: dict[str, float]

    def __post_init__(self) -> None:
        check(self)
        if self.commit is not None and not COMMIT.fullmatch(self.commit):
            raise ValueError(f"commit is {self.commit!r:.80}; expected 7 to 64 hexadecimal digits")
        for name in ("device", "torch", "host"):
            if not PRINTED.fullmatch(text := getattr(self, name)):
                raise ValueError(f"{name} is {text!r:.80}; expected a line that a page can show")
        if any(count < 0 for count in self.skipped_images.values()):
            raise ValueError("skipped_images has a number below 0; expected how many were left out")


PRINTED = re.compile(r"[^\x00-\x1f\x7f|<>`]{1,200}")
"""Words from a file that end up on a page: one line, and nothing that a page would take for its own."""
COMMIT = re.compile("[0-9a-f]{7,64}")


def origin(facts: dict[str, Any]) -> Origin:
    """What a provenance.json says of where a run comes from. Raises ValueError, naming field and value."""

    def of(part: str) -> dict[str, Any]:
        if not isinstance(found := facts.get(part), dict):
            raise ValueError(f"{part} is {found!r:.80}; expected an object")
        return found

    code, device, packages = of("code"), of("device"), of("packages")
    flat: dict[str, Any] = {name: code[name] for name in ("commit", "patch") if name in code}
    flat |= {key: device[name] for key, name in (("kind", "kind"), ("device", "name")) if name in device}
    flat |= {name: packages[name] for name in ["torch"] if name in packages}
    flat |= {name: facts[name] for name in ("threads", "restarts") if name in facts}
    optional = {"host": "?", "skipped_images": {}, "seconds": {}}
    return convert(Origin, {**flat, **{name: facts.get(name, other) for name, other in optional.items()}})


def now() -> str:
    """UTC time to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def collect(precision: str, device: Any) -> dict[str, Any]:
    """Everything known before a run starts. `device` is a torch.device."""
    import torch

    return {
        "code": code(),
        "python": platform.python_version(),
        "packages": {name: v for name in PACKAGES if (v := _version(name))},
        "device": describe_device(device),
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "deterministic": {
            "algorithms": torch.are_deterministic_algorithms_enabled(),
            "cudnn": torch.backends.cudnn.deterministic,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "tf32_convolutions": device.type == "cuda" and torch.backends.cudnn.allow_tf32,
        },
        "platform": f"{platform.system()} {platform.machine()}",
        "host": socket.gethostname(),
        "slurm": {
            name.removeprefix("SLURM_").lower(): os.environ[name]
            for name in (
                "SLURM_JOB_ID",
                "SLURM_ARRAY_JOB_ID",
                "SLURM_ARRAY_TASK_ID",
                "SLURM_RESTART_COUNT",
                "SLURM_JOB_NODELIST",
                "SLURM_NTASKS",
            )
            if name in os.environ
        },
    }


def counted() -> dict[str, str]:
    """What an exact count stands on: commit, and the versions of what builds the net and counts."""
    commit = (code()["commit"] or "unknown")[:10] + (" + patch" if code()["patch"] else "")
    return {
        "commit": commit,
        "Python": platform.python_version(),
        **{n: _version(n) or "?" for n in ("torch", "fvcore")},
    }


def code() -> dict[str, Any]:
    """Commit of the checkout and the patch of what is not committed; both None outside a git checkout."""
    if (ROOT / SNAPSHOT).exists():
        return read_json(ROOT / SNAPSHOT)
    try:
        commit, patch = checkout.commit(ROOT), checkout.patch(ROOT)
    except checkout.Unknown:
        return {"commit": None, "patch": None}
    if len(patch) > MAX_PATCH:
        patch = f"{len(patch)} characters, too long to keep"
    return {"commit": commit, "patch": patch or None}


def unknown_commit() -> str | None:
    """Why the commit of the code is unknown, and the remedy, in one line; None where it is known."""
    return None if (ROOT / SNAPSHOT).exists() else checkout.unknown(ROOT)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cpu_name() -> str:
    """The processor's own name, with the number of cores this process may use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        name = next(
            (
                line.split(":", 1)[1].strip()
                for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
                if "model name" in line
            ),
            name,
        )
    return f"{name}, {cores()} cores"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_device(device: Any) -> dict[str, Any]:
    """Name of what computed, and driver and memory of a GPU."""
    import torch

    if device.type != "cuda":
        return {"kind": "cpu", "name": cpu_name()}
    properties = torch.cuda.get_device_properties(device)
    driver = next(iter(_nvidia_smi("driver_version")), None)
    return {
        "kind": "cuda",
        "name": properties.name,
        "memory_bytes": properties.total_memory,
        "driver": driver,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _nvidia_smi(*names: str) -> list[str]:
    """What NVIDIA's own tool says of the first GPU, a word for each name; nothing where there is no such tool."""
    query = ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(
            query, capture_output=True, encoding="utf-8", errors="replace", timeout=30, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []
    return [word.strip() for word in lines[0].split(",")] if lines else []


GPU_CLOCKS = {"clocks.sm": "GPU", "clocks.max.sm": "GPU at most", "clocks.mem": "GPU memory"}


def clocks(device: Any) -> dict[str, float]:
    """MHz of the cores and of the GPU at this moment, and at most, as far as this machine lets them be read."""
    import psutil

    found = {}
    frequency = psutil.cpu_freq()
    if frequency and frequency.current:
        found["cores"] = float(frequency.current)
        found |= {"cores at most": float(frequency.max)} if frequency.max else {}
    if device.type == "cuda":
        said = zip(GPU_CLOCKS.values(), _nvidia_smi(*GPU_CLOCKS), strict=False)
        found |= {name: float(word) for name, word in said if word.replace(".", "", 1).isdigit()}
    return found

"""All checks in their order, each of which may fail without the others."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.doctor import data_sets, gpus, paths, scheduler, software, storage
from bench.doctor.finding import FORMAT, Check, Examination, Finding, Question
from bench.files import read_as, write_json
from bench.runs import provenance

CHECKS: tuple[tuple[str, Check], ...] = (
    *((software.SECTION, check) for check in software.CHECKS),
    (gpus.SECTION, gpus.check_gpus),
    (storage.SECTION, storage.check_storage),
    (scheduler.SECTION, scheduler.check_slurm),
    (data_sets.SECTION, data_sets.check_data),
    (paths.SECTION, paths.check_paths),
)
"""Section and check, cheap ones first."""
VARIABLES = (
    "OMP_", "MKL_", "GOMP_", "KMP_", "GLIBC_", "CUDA_", "NVIDIA_VISIBLE", "CUBLAS_", "CUDNN_", "NCCL_", "TORCH",
    "PYTORCH_", "CXX", "CC", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "MALLOC_", "SLURM_JOB_ID", "SLURM_CONF",
)  # fmt: skip
"""Beginnings of variables that change how PyTorch computes; nobody's password is among them."""


def examine(question: Question, tell: Callable[[str], object] = lambda name: None) -> Examination:
    """Do all checks. `tell` hears the section that comes next, and each finding's name."""
    began, findings = time.monotonic(), list[Finding]()
    for section, check in CHECKS:
        tell(section)
        for finding in guarded(section, check, question):
            findings.append(finding)
            tell(f"{section}: {finding.name} {finding.verdict}")
    variables = {name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)}
    seconds = round(time.monotonic() - began, 1)
    return Examination(socket.gethostname(), provenance.now(), seconds, machine(), variables, tuple(findings))


def guarded(section: str, check: Check, question: Question) -> Iterator[Finding]:
    """What a check finds; a check that itself fails is a finding."""
    try:
        yield from check(question)
    except Exception as error:  # a machine may be broken in ways that nobody has thought of
        name = getattr(check, "__name__", "check").removeprefix("check_")
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        yield Finding(
            section,
            name,
            "fail",
            f"the check itself failed: {said}",
            "send this report with --json",
            section == "paths",
        )


def machine() -> dict[str, Any]:
    """Provenance, as of a run in fp32 that starts now; only what can be read without PyTorch where that is broken."""
    try:
        import torch

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return provenance.collect("fp32", device)
    except Exception as error:
        return {"cpu": provenance.cpu_name(), "error": f"{type(error).__name__}: {error}"[:300]}


def as_json(found: Examination) -> dict[str, Any]:
    """What --json writes."""
    return {"format": FORMAT, **asdict(found)}


def save(path: Path, found: Examination) -> None:
    """Write an examination as JSON. Raises UserError."""
    write_json(path, as_json(found))


def load(path: Path) -> Examination:
    """An examination that was saved. Raises UserError."""
    return read_as(Examination, path, FORMAT, "run the doctor again")

"""The code that a job runs: a copy made when it was sent, so that later edits and commits do not reach it."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from pathlib import Path

from bench.files import write_json
from bench.runs import provenance

PARTS = ("bench", "models", "slurm", "tables/published", "tables/measured", "pyproject.toml")
"""What a job reads of the checkout. Installed packages are not copied."""


def take(results: Path) -> Path:
    """Copy the code to `results/slurm/code/<hash of its content>`, unless that is there; returns the folder.

    With it goes the commit, and the patch of what was not committed, for the provenance of the runs.
    """
    files = sorted(_files())
    facts = provenance.code()
    digest = hashlib.sha256(repr(facts).encode())
    for name in files:
        digest.update(name.encode() + b"\0" + (provenance.ROOT / name).read_bytes() + b"\0")
    folder = results / "slurm" / "code" / digest.hexdigest()[:12]
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    copy = folder.parent / f".{secrets.token_hex(4)}"  # not of tempfile, whose folders nobody else may read
    copy.mkdir()
    for name in files:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(provenance.ROOT / name, copy / name)
    write_json(copy / provenance.SNAPSHOT, facts)
    try:
        os.rename(copy, folder)
    except OSError:  # somebody else was first, with the same content
        shutil.rmtree(copy)
    return folder


def _files() -> set[str]:
    found = set()
    for part in PARTS:
        path = provenance.ROOT / part
        for file in [path] if path.is_file() else path.rglob("*"):
            passing = "__pycache__" in file.parts or ".import" in file.parts or file.name.startswith(".lock")
            if file.is_file() and not passing:
                found.add(str(file.relative_to(provenance.ROOT)))
    return found

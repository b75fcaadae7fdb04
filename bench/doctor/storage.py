"""The file system of --results: locks, renames, space, quota and its clock."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.doctor.finding import Finding, Question
from bench.errors import Busy
from bench.files import as_typed, write_bytes
from bench.runs import lease

SECTION = "disk"
LEAST, ENOUGH = 200 << 20, 5 << 30
"""Bytes below which no table can be computed, and above which each CIFAR table can."""
SKEW = 60.0
"""Seconds between the clocks of machine and file system from which both are wrong for logs and builds."""


def check_storage(question: Question) -> Iterator[Finding]:
    """Try on the file system what runs do there, in a folder that is removed again."""
    results = as_typed(question.results)
    above = next(path for path in (results, *results.parents) if path.exists())
    try:
        folder = Path(tempfile.mkdtemp(prefix=".doctor-", dir=above))
    except OSError as error:
        said = f"{above} is not writable ({error.strerror})"
        yield Finding(SECTION, "results", "fail", said, "choose another folder with --results", needed=True)
        return
    try:
        yield Finding(SECTION, "results", "ok", f"{results}: writable, {file_system(above)}", needed=True)
        yield space(shutil.disk_usage(above).free)
        yield from quota(above)
        yield rename(folder)
        yield locks(folder)
        yield clock(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def file_system(path: Path) -> str:
    """Its type and mount point: `nfs4 on /home`."""
    import psutil

    real = path.resolve()
    mounts = [each for each in psutil.disk_partitions(all=True) if real.is_relative_to(each.mountpoint)]
    if not mounts:
        return "unknown file system"
    best = max(mounts, key=lambda each: len(each.mountpoint))
    return f"{best.fstype} on {best.mountpoint}"


def space(free: int) -> Finding:
    """The line on free space, in bytes."""
    found = f"{free / (1 << 30):,.1f} GiB free"
    if free < LEAST:
        return Finding(
            SECTION, "space", "fail", found, "free some, or choose another folder with --results", needed=True
        )
    if free < ENOUGH:
        return Finding(SECTION, "space", "warn", found, "free some: checkpoints of deep nets take gigabytes")
    return Finding(SECTION, "space", "ok", found)


def quota(path: Path) -> Iterator[Finding]:
    """The line on the person's quota, where the system has one for this path."""
    lustre = file_system(path).startswith("lustre")
    words = ["lfs", "quota", "-q", "-u", getpass.getuser(), str(path)] if lustre else ["quota", "-w", "-f", str(path)]
    if shutil.which(words[0]) is None:
        yield Finding(SECTION, "quota", "skip", f"no program {words[0]} on this machine")
        return
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(words, capture_output=True, encoding="utf-8", errors="replace", timeout=20)
        yield of_quota(done.stdout)


def of_quota(said: str) -> Finding:
    """The line on a quota, of lines `place used soft hard ...` in kilobytes."""
    for line in said.splitlines():
        numbers = [word.rstrip("*") for word in line.split()[1:4]]
        if len(numbers) == 3 and all(word.isdigit() for word in numbers):
            used, soft, hard = (int(word) << 10 for word in numbers)
            if limit := hard or soft:
                of = f"{used / (1 << 30):,.1f} of {limit / (1 << 30):,.1f} GiB used"
                left = space(max(0, limit - used))
                return Finding(SECTION, "quota", left.verdict, of, left.remedy, left.needed)
    return Finding(SECTION, "quota", "ok", "no limit for this folder")


def rename(folder: Path) -> Finding:
    """The line on whole files: a file is put in the place of another one, and read back."""
    path, began = folder / "whole", time.monotonic()
    for text in (b"old", b"new" * 100_000):
        write_bytes(path, text)
    seconds = time.monotonic() - began
    if path.read_bytes() != b"new" * 100_000 or len(list(folder.iterdir())) != 1:
        remedy = "choose a local folder, or another file system, with --results"
        return Finding(SECTION, "rename", "fail", "a renamed file is not what was written", remedy, needed=True)
    return Finding(
        SECTION, "rename", "ok", f"whole files replace old ones, {500 * seconds:.1f} ms each", seconds=seconds
    )


def locks(folder: Path) -> Finding:
    """The line on leases: one can be taken, not twice, and again after it was released."""
    base, twice = folder / ".lock", False
    with lease.held(base, lambda holder: "held"), contextlib.suppress(Busy), lease.held(base, lambda holder: "held"):
        twice = True
    with lease.held(base, lambda holder: "held") as again:
        again.check()
    if twice:
        remedy = "run one command at a time in this folder, or choose another with --results"
        return Finding(SECTION, "locks", "fail", "two processes could work on one run", remedy, needed=True)
    (folder / "one").touch()
    try:
        os.link(folder / "one", folder / "two")
        how = "by hard links"
    except OSError:
        how = "by exclusive creation: no hard links here"
    return Finding(SECTION, "locks", "ok", f"one process holds a run at a time, {how}", needed=True)


def clock(folder: Path) -> Finding:
    """The line on the clocks of machine and file system."""
    (folder / "now").touch()
    apart = abs(time.time() - (folder / "now").stat().st_mtime)
    if apart > SKEW:
        remedy = "synchronise the clocks (NTP): times in logs are wrong"
        return Finding(SECTION, "clock", "warn", f"{apart:.0f} s between machine and file system", remedy)
    return Finding(SECTION, "clock", "ok", f"{apart:.1f} s between machine and file system")

"""Slurm, where the machine has it: version, partitions, accounting."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from bench.doctor.finding import Finding, Question
from slurm import site
from slurm.programs import NoSlurm, call
from slurm.site import Site

SECTION = "Slurm"


def check_slurm(question: Question) -> Iterator[Finding]:
    """What the cluster offers; one line where there is none."""
    if shutil.which("sinfo") is None:
        yield Finding(SECTION, "Slurm", "skip", "no sinfo on this machine's path")
        return
    try:
        version, found = call("sinfo", "--version").strip(), site.ask()
    except NoSlurm as error:
        remedy = "ignore this without a cluster; else look at SLURM_CONF, or ask its administrator"
        yield Finding(SECTION, "Slurm", "warn", f"does not answer: {error}", remedy)
        return
    yield Finding(
        SECTION, "Slurm", "ok", f"{version}, cluster {found.cluster}, arrays of {found.max_array_size:,} tasks"
    )
    yield from of_site(found)


def of_site(found: Site) -> Iterator[Finding]:
    """The lines on partitions and accounting."""
    default = next((each for each in found.partitions if each.default), None)
    names = ", ".join(each.name for each in found.partitions) or "none"
    gpus = ", ".join(each.name for each in found.partitions if any(kind.gpus for kind in each.kinds)) or "none"
    if default is None:
        said = f"no default; there are {names}"
        yield Finding(SECTION, "partition", "warn", said, "give --partition NAME, or write it into a profile")
    else:
        said = f"default {default.name}; with GPUs: {gpus}"
        verdict, remedy = ("ok", "") if default.up else ("warn", "it is down: give --partition NAME")
        yield Finding(SECTION, "partition", "ok" if verdict == "ok" else "warn", said, remedy)
    if found.accounting:
        yield Finding(SECTION, "accounting", "ok", "sacct answers for jobs that have ended")
    else:
        yield Finding(SECTION, "accounting", "ok", "none: the state of ended jobs comes from their own files")

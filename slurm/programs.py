"""Slurm's programs, each run in an environment without the person's own settings of Slurm."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

SECONDS = 30

SETTINGS = (
    "SLURM", "SBATCH_", "SALLOC_", "SRUN_", "SQUEUE_", "SINFO_", "SACCT_", "SACCTMGR_", "SCONTROL_", "SCANCEL_",
    "SPANK_", "_SLURM_",
)  # fmt: skip
"""Beginnings of the variables with which a shell changes what Slurm's programs do, or in which a job is described.

`SLURM` has those of slurmd too, such as SLURMD_NODENAME. `_SLURM_` and `SPANK_` are options of a site's plug-ins.
"""
RENDEZVOUS = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
"""Where torch.distributed meets: of the job in which the command was given, and never of the jobs that it sends."""
KEPT = frozenset(
    {
        "SLURM_CONF",  # the file that names the controller
        "SLURM_CONF_SERVER",  # the host that hands out that file, at sites without one
        "SLURM_JWT",  # a person's token, where Slurm asks for one
        "SLURM_SACK_KEY",  # a key in place of munge's, since 23.11
        "SLURM_SACK_JWKS",
    }
)
"""What says where the cluster is, and who asks.

SLURM_CLUSTERS is not among them: it sends a job to one of several clusters, where the runs are not looked for.
"""


class NoSlurm(Exception):
    """There is no Slurm on this machine, it does not answer, or it refuses; the text says which."""


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment (of this process, unless one is given) without any setting of Slurm but those in KEPT."""
    found = os.environ if given is None else given
    return {name: value for name, value in found.items() if not _is_setting(name)}


def _is_setting(name: str) -> bool:
    return name not in KEPT and (name.startswith(SETTINGS) or name in RENDEZVOUS)


@contextmanager
def in_clean_environment() -> Iterator[None]:
    """Give this process the environment above for a while: submitit runs sbatch, and takes no environment for it."""
    before = dict(os.environ)
    for name in set(before) - set(environment()):
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


def call(program: str, *arguments: str, stdin: str | None = None) -> str:
    """What one of Slurm's commands prints. Raises NoSlurm where it is missing, fails, or does not answer in time."""
    if shutil.which(program) is None:
        raise NoSlurm(f"there is no {program} on this machine's path")
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=SECONDS, env=environment(), input=stdin
        )
    except subprocess.TimeoutExpired as error:
        raise NoSlurm(f"{program} did not answer within {SECONDS} s") from error
    if done.returncode:
        raise NoSlurm(one_line(done.stderr or done.stdout) or f"{program} ended with {done.returncode}")
    return done.stdout


def one_line(text: str) -> str:
    """What a program of Slurm's said, in one line."""
    return " ".join(text.split())

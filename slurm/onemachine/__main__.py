"""`python -m slurm.onemachine up` and `python -m slurm.onemachine down`."""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from slurm.onemachine.cluster import ClusterError, OneMachine, down, up


def start(
    folder: Path = Path(".slurm"),
    nodes: int = 2,
    cpus: int = 2,
    memory_mb: int = 8_000,
    max_array_size: int = 1001,
    accounting: bool = False,
) -> None:
    """Bring a Slurm up in its own folder and on its own ports.

    Args:
        folder: Where everything of it lies; made anew.
        nodes: Number of nodes, each a slurmd of its own.
        cpus: Cores that each node claims to have.
        memory_mb: Memory that each node claims to have.
        max_array_size: The site's limit on job arrays.
        accounting: Start slurmdbd and MariaDB too.
    """
    conf = up(OneMachine(folder.resolve(), nodes, cpus, memory_mb, max_array_size, accounting))
    print(f"export SLURM_CONF={conf}")


def stop(folder: Path = Path(".slurm")) -> None:
    """End every job and daemon of the Slurm in `folder`, and delete the folder."""
    down(folder.resolve())


if __name__ == "__main__":
    try:
        tyro.extras.subcommand_cli_from_dict({"up": start, "down": stop}, prog="python -m slurm.onemachine")
    except ClusterError as error:
        sys.exit(f"slurm.onemachine: {error}")

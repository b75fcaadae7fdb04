"""`python -m slurm.onemachine up` and `python -m slurm.onemachine down`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slurm.onemachine.cluster import ClusterError, OneMachine, down, up


def parser() -> argparse.ArgumentParser:
    """The commands `up` and `down`, with their options."""
    main = argparse.ArgumentParser(
        "python -m slurm.onemachine", formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    commands = main.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="a Slurm in its own folder and on its own ports")
    stop = commands.add_parser("down", help="end of every job and daemon of it, and of its folder")
    for command in (start, stop):
        command.formatter_class = main.formatter_class
        command.add_argument("--folder", type=Path, default=Path(".slurm"), help="where everything of it lies")
    start.add_argument("--nodes", type=int, default=2, help="number of nodes, each a slurmd of its own")
    start.add_argument("--cpus", type=int, default=2, help="cores that each node claims to have")
    start.add_argument("--memory-mb", type=int, default=8_000, help="memory that each node claims to have")
    start.add_argument("--max-array-size", type=int, default=1001, help="the site's limit on job arrays")
    start.add_argument("--accounting", action="store_true", help="slurmdbd and MariaDB too")
    return main


def run(arguments: argparse.Namespace) -> None:
    """Bring a Slurm up, or down. Raises ClusterError."""
    folder = arguments.folder.resolve()
    if arguments.command == "down":
        down(folder)
        return
    sizes = (arguments.nodes, arguments.cpus, arguments.memory_mb, arguments.max_array_size)
    print(f"export SLURM_CONF={up(OneMachine(folder, *sizes, arguments.accounting))}")


if __name__ == "__main__":
    try:
        run(parser().parse_args())
    except ClusterError as error:
        sys.exit(f"slurm.onemachine: {error}")

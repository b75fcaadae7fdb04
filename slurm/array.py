"""One job array out of a list of calls, sent through submitit."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class NoSlurm(Exception):
    """There is no sbatch on this machine, or it refused the job."""


def submit(
    function: Callable[..., object],
    calls: Sequence[tuple[Any, ...]],
    folder: Path,
    *,
    name: str,
    root: Path,
    minutes: int,
    cpus: int,
    parallel: int = 1000,
) -> list[str]:
    """Send `function(*call)` for each call as the tasks of one array; returns the job id of each task.

    `function` must be importable: it is pickled by name. `root` goes first on the tasks' PYTHONPATH, so that they import
    what was submitted from any folder. Logs and pickles go to a new folder below `folder`, since Slurm's job ids start
    again when a cluster is rebuilt. Partition, account, GPUs and time can be set through sbatch's own SBATCH_* variables.
    Raises NoSlurm where sbatch is missing or refuses.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    if shutil.which("sbatch") is None:
        raise NoSlurm("there is no sbatch on this machine's path")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    executor = submitit.SlurmExecutor(folder=folder / stamp)
    executor.update_parameters(
        job_name=name,
        time=minutes,
        cpus_per_task=cpus,
        array_parallelism=min(parallel, len(calls)),
        setup=[f"export PYTHONPATH={shlex.quote(str(root))}"],
    )
    try:
        if len(calls) == 1:  # a list of one is no array
            jobs = [executor.submit(function, *calls[0])]
        else:
            jobs = executor.map_array(function, *zip(*calls, strict=True))
    except FailedJobError as error:
        raise NoSlurm(" ".join(str(error).split())) from error
    return [job.job_id for job in jobs]

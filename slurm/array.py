"""One job array out of a list of calls, sent through submitit."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slurm.profile import ClusterProfile
from slurm.site import NoSlurm


@dataclass(frozen=True)
class Array:
    """Calls of one function, each a task of an array.

    `function` must be importable: it is pickled by name. `root` goes first on the tasks' PYTHONPATH, so that they import what
    was submitted from any folder. Logs and pickles go to `folder`, which must be new: job ids start again when a cluster
    is rebuilt. `comment` tells the array from every other in the queue.
    """

    name: str
    function: Callable[..., object]
    calls: Sequence[tuple[Any, ...]]
    folder: Path
    root: Path
    profile: ClusterProfile
    comment: str
    after: Sequence[str] = ()
    """Job ids that must have ended, however they ended."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of every task, set before the profile's own lines."""


def parameters(array: Array) -> dict[str, Any]:
    """What submitit's `update_parameters` takes."""
    profile = array.profile
    environment = {"PYTHONPATH": str(array.root), **array.environment}
    more: dict[str, Any] = {"chdir": str(array.root)}
    more["requeue" if profile.preemption == "requeue" else "no-requeue"] = True
    if array.after:
        more["dependency"] = "afterany:" + ":".join(array.after)
    chosen = {
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "gpus_per_node": profile.gpus * profile.tasks_per_node or None,
    }
    return {
        "job_name": array.name,
        "comment": array.comment,
        "time": profile.minutes,
        "nodes": profile.nodes,
        "ntasks_per_node": profile.tasks_per_node,
        "cpus_per_task": profile.cpus,
        "mem": profile.mem,
        "array_parallelism": profile.parallel,
        "signal_delay_s": profile.signal_seconds,
        "setup": [f"export {name}={shlex.quote(value)}" for name, value in environment.items()] + list(profile.setup),
        # since Slurm 22.05 srun does not take the cores of a process from sbatch
        "srun_args": [f"--cpus-per-task={profile.cpus}"],
        "additional_parameters": more,
        **{key: value for key, value in chosen.items() if value is not None},
    }


def script(array: Array) -> str:
    """The sbatch script, as submitit would send it; needs no Slurm on this machine."""
    import sys

    from submitit.slurm.slurm import _make_sbatch_string  # submitit has no public preview

    command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(array.folder))}"
    count = len(array.calls) if len(array.calls) > 1 else None
    text: str = _make_sbatch_string(command, array.folder, map_count=count, **parameters(array))
    return text


def directives(array: Array) -> list[str]:
    """The script's #SBATCH options, but for what every script has."""
    plain = ("--error", "--output", "--open-mode", "--wckey", "--chdir", "--comment")
    options = [line.removeprefix("#SBATCH ") for line in script(array).splitlines() if line.startswith("#SBATCH")]
    return [option for option in options if not option.startswith(plain)]


def submit(array: Array) -> str:
    """Send the array; returns its job id. Raises NoSlurm where sbatch is missing or refuses.

    A task that is requeued runs the same call again: nothing of submitit's own checkpointing is used, so that no count of
    time-outs can run out, and a kill at any moment leaves the call as it was.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    try:
        executor = submitit.SlurmExecutor(folder=array.folder)
    except RuntimeError as error:
        raise NoSlurm("there is no srun on this machine's path") from error
    executor.update_parameters(**parameters(array))
    try:
        if len(array.calls) == 1:  # a list of one is no array
            jobs = [executor.submit(array.function, *array.calls[0])]
        else:
            jobs = executor.map_array(array.function, *zip(*array.calls, strict=True))
    except FailedJobError as error:
        raise NoSlurm(" ".join(str(error).split())) from error
    job_id: str = jobs[0].job_id.split("_")[0]
    return job_id

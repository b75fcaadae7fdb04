"""One job array out of a list of calls, sent through submitit."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slurm.profile import ClusterProfile
from slurm.programs import NoSlurm, call, in_clean_environment, one_line
from slurm.sbatch_options import Value

PASSING = ("Requested nodes are busy", "Required node not available")
"""What `sbatch --test-only` says of jobs that sbatch takes, and that wait."""


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
    more: dict[str, Any] = {"chdir": str(array.root)}
    more["requeue" if profile.preemption == "requeue" else "no-requeue"] = True
    if array.after:
        more["dependency"] = "afterany:" + ":".join(array.after)
    ours = {
        "job_name": array.name,
        "comment": array.comment,
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "gpus_per_node": profile.gpus_per_node,
        "time": profile.minutes,
        "nodes": profile.nodes,
        "ntasks_per_node": profile.tasks_per_node,
        "cpus_per_task": profile.cpus,
        "mem": profile.mem or None,
        "wckey": None,  # submitit's own would be refused where a site knows its wckeys
        "array_parallelism": profile.parallel,
        "signal_delay_s": profile.signal_seconds,
        "setup": _setup(array),
        # Since Slurm 22.05 srun does not take the cores of a process from sbatch. With `--export=NONE` for sbatch it would
        # keep from Python what the lines above it have set.
        "srun_args": [f"--cpus-per-task={profile.cpus}", "--export=ALL"],
    }
    for option, value in profile.sbatch:
        _add(option, value, ours, more)
    return {**ours, "additional_parameters": more}


def _setup(array: Array) -> list[str]:
    """Shell lines before a task. On PYTHONPATH the code that was sent comes first, then what modules and the person added."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in array.environment.items()]
    person = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if person:
        lines.append(f"export PYTHONPATH={shlex.quote(os.pathsep.join(person))}")
    lines += array.profile.setup
    return [*lines, f"export PYTHONPATH={shlex.quote(str(array.root))}${{PYTHONPATH:+:$PYTHONPATH}}"]


def _add(option: str, value: Value, ours: dict[str, Any], more: dict[str, Any]) -> None:
    """Put an option of the profile in the place of ours, or take ours out where it is empty."""
    name = option.replace("-", "_")
    if value is False or value == "":
        if option not in ("comment", "dependency"):
            more.pop(option, None)
            ours |= {name: None} if name in ours else {}
    elif option == "comment":  # tasks are found by the last word of it
        ours["comment"] = f"{value} {ours['comment']}"
    elif option == "dependency":
        more[option] = ",".join(filter(None, [more.get(option), str(value)]))
    else:
        more[name if name in ours else option] = value


def script(array: Array) -> str:
    """The sbatch script, as submitit would send it; needs no Slurm on this machine."""
    import sys

    from submitit.slurm.slurm import _make_sbatch_string  # submitit has no public preview

    python = array.profile.python or shlex.quote(sys.executable)
    command = f"{python} -u -m submitit.core._submit {shlex.quote(str(array.folder))}"
    count = len(array.calls) if len(array.calls) > 1 else None
    text: str = _make_sbatch_string(command, array.folder, map_count=count, **parameters(array))
    return text


def directives(array: Array) -> list[str]:
    """The script's #SBATCH options, but for what every script has."""
    plain = ("--error", "--output", "--open-mode", "--chdir")
    asked = {f"--{option}" for option, _ in array.profile.sbatch}
    options = [line.removeprefix("#SBATCH ") for line in script(array).splitlines() if line.startswith("#SBATCH")]
    options = [option for option in options if "--comment" in asked or not option.startswith("--comment")]
    return [option for option in options if not option.startswith(plain)]


def refusal(array: Array) -> str | None:
    """What sbatch has against the array, asked with the same options; None where it would take it, even if only later.

    Raises NoSlurm where there is no sbatch.
    """
    if shutil.which("sbatch") is None:
        raise NoSlurm("there is no sbatch on this machine's path")
    try:
        call("sbatch", "--test-only", stdin=script(array))
    except NoSlurm as error:
        text = re.sub(r"(sbatch: |error: |allocation failure: )+", "", str(error))
        return None if text.startswith(PASSING) else text
    return None


def submit(array: Array) -> str:
    """Send the array; returns its job id. Raises NoSlurm where sbatch is missing or refuses.

    A task that is requeued runs the same call again: nothing of submitit's own checkpointing is used, so that no count of
    time-outs can run out, and a kill at any moment leaves the call as it was.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    try:
        executor = submitit.SlurmExecutor(folder=array.folder, python=array.profile.python)
    except RuntimeError as error:
        raise NoSlurm("there is no srun on this machine's path") from error
    executor.update_parameters(**parameters(array))
    try:
        with in_clean_environment(), contextlib.redirect_stderr(io.StringIO()):  # what sbatch says is in the error too
            if len(array.calls) == 1:  # a list of one is no array
                jobs = [executor.submit(array.function, *array.calls[0])]
            else:
                jobs = executor.map_array(array.function, *zip(*array.calls, strict=True))
    except FailedJobError as error:
        raise NoSlurm(one_line(str(error))) from error
    job_id: str = jobs[0].job_id.split("_")[0]
    return job_id

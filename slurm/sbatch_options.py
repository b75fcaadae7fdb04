"""Options of sbatch that a profile or a command line gives by sbatch's own names: `[sbatch]` and `--sbatch KEY=VALUE`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

Value = str | bool
"""True is an option without a value, such as --exclusive; False and "" take out an option that is ours."""


class ProfileError(ValueError):
    """A profile that no task can be sent with; the text names key, value and what would work."""


OF_FIELDS = {
    "partition": "partition", "account": "account", "qos": "qos", "constraint": "constraint", "nodes": "nodes",
    "ntasks-per-node": "tasks_per_node", "cpus-per-task": "cpus", "mem": "mem", "time": "time",
}  # fmt: skip
"""Options that are keys of a profile: the harness counts with them, and so they set the key."""

OURS = {
    "array": "runs are grouped by the harness; see --pack and --parallel",
    "output": "logs lie in the results folder",
    "error": "logs lie in the results folder",
    "open-mode": "logs lie in the results folder",
    "chdir": "tasks start in the copy of the code",
    "signal": "use the key signal_seconds",
    "requeue": "use the key preemption",
    "no-requeue": "use the key preemption",
    "ntasks": "use the keys nodes and tasks_per_node",
    "wrap": "use the key setup",
    "clusters": "set SLURM_CONF to the other cluster's file",
    "cluster": "set SLURM_CONF to the other cluster's file",
    "parsable": "its answer is not read",
    "quiet": "its answer is not read",
    "test-only": "use --dry-run",
    "wait": "use --wait of run.py",
}
"""Options without which the harness would lose its jobs, and what to use for them."""

AT_THE_TOP = frozenset(
    {
        "begin", "comment", "cpus_per_gpu", "exclude", "exclusive", "export", "gpu_bind", "gpus_per_node", "gpus_per_task",
        "gres", "gres_flags", "hint", "licenses", "mail_type", "mail_user", "mem_per_cpu", "mem_per_gpu", "nice", "nodelist",
        "prefer", "priority", "reservation", "switches", "threads_per_core", "tmp", "tres_per_node", "tres_per_task", "wckey",
    }
)  # fmt: skip
"""Options that a profile may give beside its own keys; others stand in its table [sbatch]."""

MEMORY = ("mem-per-cpu", "mem-per-gpu")
GPUS = (
    "gpus",
    "gpus-per-node",
    "gpus-per-task",
    "gpus-per-socket",
    "gres",
    "tres-per-node",
    "tres-per-task",
    "tres-per-job",
)
WHO_AND_WHERE = (
    "reservation",
    "wckey",
    "comment",
    "mail-type",
    "mail-user",
    "nice",
    "priority",
    "begin",
    "export",
    "job-name",
)
"""Options that the report takes over from the arrays: all others are about resources, of which it needs few."""


def parse(text: str) -> tuple[str, Value]:
    """An option of a command line: `gres=gpu:a100:1`, `exclusive`, `mem=`. Raises ProfileError."""
    key, equals, value = text.partition("=")
    name = _name(key)
    return name, _value(name, value if equals else True)


def options(table: Mapping[str, Any]) -> dict[str, Value]:
    """The options of a table, by sbatch's names: `mem_per_cpu` is mem-per-cpu. Raises ProfileError."""
    if not isinstance(table, Mapping):
        raise ProfileError(
            f'sbatch {table!r}: must be a table of sbatch\'s options, such as [sbatch] and reservation = "x"'
        )
    return {name: _value(name, value) for key, value in table.items() for name in [_name(key)]}


def _name(key: str) -> str:
    name = key.removeprefix("--").replace("_", "-")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]+", name):
        raise ProfileError(f"{key!r}: must be a long option of sbatch, as KEY=VALUE: reservation=course")
    if name in OURS:
        raise ProfileError(f"{name} of sbatch is set by the harness: {OURS[name]}")
    return name


def _value(name: str, value: object) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float | str) and str(value).isprintable():
        return str(value)
    raise ProfileError(f"{name} {value!r}: must be one line of text, a number, true or false")


def layer(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a profile's file or a command line; those that are sbatch's own are gathered in `sbatch`.

    `gpus = "a100:2"` becomes `gpus` and `gpu_type`. Raises ProfileError.
    """
    own = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in values.items()
        if key != "sbatch" and key not in AT_THE_TOP
    }
    top = {key: value for key, value in values.items() if key in AT_THE_TOP}
    free = {**options(top), **options(values.get("sbatch", {}))}
    if isinstance(gpus := own.get("gpus"), str):
        own |= typed_gpus(gpus)
    for name, field in OF_FIELDS.items():
        if name in free:
            own[field] = _of_field(field, free.pop(name))
    return {**own, "sbatch": free}


def typed_gpus(text: str) -> dict[str, Any]:
    """The keys of `2`, `a100` (one of them) or `a100:2`. Raises ProfileError."""
    match = re.fullmatch(
        r"(?:(?P<type>[\w.-]*[A-Za-z][\w.-]*)(?::(?P<of_type>\d{1,4}))?|(?P<number>\d{1,4}))", text, re.ASCII
    )
    if not match:
        raise ProfileError(f"gpus {text!r}: must be a whole number, or TYPE:NUMBER such as a100:1")
    if match["type"] is None:
        return {"gpus": int(match["number"])}
    return {"gpus": int(match["of_type"] or 1), "gpu_type": match["type"]}


def _of_field(field: str, value: Value) -> object:
    """The value of a profile's key as the option has it; without one it is the site's."""
    if field in ("nodes", "tasks_per_node", "cpus"):
        if isinstance(value, str) and re.fullmatch(r"\d{1,6}", value, re.ASCII):
            return int(value)
        raise ProfileError(f"{field} {value!r}: must be a whole number")
    if value is True:
        raise ProfileError(f"{field}: value is missing")
    return value or ("" if field == "mem" else None)


def merge(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The keys of all layers; later ones win, over another spelling of the same resource too.

    `--mem 4G` takes the place of a file's mem-per-cpu, and a file's mem-per-cpu that of everybody's mem.
    """
    values: dict[str, Any] = {}
    free: dict[str, Value] = {}
    for one in layers:
        if one.get("mem"):
            free = {name: value for name, value in free.items() if name not in MEMORY}
        if "gpus" in one:
            free = {name: value for name, value in free.items() if not asks_for_gpus(name, value)}
        values |= {key: value for key, value in one.items() if key != "sbatch"}
        free |= one["sbatch"]
        if any(one["sbatch"].get(name) for name in MEMORY):
            values["mem"] = ""
    return {**values, "sbatch": tuple(sorted(free.items()))}


def asks_for_gpus(name: str, value: Value) -> bool:
    """Whether the option takes the place of `--gpus-per-node`; a gres may be something else than a GPU."""
    return name in GPUS and ("gpu" in name or "gpu" in str(value))

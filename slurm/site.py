"""What a cluster offers: asked from the cluster, once a launch, however many runs there are."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slurm.profile import ClusterProfile, ProfileError, megabytes, minutes

SECONDS = 30
MAX_ARRAY_SIZE = 1001
"""Slurm's own default."""


class NoSlurm(Exception):
    """There is no Slurm on this machine, it does not answer, or it refuses; the text says which."""


@dataclass(frozen=True)
class NodeKind:
    """Equal nodes of a partition."""

    cpus: int
    memory_mb: int
    gpus: int
    features: frozenset[str]


@dataclass(frozen=True)
class Partition:
    name: str
    default: bool
    up: bool
    max_minutes: int | None
    """None: no limit."""
    kinds: tuple[NodeKind, ...]


@dataclass(frozen=True)
class Site:
    cluster: str
    max_array_size: int
    """The number of tasks that one array may have."""
    accounting: bool
    """Whether sacct can be asked about jobs that squeue has forgotten."""
    partitions: tuple[Partition, ...]


def ask() -> Site:
    """Ask the cluster: two calls. Raises NoSlurm."""
    config = dict(re.findall(r"^(\w+)\s*= (.*?)\s*$", call("scontrol", "show", "config"), re.MULTILINE))
    lines = call("sinfo", "--noheader", "--exact", "--format=%P|%a|%l|%c|%m|%G|%f").splitlines()
    return Site(
        cluster=config.get("ClusterName", "?"),
        max_array_size=int(config.get("MaxArraySize", MAX_ARRAY_SIZE)),
        accounting=has_accounting(config.get("AccountingStorageType", "")),
        partitions=tuple(read_partitions(lines)),
    )


def has_accounting(storage: str) -> bool:
    """Whether AccountingStorageType names a database; for none 22.05 says `accounting_storage/none`, 24.11 `(null)`."""
    return storage.partition("/")[2] not in ("", "none")


def call(program: str, *arguments: str) -> str:
    """What one of Slurm's commands prints. Raises NoSlurm where it is missing, fails, or does not answer in time."""
    if shutil.which(program) is None:
        raise NoSlurm(f"there is no {program} on this machine's path")
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise NoSlurm(f"{program} did not answer within {SECONDS} s") from error
    if done.returncode:
        raise NoSlurm(" ".join((done.stderr or done.stdout).split()) or f"{program} ended with {done.returncode}")
    return done.stdout


def read_partitions(lines: Iterable[str]) -> list[Partition]:
    """Partitions out of sinfo's lines `name|avail|limit|cpus|memory|gres|features`, one for each kind of node."""
    kinds: dict[str, list[NodeKind]] = {}
    head: dict[str, tuple[bool, bool, int | None]] = {}
    for line in lines:
        name, avail, limit, cpus, memory, gres, features = line.split("|")
        default, name = name.endswith("*"), name.rstrip("*")
        head[name] = default, avail == "up", None if limit in ("infinite", "n/a") else minutes(limit)
        kind = NodeKind(_number(cpus), _number(memory), gpus_of(gres), frozenset(features.split(",")))
        kinds.setdefault(name, []).append(kind)
    return [Partition(name, *head[name], tuple(found)) for name, found in kinds.items()]


def gpus_of(gres: str) -> int:
    """GPUs of a node by its generic resources: `gpu:a100:4(S:0-1),gpu:t4:1` has 5."""
    return sum(int(n or 1) for n in re.findall(r"\bgpu(?::[A-Za-z][^:(,]*)?(?::(\d+))?", gres))


def _number(text: str) -> int:
    return int(re.match(r"\d+", text)[0])  # type: ignore[index]  # `8+` where nodes of a line differ


def check(profile: ClusterProfile, site: Site) -> None:
    """Raise ProfileError, naming value and choices, where no node of the partition could ever run such a task."""
    partition = _partition(profile, site)
    if not partition.up:
        raise ProfileError(f"partition {partition.name} is down: choose from {_names(site.partitions)}")
    _check_time(profile, partition)
    _check_nodes(profile, partition, site)
    _check_account(profile, site)


def _check_time(profile: ClusterProfile, partition: Partition) -> None:
    if partition.max_minutes is not None and profile.minutes > partition.max_minutes:
        limit = f"{partition.max_minutes // 60}:{partition.max_minutes % 60:02d}:00"
        raise ProfileError(
            f"time {profile.time} is above the limit of partition {partition.name}, {limit}: give --time {limit} or less "
            "(a run that needs longer is requeued and goes on)"
        )


def _check_nodes(profile: ClusterProfile, partition: Partition, site: Site) -> None:
    """Raise ProfileError where no node of the partition has what a task takes of one."""
    kinds = _with_constraint(profile, partition)
    needs = {
        "gpus": (profile.gpus * profile.tasks_per_node, max(kind.gpus for kind in kinds)),
        "cpus": (profile.cpus * profile.tasks_per_node, max(kind.cpus for kind in kinds)),
        "mem": (megabytes(profile.mem), max(kind.memory_mb for kind in kinds)),
    }
    for key, (wanted, offered) in needs.items():
        if wanted > offered:
            unit = " MB" if key == "mem" else ""
            with_gpus = [p for p in site.partitions if any(kind.gpus for kind in p.kinds)]
            other = f"; partitions with GPUs: {_names(with_gpus)}" if key == "gpus" and with_gpus else ""
            raise ProfileError(
                f"{key} {getattr(profile, key)} makes {wanted}{unit} on a node; "
                f"nodes of partition {partition.name} have {offered}{unit} at most{other}"
            )


def _with_constraint(profile: ClusterProfile, partition: Partition) -> tuple[NodeKind, ...]:
    """The kinds of node that have the feature that is asked for; all of them where it is an expression of several."""
    if profile.constraint is None or not re.fullmatch(r"[\w.-]+", profile.constraint):
        return partition.kinds
    kinds = tuple(kind for kind in partition.kinds if profile.constraint in kind.features)
    if not kinds:
        offered = sorted(set().union(*(kind.features for kind in partition.kinds)) - {"(null)"})
        raise ProfileError(
            f"constraint {profile.constraint} is no feature of partition {partition.name}: "
            f"it has {', '.join(offered) or 'none'}"
        )
    return kinds


def _partition(profile: ClusterProfile, site: Site) -> Partition:
    for partition in site.partitions:
        if partition.name == profile.partition or (profile.partition is None and partition.default):
            return partition
    if profile.partition is None:
        raise ProfileError(f"this cluster has no default partition: choose from {_names(site.partitions)}")
    raise ProfileError(f"partition {profile.partition} is not on {site.cluster}: choose from {_names(site.partitions)}")


def _check_account(profile: ClusterProfile, site: Site) -> None:
    """Where there is accounting, an account or QOS that the user does not have is named before anything is sent."""
    if not site.accounting or (profile.account is None and profile.qos is None):
        return
    try:
        rows = [
            line.split("|")
            for line in call(
                "sacctmgr", "--noheader", "--parsable2", "show", "associations",
                f"user={getpass.getuser()}", "format=account,qos",
            ).splitlines()
        ]  # fmt: skip
    except NoSlurm:
        return  # sbatch will judge
    accounts, qos = {row[0] for row in rows}, {name for row in rows for name in row[1].split(",") if name}
    for key, value, choices in (("account", profile.account, accounts), ("qos", profile.qos, qos)):
        if value is not None and choices and value not in choices:
            raise ProfileError(
                f"{key} {value} is not yours on {site.cluster}: choose from {', '.join(sorted(choices))}"
            )


def _names(partitions: Sequence[Partition]) -> str:
    return ", ".join(partition.name for partition in partitions)

"""What a cluster offers: asked from the cluster, once a launch, however many runs there are."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slurm.profile import ClusterProfile, megabytes, minutes
from slurm.programs import NoSlurm, call
from slurm.sbatch_options import ProfileError

MAX_ARRAY_SIZE = 1001
"""Slurm's own default."""


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
    """The number of tasks that one array may have; 1 where the site has switched arrays off."""
    accounting: bool
    """Whether sacct can be asked about jobs that squeue has forgotten."""
    partitions: tuple[Partition, ...]


def ask() -> Site:
    """Ask the cluster: two calls. Raises NoSlurm."""
    config = dict(re.findall(r"^(\w+)\s*= (.*?)\s*$", call("scontrol", "show", "config"), re.MULTILINE))
    lines = call("sinfo", "--noheader", "--exact", "--format=%P|%a|%l|%c|%m|%G|%f").splitlines()
    return Site(
        cluster=config.get("ClusterName", "?"),
        max_array_size=max(1, int(config.get("MaxArraySize", MAX_ARRAY_SIZE))),
        accounting=has_accounting(config.get("AccountingStorageType", "")),
        partitions=tuple(read_partitions(lines)),
    )


def has_accounting(storage: str) -> bool:
    """Whether AccountingStorageType names a database; for none 22.05 says `accounting_storage/none`, 24.11 `(null)`."""
    return storage.partition("/")[2] not in ("", "none")


def read_partitions(lines: Iterable[str]) -> list[Partition]:
    """Partitions out of sinfo's lines `name|avail|limit|cpus|memory|gres|features`, one for each kind of node."""
    kinds: dict[str, list[NodeKind]] = {}
    head: dict[str, tuple[bool, bool, int | None]] = {}
    for line in lines:
        name, avail, limit, cpus, memory, gres, features = line.split("|")
        default, name = name.endswith("*"), name.rstrip("*")
        head[name] = default, avail == "up", _limit(limit)
        kind = NodeKind(_number(cpus), _number(memory), gpus_of(gres), frozenset(features.split(",")))
        kinds.setdefault(name, []).append(kind)
    return [Partition(name, *head[name], tuple(found)) for name, found in kinds.items()]


def gpus_of(gres: str) -> int:
    """GPUs of a node by its generic resources: `gpu:2080ti:4(S:0-1),gpu:1g.5gb:7` has 11."""
    entries = [entry.split(":") for entry in re.sub(r"\([^)]*\)", "", gres).split(",")]
    return sum(
        _number(words[-1]) if len(words) > 1 and words[-1].isdigit() else 1 for words in entries if words[0] == "gpu"
    )


def _limit(text: str) -> int | None:
    """Minutes of a partition's time limit; None for `infinite`, and for what is no time."""
    try:
        return minutes(text)
    except ProfileError:
        return None


def _number(text: str) -> int:
    """`8+`, where nodes of a line differ, is 8."""
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0


def objection(profile: ClusterProfile, site: Site) -> str | None:
    """Why no node that sinfo shows could ever run such a task, naming value and choices; None where one could.

    sbatch decides: a site may hide partitions, route jobs by a plug-in, or have more than sinfo tells.
    """
    try:
        for partition in _partitions(profile, site):
            if not partition.up:
                raise ProfileError(f"partition {partition.name} is down: choose from {_names(site.partitions)}")
            _check_time(profile, partition)
            _check_nodes(profile, partition, site)
        _check_account(profile, site)
    except ProfileError as error:
        return str(error)
    return None


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
        "mem": (megabytes(profile.mem or "0"), max(kind.memory_mb for kind in kinds)),
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


def _partitions(profile: ClusterProfile, site: Site) -> list[Partition]:
    """The partitions that are asked for: one, several as in `debug,low`, or the default one."""
    by_name = {partition.name: partition for partition in site.partitions}
    if profile.partition is None:
        default = [partition for partition in site.partitions if partition.default]
        if not default:
            raise ProfileError(f"{site.cluster} shows no default partition: choose from {_names(site.partitions)}")
        return default
    for name in profile.partition.split(","):
        if name not in by_name:
            raise ProfileError(f"partition {name} is not on {site.cluster}: choose from {_names(site.partitions)}")
    return [by_name[name] for name in profile.partition.split(",")]


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
        if value is not None and choices and value.lower() not in {choice.lower() for choice in choices}:
            raise ProfileError(
                f"{key} {value} is not yours on {site.cluster}: choose from {', '.join(sorted(choices))}"
            )


def _names(partitions: Sequence[Partition]) -> str:
    return ", ".join(partition.name for partition in partitions)

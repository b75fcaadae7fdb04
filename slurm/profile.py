"""What a site wants to know of a job: partition, account, GPUs, time. Read from TOML, overridden key by key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from slurm import sbatch_options
from slurm.sbatch_options import ProfileError, Value

FOLDER = Path(__file__).absolute().parent / "profiles"


@dataclass(frozen=True)
class ClusterProfile:
    """The resources of one task, and how its array is queued. None is the site's default."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    nodes: int = 1
    """Nodes of one task. More than one process in all, and the net is trained by all of them together."""
    tasks_per_node: int = 1
    """Processes of one task on each of its nodes."""
    gpus: int = 1
    """GPUs of each process; 0 computes on the CPU. A file may say `"a100:1"`."""
    gpu_type: str | None = None
    """Type of the GPUs, where the site has several and wants it named."""
    cpus: int = 4
    """Cores of each process, which are also its threads."""
    mem: str = "8G"
    """Memory on each node, as sbatch writes it; "" asks for none, where a site refuses --mem."""
    time: str = "08:00:00"
    """Time limit, as sbatch writes it. A run that needs longer is requeued and goes on."""
    parallel: int = 64
    """Tasks of an array that may run at once."""
    preemption: Literal["requeue", "stop"] = "requeue"
    """What happens to a task whose time is up or that is preempted: it is requeued, or stops and waits for a person."""
    signal_seconds: int = 120
    """How long before its time is up a task is told, so that it can save."""
    setup: tuple[str, ...] = ()
    """Shell lines before the task starts, such as `module load cuda`."""
    python: str | None = None
    """Shell words that start Python in a task, such as `apptainer exec net.sif python`; None is the Python of the launch."""
    sbatch: tuple[tuple[str, Value], ...] = ()
    """Further options of sbatch by its own names; they win over ours. True is an option without a value."""

    def __post_init__(self) -> None:
        for name, least in {
            "nodes": 1, "tasks_per_node": 1, "gpus": 0, "cpus": 1, "parallel": 1, "signal_seconds": 1,
        }.items():  # fmt: skip
            if getattr(self, name) < least:
                raise ProfileError(f"{name} {getattr(self, name)} is too few: give {least} or more")
        if minutes(self.time) < 1:
            raise ProfileError(f"time {self.time} is less than a minute, the least that Slurm knows: give 1 or more")
        if self.mem:
            megabytes(self.mem)

    @property
    def minutes(self) -> int:
        return minutes(self.time)

    @property
    def processes(self) -> int:
        """Processes of one task, over all its nodes."""
        return self.nodes * self.tasks_per_node

    @property
    def gpus_per_node(self) -> str | None:
        """What `--gpus-per-node` gets: `4`, `a100:4`, or None where there are none or another option asks for them."""
        number = self.gpus * self.tasks_per_node
        if not number or any(value and sbatch_options.asks_for_gpus(name, value) for name, value in self.sbatch):
            return None
        return f"{self.gpu_type}:{number}" if self.gpu_type else str(number)


@dataclass(frozen=True)
class Profile:
    """A profile file: values for every task, and others for tasks of a named shape."""

    name: str
    base: Mapping[str, Any]
    shapes: Mapping[str, Mapping[str, Any]]

    def shape(self, name: str, defaults: Mapping[str, Any] = {}, overrides: Mapping[str, Any] = {}) -> ClusterProfile:
        """The resources of a task of one shape.

        Later wins: the field's default, `defaults` of the shape, the file's values for every task, its values for the shape,
        `overrides` of the command line. Raises ProfileError.
        """
        return self._of(defaults, self.base, self.shapes.get(name, {}), overrides)

    def report(self, overrides: Mapping[str, Any] = {}) -> ClusterProfile:
        """The resources of the report: few, in the same place in the queue. What [shape.report] says comes last."""
        few = report_profile(self._of(self.base, overrides))
        given = self.shapes.get("report", {})
        again = {key: value for key, value in overrides.items() if key in given and key != "sbatch"}
        said = sbatch_options.merge(map(sbatch_options.layer, (given, again)))
        options = {**dict(few.sbatch), **dict(said["sbatch"])}
        return replace(few, **{**said, "sbatch": tuple(sorted(options.items()))})

    def _of(self, *layers: Mapping[str, Any]) -> ClusterProfile:
        """Raises ProfileError."""
        where = f"profile {self.name}"
        try:
            return _build(sbatch_options.merge(map(sbatch_options.layer, layers)), where)
        except ProfileError as error:
            text = str(error)
            raise ProfileError(text if text.startswith(where) else f"{where}: {text}") from None


def load(name: str, shapes: Collection[str]) -> Profile:
    """The profile in `slurm/profiles/NAME.toml`, or in a file given by its path. Raises ProfileError.

    `shapes` are the names that the tables [shape.NAME] in it may have.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ProfileError(
            f"{name} cannot be read ({error.strerror}): choose from {', '.join(names())}, or give the path of a .toml file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path} is no TOML ({error})") from error
    of_shapes = data.pop("shape", {})
    if not isinstance(of_shapes, dict):
        raise ProfileError(f"{path}: shape must be a table such as [shape.{min(shapes, default='NAME')}]")
    for shape in of_shapes:
        if shape not in shapes:
            raise ProfileError(f"{path}: [shape.{shape}] is no shape: choose from {', '.join(sorted(shapes))}")
    profile = Profile(path.stem, data, of_shapes)
    for shape in ("", *of_shapes):  # a mistake in a shape that nothing needs today is still a mistake
        profile.shape(shape)
    return profile


def names() -> list[str]:
    """The profiles that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def _build(values: Mapping[str, Any], where: str) -> ClusterProfile:
    known = {f.name for f in fields(ClusterProfile)}
    for key in values:
        if key not in known:
            raise ProfileError(
                f"{where}: {key} is no key: choose from {', '.join(sorted(known))}; other options of sbatch go under [sbatch]"
            )
    hints = get_type_hints(ClusterProfile)
    for key, value in values.items():
        if not _fits(value, hints[key]):
            wanted = {int: "a whole number", tuple[str, ...]: "a list of shell lines"}.get(hints[key], "text")
            choices = get_args(hints[key]) if key == "preemption" else ()
            wanted = " or ".join(choices) if choices else wanted
            raise ProfileError(f"{where}: {key} = {value!r}: give {wanted}")
    try:
        return ClusterProfile(**values)
    except ProfileError as error:
        raise ProfileError(f"{where}: {error}") from None


def _fits(value: object, hint: Any) -> bool:
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint == tuple[tuple[str, Value], ...]:
        return True  # slurm/sbatch_options.py has made it
    if hint == tuple[str, ...]:
        return isinstance(value, tuple) and all(isinstance(line, str) for line in value)
    if get_args(hint) and all(isinstance(choice, str) for choice in get_args(hint)):
        return value in get_args(hint)
    return isinstance(value, str) or (value is None and hint is not str)


def report_profile(profile: ClusterProfile) -> ClusterProfile:
    """The same place in the queue, for half an hour of one core that only reads and writes files."""
    return replace(
        profile,
        nodes=1,
        tasks_per_node=1,
        gpus=0,
        cpus=1,
        mem="2G" if profile.mem else "",
        time=str(min(30, profile.minutes)),
        parallel=1,
        constraint=None,
        sbatch=tuple((name, value) for name, value in profile.sbatch if name in sbatch_options.WHO_AND_WHERE),
    )


def minutes(text: str) -> int:
    """Whole minutes, rounded up, of a Slurm time: `90`, `90:00`, `1:30:00`, `1-12`, `1-12:00`, `1-12:00:00`."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if not match:
        raise ProfileError(f"time {text!r} is no time: give minutes, or HH:MM:SS, or D-HH:MM:SS")
    days, *numbers = match.groups()
    a, b, c = (int(number or 0) for number in numbers)
    if days is not None:
        seconds = int(days) * 86_400 + a * 3600 + b * 60 + c
    elif numbers[2] is not None:
        seconds = a * 3600 + b * 60 + c
    else:
        seconds = a * 60 + b
    return -(-seconds // 60)


def megabytes(text: str) -> int:
    """Megabytes of a Slurm memory size: `500M`, `8G`, `1T`; without a letter it is in megabytes."""
    match = re.fullmatch(r"(\d+)([KMGT]?)B?", text, re.IGNORECASE)
    if not match:
        raise ProfileError(f"mem {text!r} is no size: give 500M or 8G")
    number, letter = int(match[1]), match[2].upper()
    return number * {"K": 1, "": 1024, "M": 1024, "G": 1 << 20, "T": 1 << 30}[letter] // 1024

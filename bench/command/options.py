"""Options of the command line: each is a field, declared once with its default, help and allowed values."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from bench.command import values
from bench.command.values import Choice, Whole
from bench.files import as_typed
from bench.runs.provenance import ROOT
from bench.runs.spec import Dataset, Execution, Schedule, Selection
from bench.studies.seeds import ONE, Seeds
from bench.training.source import Source
from slurm import sbatch_options

Cluster = Literal["local", "slurm"]
Page = Literal["everyday", "more", "slurm", "old", "own"]
"""The help page of the main command on which an option stands.

`old` are those that became subcommands, on none; `own` are those of subcommands alone, which the main command does not take.
"""
PAGES: tuple[Page, ...] = get_args(Page)


def option(
    default: Any,
    help: str,
    metavar: str | None = None,
    convert: Callable[[str], Any] = str,
    page: Page = "everyday",
    many: bool = False,
    name: str | None = None,
) -> Any:
    """A field that is an option: a flag without `metavar` and choices; with `many` it takes one value or more."""
    return dataclasses.field(
        default=default,
        metadata={"help": help, "metavar": metavar, "convert": convert, "page": page, "many": many, "name": name},
    )


def slurm_option(help: str, metavar: str, convert: Callable[[str], Any] = values.word) -> Any:
    """A field that is a key of the Slurm profile."""
    return option(None, help, metavar, convert, "slurm")


def old(default: Any, help: str, metavar: str | None = None, convert: Callable[[str], Any] = str, **more: Any) -> Any:
    """A field that a subcommand sets, and a flag of the same name."""
    return option(default, help, metavar, convert, "old", **more)


def own(help: str, metavar: str, convert: Callable[[str], Any]) -> Any:
    """A field that is an option of one subcommand alone."""
    return option(None, help, metavar, convert, "own")


@dataclass(frozen=True)
class SlurmOptions:
    """Runs on a Slurm cluster. Values of the profile that are given here win over the file's."""

    profile: str = option("default", "profile in slurm/profiles, or a .toml file", "NAME", values.word, "slurm")
    partition: str | None = slurm_option("partition, as the site names it", "NAME")
    account: str | None = slurm_option("account that is charged", "NAME")
    qos: str | None = slurm_option("quality of service", "NAME")
    constraint: str | None = slurm_option("feature that the nodes must have", "FEATURE")
    nodes: int | None = slurm_option("nodes of one run", "N", Whole(1, 10_000))
    tasks_per_node: int | None = slurm_option("processes of one run on each node", "N", Whole(1, 1024))
    gpus: str | None = slurm_option("GPUs of each process, such as 2 or a100:2; 0 for CPUs", "[TYPE:]N", values.gpus)
    cpus: int | None = slurm_option("cores of each process", "N", Whole(1, 4096))
    mem: str | None = slurm_option("memory on each node, such as 8G", "SIZE", values.memory)
    time: str | None = slurm_option("time limit of a task, such as 4:00:00", "LIMIT", values.time_limit)
    parallel: int | None = slurm_option("tasks of an array that may run at once", "N", Whole(1, 1_000_000))
    preemption: Literal["requeue", "stop"] | None = slurm_option(
        "what ends a task whose time is up: requeue or stop", "HOW", Choice(("requeue", "stop"))
    )
    signal_seconds: int | None = slurm_option("seconds of warning before a task's time is up", "N", Whole(1, 65_535))
    setup: tuple[str, ...] = option(
        (), "shell lines before a task, such as 'module load cuda'", "LINE", values.word, "slurm", many=True
    )
    sbatch: tuple[str, ...] = option(
        (),
        "any option of sbatch: gres=gpu:1 exclusive mem=",
        "KEY=VALUE",
        values.sbatch_option,
        "slurm",
        many=True,
    )
    wait: bool = option(False, "progress of the runs until all have ended", page="slurm")
    pack: int = option(1, "runs side by side on a GPU, or on the CPU's cores", "K", Whole(1, 256), "more")
    status: bool = old(False, "state of every run")
    retry: Literal["failed"] | None = old(None, "failed and lost runs, sent again", "failed", Choice(("failed",)))
    logs: str | None = old(None, "beginning of a run's name", "RUN", values.word)
    cancel: bool = old(False, "end of what the table has in the queue")

    @property
    def overrides(self) -> dict[str, Any]:
        """The profile's keys that were given on the command line."""
        keys = (
            "partition", "account", "qos", "constraint", "nodes", "tasks_per_node", "gpus", "cpus", "mem", "time",
            "parallel", "preemption", "signal_seconds",
        )  # fmt: skip
        given = {key: value for key in keys if (value := getattr(self, key)) is not None}
        return {
            **given,
            **({"setup": self.setup} if self.setup else {}),
            **({"sbatch": dict(map(sbatch_options.parse, self.sbatch))} if self.sbatch else {}),
        }


@dataclass(frozen=True)
class ElsewhereOptions:
    """Nets of other projects: tested here, on a CPU too."""

    evaluate: Path | None = old(None, "state dict of a CIFAR-10 net", "FILE", values.path)
    weights: str | None = old(None, "torchvision, or a state dict of an ImageNet net", "torchvision|FILE", values.word)
    arch: str | None = old(None, "net in the file, such as resnet-56-A", "NET", values.word)
    normalise: Literal["per-pixel", "per-channel", "imagenet"] = old(
        "per-pixel",
        "per-pixel, per-channel or imagenet",
        "NAME",
        Choice(("per-pixel", "per-channel", "imagenet")),
    )
    ensemble: bool = old(False, "ensemble of finished imagenet_multiscale runs")


@dataclass(frozen=True)
class MovingOptions:
    """Results that move from one machine to another, in one file."""

    export: Path | None = old(None, "bundle to write", "FILE", values.path)
    checkpoints: Literal["unfinished", "all"] | None = old(
        None, "checkpoints too: of unfinished runs, or of all", "WHICH", Choice(("unfinished", "all"))
    )
    csv: Path | None = own("every value of the pages, one a line", "FILE.csv", values.ending(".csv"))
    latex: Path | None = own("main tables for LaTeX (booktabs, siunitx)", "FILE.tex", values.ending(".tex"))
    points: Path | None = own(
        "evaluation points of all runs, .csv or .parquet", "FILE", values.ending(".csv", ".parquet")
    )
    figures: Path | None = own("figures as PDF", "DIR", values.path)
    imports: tuple[Path, ...] = old((), "bundles of other machines", "FILE", values.path, many=True, name="import")

    @property
    def data(self) -> bool:
        """Whether files for other programs are asked for."""
        return bool(self.csv or self.latex or self.points or self.figures)


@dataclass(frozen=True)
class ExaminingOptions:
    """Checks of this machine, or of a node."""

    json: Path | None = own("report for a bug tracker; - is standard output", "FILE", values.path)


@dataclass(frozen=True)
class Options:
    """What one call of the command asks for."""

    table: tuple[str, ...] = option((), "tables by name or number, or all: table6, fig7", "NAME", many=True)
    cluster: Cluster = option("local", "local or slurm: place of the runs", "WHERE", Choice(get_args(Cluster)))
    schedule: Schedule = option(
        "paper",
        "paper, short (1/16 of it) or smoke (minutes)",
        "NAME",
        Choice(get_args(Schedule)),
    )
    seeds: Seeds = option(ONE, "count, list (0,3,7) or paper, the paper's plan", "N|LIST", values.seeds)
    only: str | None = option(None, "nets by name, label or glob, such as 'resnet-*'", "NET", values.word)
    set: tuple[str, ...] = option(
        (), "other values of recipe fields, such as bn_group=64", "NAME=VALUE", values.word, many=True
    )
    data: Path = option(ROOT / "data", "folder of the images", "DIR", values.path)
    download: bool = option(False, "CIFAR-10 from the internet, where it is missing")
    results: Path = option(ROOT / "results", "folder of the runs", "DIR", values.path)
    tables: Path = option(ROOT / "tables", "folder of pages, figures and report.html", "DIR", values.path)
    dry_run: bool = option(False, "plan and expected hours only")
    report: bool = option(False, "pages only, from finished runs: the command report", page="more")
    check: bool = option(False, "what CI asks of the pages: the command check", page="more")
    force: bool = option(False, "new runs in place of finished ones")
    dataset: Dataset | None = option(
        None, "images: cifar10, digits, imagenet or imagefolder", "NAME", Choice(get_args(Dataset)), "more"
    )
    selection: Selection = option(
        "all", "training images of CIFAR-10: all or val45k", "SPLIT", Choice(get_args(Selection)), "more"
    )
    execution: Execution = option(
        "auto", "eager, compiled, captured, or the fastest: auto", "NAME", Choice(get_args(Execution)), "more"
    )
    workers: int | None = option(None, "image-loading processes for each training process", "N", Whole(0, 1024), "more")
    skip_broken: bool = option(False, "training without broken images", page="more")
    tensorboard: bool = option(False, "curves for TensorBoard, in the folder of each run", page="more")
    publish: bool = old(False, "copies in tables/measured, and all pages")
    moving: MovingOptions = MovingOptions()
    elsewhere: ElsewhereOptions = ElsewhereOptions()
    slurm: SlurmOptions = SlurmOptions()
    examining: ExaminingOptions = ExaminingOptions()
    subcommand: str = ""
    """The command that was named; empty for the main one."""

    @property
    def trains_here(self) -> bool:
        """Whether runs may be computed in this process."""
        slurm = self.slurm
        answers = (self.dry_run, self.report, self.check, self.publish, slurm.status, slurm.logs, slurm.cancel)
        return self.cluster == "local" and not any(answers)

    @property
    def source(self) -> Source:
        """Where data are and how they are read."""
        return Source(self.data, self.download, self.skip_broken, self.workers, self.execution, self.tensorboard)

    def selecting(self, table: str) -> list[str]:
        """The words of a command line that names the same runs of a table, with where they are."""
        words = ["--table", table]
        for name in ("schedule", "seeds", "selection", "only", "dataset", "set"):
            if (value := getattr(self, name)) != default(name):
                texts = value if isinstance(value, tuple) else (value.text if isinstance(value, Seeds) else value,)
                words += [f"--{name}", *texts]
        words += ["--data", str(as_typed(self.data))] if self.dataset == "imagefolder" else []
        return [*words, "--results", str(as_typed(self.results))]

    def report_arguments(self, table: str) -> tuple[str, ...]:
        """The command line that writes the pages of the same runs from what is finished."""
        return ("report", *self.selecting(table), "--tables", str(as_typed(self.tables)))

    def command(self, name: str, table: str, *words: str) -> str:
        """The line to type for a subcommand on the same runs."""
        return shlex.join(["python", "bench/run.py", name, *words, *self.selecting(table)])


@dataclass(frozen=True)
class Field:
    """An option as the parser sees it."""

    field: str
    """Of Options, or of the group in it."""
    group: str | None
    default: Any
    help: str
    metavar: str | None
    convert: Callable[[str], Any]
    page: Page
    many: bool
    word: str
    """`dry-run`."""

    @property
    def flag(self) -> bool:
        return self.metavar is None

    @property
    def name(self) -> str:
        """`--dry-run`."""
        return f"--{self.word}"


def _fields(cls: type, group: str | None) -> Iterable[Field]:
    for field in dataclasses.fields(cls):
        if meta := dict(field.metadata):
            word = meta.pop("name") or field.name.replace("_", "-")
            yield Field(field.name, group, field.default, word=word, **meta)


GROUPS = {
    "moving": MovingOptions,
    "elsewhere": ElsewhereOptions,
    "slurm": SlurmOptions,
    "examining": ExaminingOptions,
}
FIELDS: dict[str, Field] = {
    field.field: field
    for cls, group in ((Options, None), *((cls, name) for name, cls in GROUPS.items()))
    for field in _fields(cls, group)
}
"""Every option by the name of its field."""


def default(name: str) -> Any:
    """The value of an option that is left out."""
    return FIELDS[name].default


def build(given: dict[str, Any]) -> Options:
    """The options in which these fields have other values than their defaults."""
    own = {name: value for name, value in given.items() if FIELDS[name].group is None}
    parts = {
        group: cls(**{name: value for name, value in given.items() if FIELDS[name].group == group})
        for group, cls in GROUPS.items()
    }
    return Options(**own, **parts)

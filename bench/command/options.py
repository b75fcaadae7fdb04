"""The command line, as a typed dataclass. tyro makes the parser and the help out of it."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from bench import studies
from bench.compute.job import Source
from bench.errors import UserError
from bench.runs.provenance import ROOT
from bench.runs.spec import Dataset, Execution, Schedule, Selection
from bench.studies import Cluster

_PROFILES = "(default: the profile's)"
ProfileName = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint=_PROFILES)]
ProfileNumber = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=_PROFILES)]
Flag = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]


@dataclass(frozen=True)
class SlurmOptions:
    """Runs on a Slurm cluster. Values of the profile that are given here win over the file's."""

    profile: Annotated[str, tyro.conf.arg(metavar="NAME")] = "default"
    """Profile in slurm/profiles, or path of a .toml file."""
    partition: ProfileName = None
    """Partition, as the site names it."""
    account: ProfileName = None
    """Account that is charged."""
    qos: ProfileName = None
    """Quality of service."""
    constraint: Annotated[str | None, tyro.conf.arg(metavar="FEATURE", help_behavior_hint=_PROFILES)] = None
    """Feature that the nodes must have."""
    nodes: ProfileNumber = None
    """Nodes of one run."""
    tasks_per_node: ProfileNumber = None
    """Processes of one run on each of its nodes."""
    gpus: ProfileNumber = None
    """GPUs of each process; 0 computes on CPUs."""
    cpus: ProfileNumber = None
    """Cores of each process."""
    mem: Annotated[str | None, tyro.conf.arg(metavar="SIZE", help_behavior_hint=_PROFILES)] = None
    """Memory on each node, such as 8G."""
    time: Annotated[str | None, tyro.conf.arg(metavar="LIMIT", help_behavior_hint=_PROFILES)] = None
    """Time limit of a task, such as 4:00:00. A run that needs longer is requeued and goes on."""
    parallel: ProfileNumber = None
    """Tasks of an array that may run at once."""
    preemption: Annotated[
        Literal["requeue", "stop"] | None, tyro.conf.arg(metavar="{requeue,stop}", help_behavior_hint=_PROFILES)
    ] = None
    """What happens to a task whose time is up or that is preempted."""
    signal_seconds: ProfileNumber = None
    """How long before its time is up a task is told to save."""
    setup: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LINE ...", help_behavior_hint=_PROFILES)] = ()
    """Shell lines before a task starts, such as 'module load cuda'."""
    pack: Annotated[int, tyro.conf.arg(metavar="K")] = 1
    """Put K runs of small nets side by side, in a Slurm task as on this machine: on each GPU as threads of one process with
    streams of their own, on a CPU as processes that share the cores."""
    wait: Flag = False
    """Stay, and show how far the runs are, until all have ended."""
    status: Flag = False
    """Say how every run stands, and stop."""
    retry: Annotated[Literal["failed"] | None, tyro.conf.arg(metavar="failed", help_behavior_hint="")] = None
    """Send only the runs that failed or were lost."""
    logs: Annotated[str | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="")] = None
    """Show the end of a run's log; RUN is the beginning of its name."""
    cancel: Flag = False
    """End what this table has in the queue, and nothing else."""

    @property
    def overrides(self) -> dict[str, Any]:
        """The profile's keys that were given on the command line."""
        keys = (
            "partition", "account", "qos", "constraint", "nodes", "tasks_per_node", "gpus", "cpus", "mem", "time",
            "parallel", "preemption", "signal_seconds",
        )  # fmt: skip
        given = {key: value for key in keys if (value := getattr(self, key)) is not None}
        return {**given, **({"setup": self.setup} if self.setup else {})}


@dataclass(frozen=True)
class ElsewhereOptions:
    """Nets that were trained elsewhere: tested here, on a CPU too."""

    evaluate: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Test the CIFAR-10 net in this file, a state dict of PyTorch, and stop; with --arch, --normalise and --data."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="torchvision|FILE", help_behavior_hint="")] = None
    """Test torchvision's released weights, or those in a file (with --arch), on the val folder in --data, and add them to
    the page of an ImageNet table."""
    arch: Annotated[str | None, tyro.conf.arg(metavar="NET", help_behavior_hint="")] = None
    """The net in the file: resnet-56-A, or imagenet-resnet-50-B-stride3x3."""
    normalise: Literal["per-pixel", "per-channel", "imagenet"] = "per-pixel"
    """How the CIFAR-10 net was shown its images."""
    ensemble: Flag = False
    """Test the finished runs of imagenet_multiscale together (Table 5), on the val folder in --data."""


@dataclass(frozen=True)
class MovingOptions:
    """Results that move from one machine to another, in one file."""

    export: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Pack the finished runs of these tables, or without --table all that are in --results, into FILE, and stop."""
    checkpoints: Annotated[
        Literal["unfinished", "all"] | None, tyro.conf.arg(metavar="{unfinished,all}", help_behavior_hint="")
    ] = None
    """Pack runs that are not finished too, with the checkpoints from which they go on elsewhere; or every checkpoint."""
    imports: Annotated[tuple[Path, ...], tyro.conf.arg(name="import", metavar="FILE ...", help_behavior_hint="")] = ()
    """Check what other machines have packed, merge it into --results, and stop; with --publish, into tables/measured too."""


@dataclass(frozen=True)
class Options:
    table: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...", help_behavior_hint="(required)")] = ()
    """Tables to fill, or `all`."""
    cluster: Cluster = "local"
    """Where runs are computed: on this machine, one for each GPU or one after another on a CPU; or as Slurm job arrays."""
    schedule: Schedule = "paper"
    """Iterations: the paper's 64,000; short, 4,000; or smoke, minutes on the digits that ship with scikit-learn."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Runs of each net, with seeds 0 to N-1."""
    only: Annotated[str | None, tyro.conf.arg(metavar="GLOB", help_behavior_hint="")] = None
    """Only the nets whose name matches this glob, for example 'resnet-*'; or one net of any depth 6n+2."""
    dataset: Annotated[Dataset | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = None
    """cifar10, digits, imagenet, or imagefolder: any folder of train/CLASS/* and val/CLASS/*. Left out, the table's own."""
    selection: Selection = "all"
    """Train on all training images, or on 45k of CIFAR-10's 50k with 5k held out."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...", help_behavior_hint="")] = ()
    """Fields of the recipe to take otherwise, such as bn_group=64 or precision=bf16; such runs have a page of their own."""
    data: Annotated[Path, tyro.conf.arg(metavar="DIR")] = ROOT / "data"
    """Folder that holds cifar-10-batches-py, or train/ and val/ of an image folder."""
    download: Flag = False
    """Download CIFAR-10 into --data where it is missing."""
    skip_broken: Flag = False
    """Leave out images that cannot be decoded, and count them, instead of ending before the training starts."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: as many as cores)")] = None
    """Processes that load images from folders, for each process that trains."""
    execution: Execution = "auto"
    """How iterations are executed: eager, compiled, or captured as one graph of a GPU. Left to itself, the fastest; the
    numbers are the same to rounding, and a run that goes on does so the way it was begun."""
    results: Annotated[Path, tyro.conf.arg(metavar="DIR")] = ROOT / "results"
    """Folder of the runs: checkpoints, curves, results."""
    tables: Annotated[Path, tyro.conf.arg(metavar="DIR")] = ROOT / "tables"
    """Folder that Markdown, figures and report.html are written to."""
    dry_run: Flag = False
    """Print what would be run, and stop."""
    report: Flag = False
    """Run nothing: write the tables, and report.html, from the runs that are finished."""
    check: Flag = False
    """Write nothing: fail where counts, or the committed tables, differ from what they are made of."""
    force: Flag = False
    """Run again what has a result already; or write anew what --export or --publish finds there."""
    publish: Flag = False
    """Copy the finished runs of these tables, without checkpoints, to tables/measured, and write all that comes from there."""
    moving: tyro.conf.OmitArgPrefixes[MovingOptions] = MovingOptions()
    elsewhere: tyro.conf.OmitArgPrefixes[ElsewhereOptions] = ElsewhereOptions()
    slurm: tyro.conf.OmitArgPrefixes[SlurmOptions] = SlurmOptions()

    @property
    def source(self) -> Source:
        """Where data are and how they are read."""
        return Source(self.data, self.download, self.skip_broken, self.workers, self.execution)

    def report_arguments(self, table: str) -> tuple[str, ...]:
        """The command line that writes the pages of the same runs from what is finished."""
        words = ["--table", table, "--report", "--schedule", self.schedule, "--seeds", str(self.seeds)]
        words += ["--selection", self.selection]
        words += ["--only", self.only] if self.only is not None else []
        words += ["--dataset", self.dataset] if self.dataset is not None else []
        words += ["--set", *self.set] if self.set else []
        words += ["--data", str(self.data.resolve())] if self.dataset == "imagefolder" else []
        return (*words, "--results", str(self.results.resolve()), "--tables", str(self.tables.resolve()))


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options of a command line. Raises UserError, in one line, where it cannot be understood."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = tyro.cli(
                Options,
                prog="run.py",
                description=describe(),
                args=list(arguments) if arguments is not None else None,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as error:
        if error.code in (0, None):
            raise
        raise UserError(_first_sentence(said.getvalue())) from None
    return check(options)


def describe() -> str:
    """The head of `--help`: every table with a line on each."""
    width = max(map(len, studies.TABLES))
    tables = "\n".join(f"  {name:<{width}}  {title}" for name, title in studies.TABLES.items())
    return (
        "Measures the tables of He, Zhang, Ren and Sun, arXiv 1512.03385, and holds them against the printed numbers. "
        "Giving the same command again goes on where it stopped.\n\nTables:\n\n" + tables
    )


def check(options: Options) -> Options:
    """The options, with `all` spelt out. Raises UserError for values that no run can have."""
    choices = f"choose from {', '.join([*studies.TABLES, 'all'])}"
    if options.elsewhere.evaluate:
        if options.table:
            raise UserError("--evaluate tests one file and fills no table: leave out --table")
        if options.elsewhere.arch is None:
            raise UserError(f"--evaluate {options.elsewhere.evaluate}: add --arch, such as resnet-56-A")
        if options.dataset not in (None, "cifar10"):
            raise UserError(f"--evaluate tests on cifar10, not {options.dataset}: for ImageNet nets use --weights")
        return options
    _check_moving(options)
    if not options.table and not (options.moving.export or options.moving.imports):
        raise UserError(f"--table is missing: {choices}")
    for name in options.table:
        if name not in studies.TABLES and name != "all":
            raise UserError(f"--table {name} is no table: {choices}")
    if options.seeds < 1:
        raise UserError(f"--seeds {options.seeds} is no number of runs: give 1 or more")
    if options.check and (options.report or options.publish or options.force or options.dry_run):
        raise UserError("--check writes and runs nothing: give it without --report, --publish, --force and --dry-run")
    asked = [f"--{name}" for name in ("status", "retry", "logs", "cancel") if getattr(options.slurm, name)]
    if len(asked) > 1:
        raise UserError(f"{' and '.join(asked)} are different questions: give one of them")
    if asked and (options.report or options.check or options.publish or options.force):
        raise UserError(f"{asked[0]} goes without --report, --check, --publish and --force: leave those out")
    if options.cluster == "local":
        _check_local(options.slurm)
    if options.slurm.pack < 1:
        raise UserError(f"--pack {options.slurm.pack} is no number of runs: give 1 or more")
    _check_elsewhere(options)
    dataset = options.dataset or studies.cifar_depth.DEFAULT_DATASET[options.schedule]
    if options.selection != "all" and dataset != "cifar10":
        raise UserError(f"--selection {options.selection} is a split of cifar10: leave it out for {dataset}")
    if "all" in options.table:
        from dataclasses import replace

        return replace(options, table=tuple(studies.TABLES))
    return options


def _check_moving(options: Options) -> None:
    """Raise UserError where --export or --import is given with what it does not go with."""
    moving = options.moving
    if moving.checkpoints and not moving.export:
        raise UserError(f"--checkpoints {moving.checkpoints} says what --export packs: add --export FILE")
    if not (moving.export or moving.imports):
        return
    name = "--export" if moving.export else "--import"
    others = {
        "--import": bool(moving.export and moving.imports),
        "--table": bool(moving.imports and options.table),
        "--publish": bool(moving.export and options.publish),
        "--force": bool(moving.imports and options.force and not options.publish),
        **{f"--{flag}": getattr(options, flag) for flag in ("check", "report")},
        "--dry-run": options.dry_run,
        **{f"--{flag}": bool(getattr(options.slurm, flag)) for flag in ("status", "retry", "logs", "cancel", "wait")},
        **{f"--{flag}": bool(getattr(options.elsewhere, flag)) for flag in ("weights", "ensemble")},
        "--cluster": options.cluster != "local",
    }
    if wrong := [other for other, given in others.items() if given]:
        raise UserError(f"{name} does one thing and stops: leave out {' and '.join(wrong)}")


def _check_elsewhere(options: Options) -> None:
    """Raise UserError where weights from elsewhere are given to a table that has no place for them."""
    asked, tables = options.elsewhere, [*studies.imagenet.STUDIES]
    if asked.weights and not all(name in tables for name in options.table):
        raise UserError(f"--weights {asked.weights} is for ImageNet tables: choose from {', '.join(tables)}")
    if asked.ensemble and options.table != ("imagenet_multiscale",):
        raise UserError("--ensemble is Table 5: give it with --table imagenet_multiscale")
    if asked.weights not in (None, "torchvision") and asked.arch is None:
        raise UserError(f"--weights {asked.weights}: add --arch, such as imagenet-resnet-50-B-stride3x3")
    if asked.arch and asked.weights in (None, "torchvision"):
        raise UserError(f"--arch {asked.arch} says what net is in a file: give the file with --weights or --evaluate")


def _check_local(slurm: SlurmOptions) -> None:
    """Raise UserError where something is asked that only Slurm could do."""
    given = [*slurm.overrides, *(["wait"] if slurm.wait else []), *(["profile"] if slurm.profile != "default" else [])]
    if given:
        raise UserError(f"--{given[0].replace('_', '-')} is for Slurm: add --cluster slurm, or leave it out")
    if slurm.retry:
        raise UserError(
            "--retry failed is for Slurm: add --cluster slurm; on this machine the same command without it runs again "
            "whatever has no result"
        )


def _first_sentence(box: str) -> str:
    """The message inside the box that tyro draws, in one line, with its first suggestion.

    A title, a message and hints, with rules between them; the rules are lines or hyphens, as the terminal allows.
    """
    inside = [line.strip("│ ") for line in box.splitlines()]
    sections = " ".join("\0" if re.fullmatch("(╭|╰|─{3}|-{6}).*", line) else line for line in inside).split("\0")
    texts = [text for section in sections if (text := " ".join(section.split()))]
    if "╭" not in box:  # there the title is no part of the frame
        texts = texts[1:]
    message = texts[0].rstrip(".") if texts else "the command line cannot be understood"
    hint = next((m.group() for text in texts[1:] if "Perhaps" in text and (m := re.search(r"--[\w-]+", text))), "")
    return f"{message}: " + (f"did you mean {hint}?" if hint else "see --help")

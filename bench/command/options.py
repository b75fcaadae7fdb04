"""The options of the command line, as typed dataclasses. tyro makes the parser and the help out of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from bench.runs.provenance import ROOT
from bench.runs.spec import Dataset, Execution, Schedule, Selection
from bench.training.source import Source

Cluster = Literal["local", "slurm"]
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
    def trains_here(self) -> bool:
        """Whether runs may be computed in this process."""
        answers = (
            self.dry_run,
            self.report,
            self.check,
            self.publish,
            self.slurm.status,
            self.slurm.logs,
            self.slurm.cancel,
        )
        return self.cluster == "local" and not any(answers)

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

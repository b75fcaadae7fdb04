"""The main command and its subcommands, as data: what each takes, and what its help page says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.command.options import FIELDS, Page

RUNS = ("table", "schedule", "seeds", "only", "set", "dataset", "selection", "data", "results")
"""Options that name runs, and the folder that they are in."""
PLACE = ("results", "tables")
DATA = ("csv", "latex", "points", "figures")
"""Options of export that write files for other programs."""
COMPUTING = ("download", "workers", "execution", "skip_broken", "tensorboard", "pack")
"""Options of how runs are computed."""
SLURM = tuple(name for name, one in FIELDS.items() if one.page == "slurm")


@dataclass(frozen=True)
class Command:
    """The main command, whose name is empty, or a subcommand."""

    name: str
    title: str
    """What it gives, in a line."""
    about: str
    """Its page's first words."""
    everyday: tuple[str, ...]
    """Options on its help page."""
    more: tuple[str, ...] = ()
    """Options on its page of further options."""
    slurm: tuple[str, ...] = ()
    """Options on its page of Slurm options."""
    preset: Mapping[str, Any] = field(default_factory=dict)
    """Options that it stands for."""
    unless_given: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of its own."""
    target: str | None = None
    """Option that is given without its name, after the command."""
    optional: bool = False
    """Whether the target may be left out."""
    help: Mapping[str, str] = field(default_factory=dict)
    """Help lines that differ from the main command's."""
    examples: tuple[str, ...] = ()

    @property
    def takes(self) -> tuple[str, ...]:
        """Every option that it takes."""
        target = (self.target,) if self.target else ()
        return tuple(dict.fromkeys((*self.everyday, *self.more, *self.slurm, *target)))


def _page(page: Page, *without: str) -> tuple[str, ...]:
    return tuple(name for name, one in FIELDS.items() if one.page == page and name not in without)


MAIN = Command(
    "",
    "",
    "Reproduces He, Zhang, Ren and Sun, arXiv 1512.03385. The same command resumes.",
    _page("everyday"),
    _page("more"),
    SLURM,
    examples=("--table cifar_depth --schedule smoke", "--table table6 --seeds paper --cluster slurm"),
)

COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command(
            "status",
            "state of every run: queued and why, running, done, failed",
            "State of every run of a table, from any machine that sees the results folder.",
            RUNS,
            preset={"status": True},
            examples=("--table cifar_depth --seeds 5",),
        ),
        Command(
            "logs",
            "end of one run's log",
            "End of one run's log. RUN is the beginning of the run's name.",
            RUNS,
            target="logs",
            examples=("resnet-110-A --table cifar_depth --seeds 5",),
        ),
        Command(
            "retry",
            "failed and lost runs, sent to Slurm again",
            "Failed and lost runs of a table, sent to Slurm again. A run that diverged\nis a result and stays.",
            (*RUNS, "dry_run"),
            (*COMPUTING, "tables"),
            SLURM,
            preset={"retry": "failed"},
            unless_given={"cluster": "slurm"},
            examples=("--table cifar_depth --seeds 5",),
        ),
        Command(
            "cancel",
            "end of what a table has in the queue",
            "End of what a table has in the Slurm queue, and of nothing else.",
            RUNS,
            preset={"cancel": True},
            examples=("--table cifar_depth --seeds 5",),
        ),
        Command(
            "export",
            "finished runs in one file; values, tables and figures",
            "Finished runs, packed into FILE: those of the tables, or all in --results.\n"
            "Or results for other programs, from --results and tables/measured.",
            ("checkpoints", *DATA, "force", "table", "schedule", "seeds", "only", "set", "results"),
            ("dataset", "selection", "data"),
            target="export",
            optional=True,
            help={"force": "new files in place of the old"},
            examples=(
                "runs.zip --table table6 --checkpoints unfinished",
                "--csv values.csv --figures figures",
            ),
        ),
        Command(
            "import",
            "runs of other machines, checked and merged into --results",
            "Runs from files that export has written, checked and merged into --results.",
            ("publish", "force", *PLACE),
            target="imports",
            help={
                "publish": "copies in tables/measured, and all pages",
                "force": "with --publish: in place of what is published",
            },
            examples=("gpu-1.zip gpu-2.zip --publish",),
        ),
        Command(
            "publish",
            "finished runs, copied to tables/measured, and all pages",
            "Finished runs of the tables, copied without checkpoints to\ntables/measured, and every page made from there.",
            (*RUNS, "tables", "force"),
            preset={"publish": True},
            help={"force": "in place of what is published"},
            examples=("--table cifar_depth --seeds 5",),
        ),
        Command(
            "report",
            "pages and report.html, from the runs that are finished",
            "Pages of the tables, and report.html, from the runs that are finished.\nRuns nothing.",
            (*RUNS, "tables"),
            preset={"report": True},
            unless_given={"table": ("all",)},
            help={"table": "tables by name or number; all of them if left out"},
            examples=("", "--table table6 --results DIR --tables DIR"),
        ),
        Command(
            "check",
            "comparison of the committed pages with what gives them",
            "Comparison of the committed pages with what gives them, line by line.\n"
            "Writes nothing. Exit status 1 where they differ.",
            ("table", "tables"),
            preset={"check": True},
            unless_given={"table": ("all",)},
            help={"table": "tables by name or number; all of them if left out"},
            examples=("", "--table complexity"),
        ),
        Command(
            "evaluate",
            "test error of a net that another project trained",
            "Test error of a net that another project trained. FILE is a state dict of\n"
            "PyTorch. With --table of an ImageNet table it may be the word torchvision,\n"
            "for the released weights.",
            ("arch", "normalise", "table", "ensemble", "data", "download", *PLACE, "force", "publish"),
            ("schedule", "seeds", "only", "set", "dataset", "workers"),
            target="weights",
            optional=True,
            help={
                "table": "ImageNet table on whose page the errors stand",
                "download": "CIFAR-10 from the internet, where it is missing",
                "force": "a new test in place of an earlier one",
            },
            examples=(
                "net.pt --arch resnet-56-A --normalise imagenet",
                "torchvision --table imagenet_shortcuts --data DIR",
            ),
        ),
        Command(
            "doctor",
            "checks of this machine, and of each way to train on it",
            "Checks of this machine: software, GPUs, disk, Slurm, data, and each way to\n"
            "train, compared with eager fp32. With --cluster slurm, of a node instead.\n"
            "Exit status 1 where runs with default options would fail.",
            ("json", "cluster", "results", "data"),
            slurm=tuple(name for name in SLURM if name != "wait"),
            help={"cluster": "local or slurm: place of the checks", "results": "folder whose disk is checked"},
            examples=("", "--json report.json", "--cluster slurm --partition gpu"),
        ),
    )
}
"""Subcommand -> what it takes."""

FLAGS = {
    **{name: name for name in ("status", "retry", "logs", "cancel", "export", "publish", "report", "check")},
    "imports": "import",
    **dict.fromkeys(("evaluate", "weights", "ensemble"), "evaluate"),
}
"""Flag of the main command -> the subcommand that it stands for; they go on working."""
TOLERATED = (*SLURM, *COMPUTING, "cluster", "data", *PLACE)
"""What may stand beside such a flag without a meaning, since it stands in the command line that sends the runs."""

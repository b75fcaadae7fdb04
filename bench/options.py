"""The command line, as a typed dataclass. tyro makes the parser and the help out of it."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bench import studies
from bench.errors import UserError
from bench.provenance import ROOT
from bench.spec import Dataset, Schedule, Selection
from bench.studies import Cluster


@dataclass(frozen=True)
class Options:
    table: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Tables to fill, or `all`."""
    cluster: Cluster = "local"
    """Where runs are computed: on this machine, one after another, or as a Slurm job array."""
    schedule: Schedule = "paper"
    """Iterations: the paper's 64,000; short, 4,000; or smoke, minutes on the digits that ship with scikit-learn."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Runs of each net, with seeds 0 to N-1."""
    only: Annotated[str | None, tyro.conf.arg(metavar="GLOB")] = None
    """Only the nets whose name matches this glob, for example 'resnet-*'; or one net of any depth 6n+2."""
    dataset: Annotated[Dataset | None, tyro.conf.arg(metavar="{cifar10,digits}")] = None
    """Data set; left out, it is the schedule's: cifar10, or digits for smoke."""
    selection: Selection = "all"
    """Train on all training images, or on 45k of CIFAR-10's 50k with 5k held out."""
    data: Annotated[Path, tyro.conf.arg(metavar="DIR")] = ROOT / "data"
    """Folder that holds cifar-10-batches-py."""
    download: bool = False
    """Download CIFAR-10 into --data where it is missing."""
    results: Annotated[Path, tyro.conf.arg(metavar="DIR")] = ROOT / "results"
    """Folder of the runs: checkpoints, curves, results."""
    tables: Annotated[Path, tyro.conf.arg(metavar="DIR")] = ROOT / "tables"
    """Folder that Markdown and figures are written to."""
    dry_run: bool = False
    """Print what would be run, and stop."""
    report: bool = False
    """Run nothing: write the tables from the runs that are finished."""
    check: bool = False
    """Write nothing: fail where counts, or the committed tables, differ from what they are made of."""
    force: bool = False
    """Run again what has a result already."""
    publish: bool = False
    """Copy the finished runs of these tables, without checkpoints, to tables/measured, and write the tables."""


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
    if not options.table:
        raise UserError(f"--table is missing: {choices}")
    for name in options.table:
        if name not in studies.TABLES and name != "all":
            raise UserError(f"--table {name} is no table: {choices}")
    if options.seeds < 1:
        raise UserError(f"--seeds {options.seeds} is no number of runs: give 1 or more")
    if options.check and (options.report or options.publish or options.force or options.dry_run):
        raise UserError("--check writes and runs nothing: give it without --report, --publish, --force and --dry-run")
    dataset = options.dataset or studies.cifar_depth.DEFAULT_DATASET[options.schedule]
    if options.selection != "all" and dataset != "cifar10":
        raise UserError(f"--selection {options.selection} is a split of cifar10: leave it out for {dataset}")
    if "all" in options.table:
        from dataclasses import replace

        return replace(options, table=tuple(studies.TABLES))
    return options


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

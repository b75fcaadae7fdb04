"""From the words of a command line to options that a table can have."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence

import tyro

from bench.command.options import Options, SlurmOptions
from bench.command.tables import TABLES
from bench.errors import UserError
from bench.studies import cifar_depth, imagenet


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
    width = max(map(len, TABLES))
    tables = "\n".join(f"  {table.name:<{width}}  {table.title}" for table in TABLES.values())
    return (
        "Measures the tables of He, Zhang, Ren and Sun, arXiv 1512.03385, and holds them against the printed numbers. "
        "Giving the same command again goes on where it stopped.\n\nTables:\n\n" + tables
    )


def check(options: Options) -> Options:
    """The options, with `all` spelt out. Raises UserError for values that no run can have."""
    choices = f"choose from {', '.join([*TABLES, 'all'])}"
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
        if name not in TABLES and name != "all":
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
    dataset = options.dataset or cifar_depth.DEFAULT_DATASET[options.schedule]
    if options.selection != "all" and dataset != "cifar10":
        raise UserError(f"--selection {options.selection} is a split of cifar10: leave it out for {dataset}")
    if "all" in options.table:
        from dataclasses import replace

        return replace(options, table=tuple(TABLES))
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
    asked, tables = options.elsewhere, [*imagenet.STUDIES]
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

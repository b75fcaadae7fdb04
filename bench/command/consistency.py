"""Options that go together, and those that do not: everything is refused here, before anything is planned or sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from bench.command import names
from bench.command.options import FIELDS, Options, build, default
from bench.command.subcommands import COMMANDS, DATA, FLAGS, RUNS, SLURM, TOLERATED, Command
from bench.command.tables import ANY, TABLES
from bench.errors import UserError
from bench.files import check_folder
from bench.runs import overrides
from bench.studies import cifar_depth, imagenet


def check(command: Command, given: Mapping[str, Any], flags: Sequence[str] = ()) -> Options:
    """The options of a command, `all` and aliases of tables spelt out.

    `flags` are options of the main command that stand for subcommands. Raises UserError, in one line.
    """
    if flags:
        command = _meant(flags, given)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    options = build({**command.unless_given, **command.preset, **values})
    options = replace(options, table=_tables(options.table), subcommand=command.name)
    for rule in RULES:
        if said := rule(command, options, values):
            raise UserError(said)
    return options


def check_results(options: Options) -> None:
    """Raise UserError for a folder that can be none, or where a command looks at runs in a folder that is not there.

    Of the runs in a misspelt folder it would say "new".
    """
    for name in ("results", "tables", "data"):
        check_folder(getattr(options, name), f"--{name}")
    slurm = options.slurm
    looks = slurm.status or slurm.logs or slurm.cancel or slurm.retry or options.moving.export
    elsewhere = options.moving.data and options.results != default("results")
    if (looks or elsewhere) and not options.results.is_dir():
        raise UserError(f"--results {options.results}: no such folder: give the one in which the runs were begun")


def _meant(flags: Sequence[str], given: Mapping[str, Any]) -> Command:
    """The subcommand that flags of the main command stand for, with what it takes. Raises UserError."""
    meant = list(dict.fromkeys(FLAGS[flag] for flag in flags))
    for one, other in (("import", "publish"), ("evaluate", "publish"), ("publish", "report")):
        if set(meant) == {one, other}:
            meant = [one]
    if len(meant) > 1:
        raise UserError(f"{' and '.join(FIELDS[flag].name for flag in flags)} are different commands: give one of them")
    command = COMMANDS[meant[0]]
    if wrong := [FIELDS[name].name for name in given if name not in (*command.takes, *flags, *TOLERATED)]:
        raise UserError(f"{FIELDS[flags[0]].name} does one thing and stops: leave out {' and '.join(wrong)}")
    return command


def _tables(words: Iterable[str]) -> tuple[str, ...]:
    """The tables that are named. Raises UserError for an unknown name, with the nearest one."""
    found: dict[str, None] = {}
    for word in words:
        name = names.table_of(word)
        if name == "all":
            found |= dict.fromkeys(TABLES)
        elif name in TABLES:
            found[name] = None
        else:
            raise UserError(_unknown(word))
    return tuple(found)


def _unknown(word: str) -> str:
    if word in COMMANDS:
        return f"--table {word}: {word} is a command and comes first: run.py {word} --table NAME"
    said = names.nearest(word, [*TABLES, *names.ALIASES, "all"])
    return "; ".join(filter(None, [f"--table {word}: no such table", said, _choices()]))


def _choices() -> str:
    return f"choose from {', '.join([*TABLES, 'all'])}"


def _table_is_there(command: Command, options: Options, given: Mapping[str, Any]) -> str | None:
    free = (
        command.name in ("export", "doctor")
        or options.moving.export
        or options.moving.imports
        or options.elsewhere.evaluate
    )
    return None if options.table or free else f"--table is missing: {_choices()}"


def _is_heeded(command: Command, options: Options, given: Mapping[str, Any]) -> str | None:
    """Of every option that is given or that the command stands for: at least one of the tables heeds it."""
    asked = {**command.preset, **{name: value for name, value in given.items() if value != default(name)}}
    heeded = ANY.union(*(TABLES[name].heeds for name in options.table))
    wrong = [name for name in asked if name not in heeded] if options.table else []
    if not wrong:
        return None
    tables = " and ".join(options.table)
    if QUESTIONS.intersection(wrong):
        return f"{command.name}: no runs belong to {tables}: choose a table that runs fill, such as cifar_depth"
    words = " and ".join(FIELDS[name].name for name in wrong)
    does, them = ("does", "it") if len(wrong) == 1 else ("do", "them")
    return f"{words} {does} nothing for {tables}: leave {them} out"


def _slurm_is_asked(command: Command, options: Options, given: Mapping[str, Any]) -> str | None:
    if options.cluster == "slurm" or command.name in COMMANDS:
        return None
    wrong = next((name for name in SLURM if name in given), None)
    return f"{FIELDS[wrong].name} is for Slurm: add --cluster slurm, or leave it out" if wrong else None


def _selection_fits(command: Command, options: Options, given: Mapping[str, Any]) -> str | None:
    dataset = options.dataset or cifar_depth.DEFAULT_DATASET[options.schedule]
    if options.selection != "all" and dataset != "cifar10":
        return f"--selection {options.selection} is a split of cifar10: leave it out for {dataset}"
    return None


def _force_has_an_object(command: Command, options: Options, given: Mapping[str, Any]) -> str | None:
    if options.moving.imports and options.force and not options.publish:
        return "--force is for --publish here: add that, or leave out --force"
    return None


def _checkpoints_are_packed(command: Command, options: Options, given: Mapping[str, Any]) -> str | None:
    if options.moving.checkpoints and not options.moving.export:
        return f"--checkpoints {options.moving.checkpoints} is for export: add --export FILE"
    return None


def _export_has_an_object(command: Command, options: Options, given: Mapping[str, Any]) -> str | None:
    """Of export: a bundle of runs, or files for other programs, which take all runs of a table."""
    if command.name != "export":
        return None
    data = [FIELDS[name].name for name in DATA if name in given]
    if not data:
        return None if options.moving.export else "export: FILE is missing: see python bench/run.py export --help"
    if options.moving.export:
        return f"export {options.moving.export}: a bundle has a command of its own: leave out {' and '.join(data)}"
    wrong = [FIELDS[name].name for name in given if name in RUNS and name not in ("table", "results")]
    words = " and ".join(wrong)
    return f"{words}: {data[0]} has all runs of a table, each with its fields: leave out {words}" if wrong else None


def _weights_fit(command: Command, options: Options, given: Mapping[str, Any]) -> str | None:
    """Of nets of other projects: an ImageNet net has a table, a CIFAR net has none, and a file has a net."""
    asked, tables = options.elsewhere, [*imagenet.STUDIES]
    said = None
    if asked.weights and not all(name in tables for name in options.table):
        said = f"--weights {asked.weights} is for ImageNet tables: choose from {', '.join(tables)}"
    elif asked.ensemble and options.table != ("imagenet_multiscale",):
        said = "--ensemble is Table 5: give it with --table imagenet_multiscale"
    elif asked.weights not in (None, "torchvision") and asked.arch is None:
        said = f"--weights {asked.weights}: add --arch, such as imagenet-resnet-50-B-stride3x3"
    elif asked.arch and asked.weights in (None, "torchvision") and not asked.evaluate:
        said = f"--arch {asked.arch} is the net in a file: give the file, as run.py evaluate FILE"
    elif command.name == "evaluate" and not (asked.weights or asked.ensemble or asked.evaluate):
        said = "evaluate: FILE is missing: see run.py evaluate --help"
    return said


def _cifar_file_fits(command: Command, options: Options, given: Mapping[str, Any]) -> str | None:
    asked = options.elsewhere
    said = None
    if not asked.evaluate:
        pass
    elif options.table:
        said = "--evaluate tests one CIFAR net and fills no table: leave out --table"
    elif str(asked.evaluate) == "torchvision" or (asked.arch or "").startswith(("imagenet-", "vgg-")):
        said = f"evaluate {asked.evaluate}: add --table, such as imagenet_shortcuts, for ImageNet nets"
    elif asked.arch is None:
        said = f"evaluate {asked.evaluate}: add --arch, such as resnet-56-A"
    elif options.dataset not in (None, "cifar10"):
        said = f"evaluate: CIFAR nets are tested on cifar10, not {options.dataset}: leave out --dataset"
    return said


def _recipe_is_possible(command: Command, options: Options, given: Mapping[str, Any]) -> str | None:
    """Of --set, whose values are checked where they are applied."""
    if options.set:
        changes = overrides.parse(options.set)
        for name in options.table:
            if name in imagenet.STUDIES:
                overrides.apply(imagenet.recipe(options.schedule), changes)
            elif "set" in TABLES[name].heeds:
                overrides.apply(cifar_depth.SCHEDULES[options.schedule], changes)
    return None


def _tensorboard_is_there(command: Command, options: Options, given: Mapping[str, Any]) -> str | None:
    if options.tensorboard and find_spec("tensorboard") is None:
        return "--tensorboard needs the package tensorboard, which is not installed: pip install tensorboard"
    return None


Rule = Callable[[Command, Options, Mapping[str, Any]], str | None]
QUESTIONS = frozenset({"status", "logs", "cancel", "retry"})
RULES: tuple[Rule, ...] = (
    _cifar_file_fits,
    _export_has_an_object,
    _checkpoints_are_packed,
    _table_is_there,
    _force_has_an_object,
    _weights_fit,
    _is_heeded,
    _slurm_is_asked,
    _selection_fits,
    _recipe_is_possible,
    _tensorboard_is_there,
)
"""Each gives the complaint of one kind of mistake, or None."""

"""From the words of a command line to Options. argparse reads them; argcomplete completes them in bash and zsh.

Click and Typer know no option of several values (`--table A B`). tyro has no help of several pages, and completes no
`python bench/run.py`. argparse with argcomplete does all of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Never

from bench.command import consistency, help_pages, names
from bench.command.options import FIELDS, Field, Options
from bench.command.subcommands import COMMANDS, FLAGS, MAIN, Command
from bench.command.tables import TABLES
from bench.errors import UserError


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options of a command line. Raises UserError, in one line, for a word or value that no command takes."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "_ARGCOMPLETE" in os.environ:
        from bench.command import completion

        completion.offer(tree())
    command = MAIN
    if words and not words[0].startswith("-"):
        command = _command(words.pop(0))
    _check_names(words, command)
    parser = add_options(_Parser(add_help=False, allow_abbrev=False), command)
    parser.command = command
    found, others = parser.parse_known_args(words)
    if others:
        raise UserError(_stray(others[0]))
    given = {name: value for name, value in vars(found).items() if value is not None}
    flags = [name for name in FLAGS if name in given] if command is MAIN else []
    if command.name == "evaluate":
        given = _evaluated(given)
    return consistency.check(command, given, flags)


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are UserErrors of one line."""

    command = MAIN

    def error(self, message: str) -> Never:
        where = f"{self.command.name}: " if self.command.name else ""
        if message.startswith("the following arguments are required: "):
            raise UserError(f"{where}{message.rpartition(': ')[2]} is missing: see {help_pages.usage(self.command)}")
        named = message.removeprefix("argument ").replace(": ", " ", 1) if message.startswith("argument ") else message
        for count in ("expected one argument", "expected at least one argument"):
            named = named.replace(f" {count}", ": value is missing")
        raise UserError(where + named)


class _Print(argparse.Action):
    """An option that prints a text and ends the command."""

    def __init__(self, *words: Any, text: Callable[[], str], **rest: Any) -> None:
        super().__init__(*words, **{**rest, "nargs": 0, "dest": argparse.SUPPRESS, "default": argparse.SUPPRESS})
        self.text = text

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> Never:
        print(self.text())
        sys.exit(0)


PRINTS = ("-h", "--help", "--help-more", "--help-slurm", "--version")
"""Options that print a text and end the command."""


def add_options(parser: argparse.ArgumentParser, command: Command) -> Any:
    """The parser, with everything that a command takes."""
    parser.add_argument("-h", "--help", action=_Print, text=partial(help_pages.everyday, command), help="help")
    for page, fields in (("more", command.more), ("slurm", command.slurm)):
        if fields:
            text = partial(help_pages.further, command, page)
            parser.add_argument(f"--help-{page}", action=_Print, text=text, help=help_pages.FURTHER[page])
    if command is MAIN:
        parser.add_argument("--version", action=_Print, text=help_pages.version, help="version and commit")
    for name in command.takes:
        _add(parser, FIELDS[name], command)
    for name in dict.fromkeys(_old(command)):
        _add(parser, FIELDS[name], command, hidden=True)
    return parser


def _old(command: Command) -> list[str]:
    """Options that the main command takes and does not show."""
    return [name for name, field in FIELDS.items() if field.page == "old"] if command is MAIN else []


def _add(parser: argparse.ArgumentParser, field: Field, command: Command, hidden: bool = False) -> None:
    shown = argparse.SUPPRESS if hidden else command.help.get(field.field, field.help)
    facts: dict[str, Any] = {"default": argparse.SUPPRESS, "help": shown}
    if field.flag:
        facts["action"] = "store_true"
    else:
        facts |= {"type": field.convert, "metavar": help_pages.metavar(field)}
    if field.field == command.target:
        facts["nargs"] = "?" if command.optional else "+" if field.many else None
        facts |= {"default": None} if command.optional else {}  # argparse would convert the word that suppresses it
        parser.add_argument(field.field, **{**facts, "metavar": help_pages.target(command)})
    else:
        facts |= {"nargs": "+", "action": "extend"} if field.many else {}
        parser.add_argument(field.name, dest=field.field, **facts)


def _command(word: str) -> Command:
    """The subcommand of that name. Raises UserError, with what was probably meant."""
    if word in COMMANDS:
        return COMMANDS[word]
    if names.table_of(word) in TABLES:
        raise UserError(f"{word} is a table: give --table {word}")
    said = names.nearest(word, COMMANDS)
    raise UserError("; ".join(filter(None, [f"{word}: unknown command", said, f"choose from {', '.join(COMMANDS)}"])))


def _stray(word: str) -> str:
    if word in COMMANDS:
        return f"{word} is a command and comes first: run.py {word} ..."
    return f"{word}: no option takes this word: see --help"


def _check_names(words: Sequence[str], command: Command) -> None:
    """Raise UserError for the first option that there is not, with what was probably meant."""
    known = {FIELDS[name].name for name in (*command.takes, *_old(command)) if name != command.target}
    prints = {name for name in PRINTS if name in ("-h", "--help") or command is MAIN}
    prints |= {f"--help-{page}" for page in ("more", "slurm") if getattr(command, page)}
    for word in words:
        name = word.partition("=")[0]
        if not name.startswith("--") or name == "--" or name in known | prints:
            continue
        others = {field.name for field in FIELDS.values()}
        if name in others and command is MAIN:
            raise UserError(f"{name} is an option of export: run.py export {name} ...")
        if name in others:
            raise UserError(f"{name} is no option of {command.name}: see run.py {command.name} --help")
        said = names.nearest(name, known | prints)
        raise UserError(f"{name}: unknown option; {said or 'see --help'}")


def _evaluated(given: dict[str, Any]) -> dict[str, Any]:
    """Of `evaluate FILE`: the file is a CIFAR net's, unless an ImageNet table is named."""
    if "weights" in given and "table" not in given:
        from pathlib import Path

        return {
            **{name: value for name, value in given.items() if name != "weights"},
            "evaluate": Path(given["weights"]),
        }
    return given


def tree() -> argparse.ArgumentParser:
    """The main command with its subcommands as one parser, for completion."""
    parser: argparse.ArgumentParser = add_options(argparse.ArgumentParser(add_help=False, allow_abbrev=False), MAIN)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=argparse.ArgumentParser)
    for command in COMMANDS.values():
        add_options(commands.add_parser(command.name, help=command.title, add_help=False), command)
    return parser

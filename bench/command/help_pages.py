"""Help pages, at most 80 columns wide: one of everyday options for each command, others of further and of Slurm options."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from bench.command.options import FIELDS, Field
from bench.command.subcommands import COMMANDS, MAIN, Command
from bench.command.tables import TABLES
from bench.runs import provenance

WIDTH, COLUMN, NAMES = 80, 26, 30
"""Columns of a page, and before the help of options and of tables."""
LONGEST_TITLE = WIDTH - NAMES
FURTHER = {"more": "further options", "slurm": "Slurm options"}
PROGRAM = "python bench/run.py"


def everyday(command: Command) -> str:
    """The page of `--help`."""
    parts = [usage_lines(command), command.about]
    if command is MAIN:
        parts.append(_list("Tables:", ((table.name, table.title) for table in TABLES.values()), NAMES))
    rows = [(words(FIELDS[name]), help_of(name, command)) for name in command.everyday]
    parts.append(_list("Options:", rows))
    if command is MAIN:
        parts.append(
            _list("Commands, each with a --help:", ((each.name, each.title) for each in COMMANDS.values()), 12)
        )
    if others := [f"--help-{page}, {FURTHER[page]}" for page in FURTHER if getattr(command, page)]:
        parts.append(f"More: {'; '.join(others)}" + ("; --version." if command is MAIN else "."))
    if command.examples and command is not MAIN:
        parts.append("\n".join(["Examples:", *(f"  {call(command)} {words}".rstrip() for words in command.examples)]))
    return "\n\n".join(parts)


def further(command: Command, page: str) -> str:
    """The page of `--help-more` or `--help-slurm`."""
    rows = [(words(FIELDS[name]), help_of(name, command)) for name in getattr(command, page)]
    about = {
        "more": "Options that are seldom needed.",
        "slurm": "Options for runs on a Slurm cluster. They win over the values of the profile.",
    }[page]
    return "\n\n".join([usage_lines(command), about, _list(f"{FURTHER[page].capitalize()}:", rows)])


def version() -> str:
    """Version of the project and commit of the checkout."""
    import tomllib

    project = tomllib.loads((provenance.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    code = provenance.code()
    commit = (code["commit"] or "unknown")[:10] + (" and changes" if code["patch"] else "")
    return f"{project['name']} {project['version']}, commit {commit}"


def call(command: Command) -> str:
    """The beginning of its command line."""
    return f"{PROGRAM} {command.name}".rstrip()


def usage(command: Command) -> str:
    """Where its help is."""
    return f"{call(command)} --help"


def usage_lines(command: Command) -> str:
    if command is MAIN:
        return f"Usage: {PROGRAM} (--table NAME ... | COMMAND) [options]"
    name = target(command) if command.target else ""
    words = [call(command), name if command.optional is False else f"[{name}]" if name else "", "[options]"]
    return f"Usage: {' '.join(filter(None, words))}"


def target(command: Command) -> str:
    """What is given without a name, after the command."""
    field = FIELDS[command.target or ""]
    return "FILE" if command.name == "evaluate" else metavar(field)


def metavar(field: Field) -> str:
    """What stands for its value; of several values `NAME ...`."""
    return (field.metavar or "") + (" ..." if field.many else "")


def words(field: Field) -> str:
    """An option with what stands for its value."""
    return f"{field.name} {metavar(field)}".rstrip()


def help_of(name: str, command: Command) -> str:
    """Its help line, with its default where that is a word."""
    field = FIELDS[name]
    text = command.help.get(name, field.help)
    value = command.unless_given.get(name, field.default)
    shown = str(getattr(value, "text", value)) if value not in (None, False, ()) else ""
    if shown.startswith(str(provenance.ROOT)):
        shown = shown.removeprefix(f"{provenance.ROOT}/")
    return f"{text} [{shown}]" if shown and not isinstance(value, tuple) else text


def _list(heading: str, rows: Iterable[tuple[str, str]], column: int = COLUMN) -> str:
    """A heading and lines of two columns."""
    lines = [heading]
    for name, text in rows:
        wrapped = textwrap.wrap(text, WIDTH - column, break_on_hyphens=False) or [""]
        first = f"  {name}"
        if len(first) > column - 1:
            lines.append(first)
            first = ""
        lines += [f"{first:<{column}}{wrapped[0]}", *(" " * column + line for line in wrapped[1:])]
    return "\n".join(lines)

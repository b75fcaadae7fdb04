"""Reference pages that are generated: the commands with their options, and the fields of a recipe."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Hashable, Iterator
from dataclasses import fields
from itertools import pairwise
from types import NoneType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from bench.command import help_pages
from bench.command.options import FIELDS
from bench.command.subcommands import COMMANDS, MAIN, Command
from bench.report.render.markdown import table
from bench.runs.overrides import OF_ITS_OWN, OPEN
from bench.runs.overrides import text as as_typed
from bench.runs.ranges import ranges
from bench.runs.spec import CifarRecipe, ImageNetRecipe, Recipe

GENERATED = "<!-- Generated from the code by `publish`; `check` compares. Do not edit. -->"


def pages() -> dict[str, str]:
    """File name -> text of each page in docs/reference that is generated."""
    return {"cli.md": cli(), "recipe.md": recipe()}


def cli() -> str:
    """Every command with its options."""
    parts = [
        GENERATED,
        "# Commands and options",
        "`--help` prints the everyday options, `--help-more` further ones, `--help-slurm` those of Slurm. "
        "A default is in brackets.",
    ]
    for command in (MAIN, *COMMANDS.values()):
        parts += [f"## {command.name or 'Main command'}", *_command(command)]
    return "\n\n".join(parts) + "\n"


def _command(command: Command) -> Iterator[str]:
    """Usage, meaning, options and examples of a command."""
    yield "\n\n".join(f"`{line.strip()}`" for line in help_pages.usage_lines(command).split("python bench/")[1:])
    yield command.about
    for title, names in (("", command.everyday), ("Further options", command.more), ("Slurm options", command.slurm)):
        if names:
            rows = [[_code(help_pages.words(FIELDS[name])), _cell(help_pages.help_of(name, command))] for name in names]
            yield from [f"**{title}**"] if title else []
            yield table(rows, ["option", "meaning"])
    if command.examples:
        lines = [f"{help_pages.call(command)} {words}".rstrip() for words in command.examples]
        yield "\n".join(["```sh", *lines, "```"])


RECIPE = """\
A recipe is how a net is trained. Every field is part of a run's identity. `--set NAME=VALUE` changes one; such runs get a
page of their own. *Compared*: whether a run with another value is compared with the paper's numbers. It is where the paper
leaves the field open, or where only rounding changes."""


def recipe() -> str:
    """Every field that `--set` takes, of CIFAR and ImageNet nets."""
    parts = [GENERATED, "# Recipe fields", RECIPE, "## All nets", _fields(Recipe, whole=True)]
    parts += ["## CIFAR nets", "Further fields of CIFAR nets.", _fields(CifarRecipe)]
    parts += ["## ImageNet nets", "Further fields of ImageNet nets, and other defaults.", _fields(ImageNetRecipe)]
    return "\n\n".join(parts) + "\n"


def _fields(cls: type[Recipe], whole: bool = False) -> str:
    """A table of all fields of a class, or of those that it adds to its base or gives another default."""
    hints, allowed = get_type_hints(cls), dict(ranges(cast(Hashable, cls)))
    said = {name: words for each in reversed(cls.__mro__[:-1]) for name, words in _docstrings(each).items()}
    rows = []
    for field in fields(cls):
        if field.name in OF_ITS_OWN or not (whole or field.name in vars(cls)["__annotations__"]):
            continue
        bounds, name = (allowed[field.name].bounds, allowed[field.name].name) if field.name in allowed else ("", "")
        meaning = _cell(said.get(field.name, f"{name.capitalize()}.").removeprefix("Open. "))
        compared = "yes" if field.name in OPEN else ""
        values = _values(hints[field.name], bounds)
        rows.append([_code(field.name), _code(as_typed(field.default)), values, compared, meaning])
    return table(rows, ["field", "default", "values", "compared", "meaning"])


def _values(hint: Any, bounds: str) -> str:
    """What a field takes: its choices, or its kind and range."""
    found: list[str] = []
    for option in get_args(hint) if get_origin(hint) is not None and NoneType in get_args(hint) else (hint,):
        if get_origin(option) is Literal:
            found += [_code(choice) for choice in get_args(option)]
        elif option is NoneType:
            found.append(_code("none"))
        elif option is bool:
            found += [_code("true"), _code("false")]
        else:
            kinds = get_args(option)
            kind = {int: "whole number", float: "number"}[kinds[0] if kinds else option]
            found.append(f"{kind}{'s with commas' if kinds else ''}{f' {bounds}' if bounds else ''}")
    return _cell(", ".join(found))


def _docstrings(cls: type) -> dict[str, str]:
    """Field -> the string below it in the class."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    found = {}
    for one, other in pairwise(body):
        named = isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        if named and isinstance(other, ast.Expr) and isinstance(other.value, ast.Constant):
            found[one.target.id] = " ".join(str(other.value.value).split())  # type: ignore[attr-defined]
    return found


def _code(text: Any) -> str:
    return f"`{_cell(str(text))}`"


def _cell(text: str) -> str:
    """The text within a table of Markdown."""
    return text.replace("|", "\\|")

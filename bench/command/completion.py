"""What a shell offers after TAB: argcomplete asks the parser, and here for tables, nets and fields of the recipe."""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import Any

import argcomplete
from argcomplete.completers import DirectoriesCompleter, FilesCompleter, SuppressCompleter

from bench.command import names
from bench.command.options import FIELDS
from bench.command.tables import TABLES
from bench.command.values import choices_of
from bench.runs.spec import CifarRecipe
from bench.studies import cifar_depth, imagenet


def offer(parser: argparse.ArgumentParser) -> None:
    """Print what completes the command line that the shell is at, and end."""
    for part in (parser, *_subparsers(parser)):
        for action in part._actions:
            _equip(action)
    argcomplete.autocomplete(parser, always_complete_options=False, default_completer=SuppressCompleter())


def _subparsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [
        each
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for each in action.choices.values()
    ]


def _equip(action: argparse.Action) -> None:
    field = FIELDS.get(action.dest)
    if field is None or field.flag:
        return
    completer: Any = COMPLETERS.get(field.field) or (lambda **_: choices_of(field.convert))
    if field.metavar in ("DIR", "FILE"):
        completer = DirectoriesCompleter() if field.metavar == "DIR" else FilesCompleter()
    action.completer = completer  # type: ignore[attr-defined]


def _tables(**_: Any) -> list[str]:
    return [*TABLES, "all"]


def _nets(**_: Any) -> list[str]:
    """Nets of the ImageNet tables that stand in the line already; else CIFAR nets."""
    words = {names.table_of(word) for word in os.environ.get("COMP_LINE", "").split()}
    archs = [arch for name, study in imagenet.STUDIES.items() if name in words for arch in study.archs]
    return [arch.name.removeprefix("imagenet-") for arch in archs or cifar_depth.ARCHS]


def _fields_of_recipes(**_: Any) -> list[str]:
    return [f"{field.name}=" for field in dataclasses.fields(CifarRecipe)]


COMPLETERS = {"table": _tables, "only": _nets, "set": _fields_of_recipes}

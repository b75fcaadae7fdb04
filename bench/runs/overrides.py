"""Fields of a recipe that a person sets otherwise: `--set bn_group=64`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from bench.errors import UserError
from bench.runs.spec import Recipe

Changes = tuple[tuple[str, str], ...]
"""(field, value as it is typed), sorted by field."""
R = TypeVar("R", bound=Recipe)

OPEN = frozenset(
    {
        "bn_group", "bn_statistics", "decay", "drop_on", "init", "memory_format", "momentum_form", "normalise",
        "padding_value", "plateau_gain", "plateau_points", "precision", "resize", "bn_images",
    }
)  # fmt: skip
"""Fields that the paper leaves open, or that change only how numbers are rounded: such runs may be held against it."""

OF_ITS_OWN = frozenset({"schedule", "selection", "classes"})
"""Fields with an option of their own."""


def parse(words: Sequence[str]) -> Changes:
    """`("bn_group=64",)` as changes. Raises UserError."""
    found = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise UserError(f"--set {word} is no NAME=VALUE: try bn_group=64")
        found[name] = value
    return tuple(sorted(found.items()))


def apply(recipe: R, changes: Changes) -> R:
    """The recipe with some fields changed. Raises UserError, naming the fields or values that there are."""
    if not changes:
        return recipe
    hints = get_type_hints(type(recipe))
    names = sorted(set(hints) - OF_ITS_OWN)
    values = {}
    for name, text in changes:
        if name not in names:
            raise UserError(f"--set {name}={text}: {name} is no field of the recipe: choose from {', '.join(names)}")
        values[name] = _value(name, text, hints[name])
    return replace(recipe, **values)


def between(base: Recipe, recipe: Recipe) -> Changes:
    """What turns `base` into `recipe`."""
    names = sorted(f.name for f in fields(recipe) if f.name not in OF_ITS_OWN)
    differing = [n for n in names if getattr(base, n) != getattr(recipe, n)]
    return tuple((name, _text(getattr(recipe, name))) for name in differing)


def comparable(changes: Changes) -> bool:
    """Whether runs with these changes may be held against the paper."""
    return all(name in OPEN for name, _ in changes)


def words(changes: Changes) -> str:
    """The option that asks for them, with a space before it; nothing for none."""
    return " --set " + " ".join(f"{name}={value}" for name, value in changes) if changes else ""


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool | None) else str(value)


def _value(name: str, text: str, hint: Any) -> Any:
    """The value that a text means for a field. Raises UserError."""
    options = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    choices: list[str] = []
    for option in options:
        if get_origin(option) is Literal:
            choices += get_args(option)
            if text in get_args(option):
                return text
        elif option is type(None):
            choices.append("none")
            if text == "none":
                return None
        elif option is bool:
            choices += ["true", "false"]
            if text in ("true", "false"):
                return text == "true"
        else:
            many = get_origin(option) is tuple
            kind = get_args(option)[0] if many else option
            choices.append(
                {int: "a whole number", float: "a number"}[kind] + (", or several with commas" if many else "")
            )
            try:
                numbers = tuple(kind(part) for part in text.split(",")) if many else kind(text)
            except ValueError:
                continue
            return numbers
    raise UserError(f"--set {name}={text} cannot be: give {' or '.join(choices)}")

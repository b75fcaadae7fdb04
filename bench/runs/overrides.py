"""Fields of a recipe that a person sets otherwise: `--set bn_group=64`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from bench.errors import UserError
from bench.runs.ranges import OutOfRange
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
"""Fields that the paper leaves open, or that change only how numbers are rounded: such runs may be compared with it."""

OF_ITS_OWN = frozenset({"schedule", "selection", "classes"})
"""Fields with an option of their own."""


def parse(words: Sequence[str]) -> Changes:
    """`("bn_group=64",)` as changes. Raises UserError."""
    found: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise UserError(f"--set {word:.80} is no NAME=VALUE: try bn_group=64")
        if name in found:
            raise UserError(
                f"--set {name}={found[name]:.80} {name}={value:.80}: {name:.80} is given twice: give it once"
            )
        found[name] = value
    return tuple(sorted(found.items()))


def apply(recipe: R, changes: Changes) -> R:
    """The recipe with some fields changed. Raises UserError for a field, a value or a range that is not the recipe's."""
    if not changes:
        return recipe
    hints = get_type_hints(type(recipe))
    names = sorted(set(hints) - OF_ITS_OWN)
    values = {}
    for name, text in changes:
        if name not in names:
            wrong = f"--set {name:.80}={text:.80}: {name:.80}"
            raise UserError(f"{wrong} is no field of the recipe: choose from {', '.join(names)}")
        values[name] = _value(name, text, hints[name])
    try:
        return replace(recipe, **values)
    except OutOfRange as error:
        said = dict(changes)
        at_fault = (
            error.field if error.field in said else next(iter(said))
        )  # of two that must fit, the one that was given
        raise UserError(f"--set {at_fault}={said[at_fault]:.80}: {error.reason}") from None


def within(recipe: Recipe, changes: Changes) -> None:
    """Raise UserError where --set names drops of the learning rate that the training does not reach.

    Drops that it leaves as they are may lie beyond the end: such a training is shorter than its first stage.
    """
    if "drops" in dict(changes) and recipe.drops and recipe.drops[-1] >= recipe.iterations:
        reason = f"drops must lie before the end, at {recipe.iterations:,} iterations"
        raise UserError(f"--set drops={dict(changes)['drops']:.80}: {reason}")


def between(base: Recipe, recipe: Recipe) -> Changes:
    """What turns `base` into `recipe`."""
    names = sorted(f.name for f in fields(recipe) if f.name not in OF_ITS_OWN)
    differing = [n for n in names if getattr(base, n) != getattr(recipe, n)]
    return tuple((name, text(getattr(recipe, name))) for name in differing)


def comparable(changes: Changes) -> bool:
    """Whether runs with these changes may be compared with the paper."""
    return all(name in OPEN for name, _ in changes)


def words(changes: Changes) -> str:
    """The option that asks for them, with a space before it; nothing for none."""
    return " --set " + " ".join(f"{name}={value}" for name, value in changes) if changes else ""


def text(value: Any) -> str:
    """A value as a person types it after `--set NAME=`."""
    if isinstance(value, tuple):
        return ",".join(map(text, value))
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
            kinds = get_args(option) if many else (option,)
            kind, count = kinds[0], None if Ellipsis in kinds else len(kinds)
            several = ", or several with commas" if count is None else f", {count} of them with a comma" if many else ""
            choices.append({int: "a whole number", float: "a number"}[kind] + several)
            try:
                numbers = tuple(kind(part) for part in text.split(",")) if many else (kind(text),)
            except ValueError:
                continue
            if count in (None, len(numbers)):
                return numbers if many else numbers[0]
    raise UserError(f"--set {name}={text:.80}: {name} must be {' or '.join(choices)}")

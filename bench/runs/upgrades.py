"""The formats of spec.json and result.json: what older files mean, and what the id of a run is made of.

A file of an older format is read as what it meant when it was written. Its run keeps its id: a digest is computed over the
fields as the first format wrote them, and a field that was added later counts only where it differs from what older runs did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

FORMAT = 2
"""Version of spec.json and result.json. Raise it together with a line in UPGRADES."""
IDENTITY = 2
"""The format over which ids are computed. It stays as it is: to raise it would rename every run."""

Data: TypeAlias = dict[str, Any]


class Upgrade(Protocol):
    """The step from one format to the next. Pure: it returns another dict and leaves the given one as it was."""

    def __call__(self, data: Data) -> Data:
        """The same file in the next format."""

    def undo(self, data: Data) -> Data:
        """The same fields in the format before, as far as that could say them: ids are made of it."""


@dataclass(frozen=True)
class Added:
    """Fields that a format added. Older files do not have them, and older runs did what `older` says.

    `Added({"CifarRecipe.cutout": 0})`: the class, the field, and the value of older runs.
    """

    older: Data

    def __call__(self, data: Data) -> Data:
        return self._each(data, lambda part, name, value: {name: _listed(value), **part})

    def undo(self, data: Data) -> Data:
        def without(part: Data, name: str, value: Any) -> Data:
            same = name in part and _listed(part[name]) == _listed(value)
            return {key: kept for key, kept in part.items() if key != name} if same else part

        return self._each(data, without)

    def _each(self, data: Data, change: Callable[[Data, str, Any], Data]) -> Data:
        """The file with `change` made to the part that each added field belongs to."""
        for field, value in self.older.items():
            noun, _, name = field.partition(".")
            for place, nouns in _parts(data):
                if noun in nouns:
                    part = change(data[place] if place else data, name, value)
                    data = {**data, place: part} if place else part
        return data


UPGRADES: dict[int, Upgrade] = {}
"""Older format -> the step to the next one. `2: Added({"CifarRecipe.cutout": 0})` reads files of format 2 in format 3."""

KINDS = {"extension": "Extension", "surface": "SurfacePart", "responses": "Responses", "gradients": "GradientRun"}
"""What a spec says of its kind -> the class that it is read as; a training run says nothing."""


def _parts(data: Data) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The parts of a file that are objects of ours: their key, empty for the whole, and the classes that they are of.

    The run that a derived spec is of is a spec by itself, and no part here.
    """
    if "status" in data:
        yield "", ("Measured" if "points" in data else "Result",)
        return
    yield "", (KINDS.get(data["kind"], "") if isinstance(data.get("kind"), str) else "RunSpec",)
    arch = data.get("arch")
    if isinstance(arch, dict):
        yield "arch", ("Arch",)
    if isinstance(data.get("recipe"), dict):
        cifar = isinstance(arch, dict) and arch.get("family") == "cifar"
        yield "recipe", ("Recipe", "CifarRecipe" if cifar else "ImageNetRecipe")
    if isinstance(data.get("grid"), dict):
        yield "grid", ("Grid",)


def _listed(value: Any) -> Any:
    """A value as JSON has it."""
    return list(map(_listed, value)) if isinstance(value, list | tuple) else value


def upgraded(data: Data) -> Data:
    """A spec.json or result.json of this format or an older one, in this format; not the run that a derived spec is of.

    Raises ValueError for a file of a newer format, or of none.
    """
    found = data.get("format")
    if type(found) is not int or not (found in UPGRADES or found >= FORMAT):
        raise ValueError(f"format is {found!r:.80}; expected {' or '.join(map(str, sorted({*UPGRADES, FORMAT})))}")
    if found > FORMAT:
        raise ValueError(f"format {found} is newer than this version reads, which is {FORMAT}: update the code")
    if found == FORMAT:
        return data
    for number in range(found, FORMAT):
        data = UPGRADES[number](data)
    return {**data, "format": FORMAT}


def identity(data: Data) -> Data:
    """The fields of a spec of this format that its id is computed over."""
    if FORMAT == IDENTITY:
        return data
    for number in reversed(range(IDENTITY, FORMAT)):
        data = UPGRADES[number].undo(data)
    nested = {"run": identity(data["run"])} if isinstance(data.get("run"), dict) else {}
    return {**data, **nested, "format": IDENTITY}

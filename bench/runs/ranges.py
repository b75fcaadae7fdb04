"""The range of a field: stated beside the field, and checked here for the command line and for files alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, get_type_hints


@dataclass(frozen=True)
class Range:
    """Which numbers a field may have; of a field with several, each of them. Never NaN or infinite."""

    name: str
    """What a person calls the field."""
    least: float | None = None
    most: float | None = None
    above: float | None = None
    """Excluded itself."""
    below: float | None = None
    """Excluded itself."""
    rises: bool = False
    """Whether each number must be larger than the one before."""

    @property
    def words(self) -> str:
        """`learning rate must be > 0`."""
        return f"{self.name} must be {self.bounds or 'finite'}" + (
            ", each larger than the one before" if self.rises else ""
        )

    @property
    def bounds(self) -> str:
        """`> 0`; nothing where every finite number is allowed."""
        bounds = ((">", self.above), (">=", self.least), ("<", self.below), ("<=", self.most))
        return " and ".join(f"{sign} {bound:,}" for sign, bound in bounds if bound is not None)

    def holds(self, value: Any) -> bool:
        """Whether a value lies in the range."""
        if isinstance(value, tuple):
            return all(map(self.holds, value)) and not (self.rises and _falls(value))
        return not isinstance(value, int | float) or (  # what is no number is for those who check types
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and (isinstance(value, int) or math.isfinite(value))
        )


def _falls(values: tuple[Any, ...]) -> bool:
    pairs = [pair for pair in pairwise(values) if all(isinstance(value, int | float) for value in pair)]
    return any(one >= other for one, other in pairs)


class OutOfRange(ValueError):
    """A field has a value that it cannot have: the field, the value, and what it must be."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field} is {value!r:.80}: {reason}")


@cache
def ranges(cls: type) -> tuple[tuple[str, Range], ...]:
    """The fields of a dataclass that state a range, each with it."""
    hints = get_type_hints(cls, include_extras=True)
    found = ((name, part) for name, hint in hints.items() for part in getattr(hint, "__metadata__", ()))
    return tuple((name, part) for name, part in found if isinstance(part, Range))


def check(record: Any) -> None:
    """Raise OutOfRange for the first field of a dataclass that does not lie in its range."""
    for name, allowed in ranges(record.__class__):
        value = getattr(record, name)
        if not allowed.holds(value):
            raise OutOfRange(name, value, allowed.words)

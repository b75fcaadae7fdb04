"""What a run says of itself while it is computed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """What a running run says of itself."""

    iteration: int
    iterations: int
    loss: float
    error: float
    """Percent, over the images since the last evaluation point."""
    test_error: float | None
    """Percent, of the last evaluation point."""
    images_per_second: float
    """Of the last minutes, as `seconds_left` supposes of those to come."""
    seconds_left: float | None
    """None after the first iteration alone, which compiles: what the others will take is not known yet."""
    evaluated: bool
    """Whether this report is of an evaluation point."""
    waiting: float = 0.0
    """Share of the training time that was spent waiting for data."""


def unheard(report: Report) -> None:
    """Nobody listens."""


def never() -> bool:
    """Nobody asks to stop."""
    return False

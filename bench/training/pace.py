"""How fast a run is of late."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW = 300.0
"""Seconds that are looked back on: a run that was held, or shared its machine, soon says what it does now."""


@dataclass(frozen=True)
class Mark:
    """How far an attempt had come at one moment."""

    images: int
    trained: float
    """Seconds of training alone."""
    at: float
    """Seconds of the clock on the wall, evaluation and checkpoints included."""


class Pace:
    """Speed between the first and the last mark of the window; the first of all lies after the iteration that compiles."""

    def __init__(self) -> None:
        self.marks: deque[Mark] = deque()

    def mark(self, images: int, trained: float, at: float) -> None:
        """Note how far the attempt has come. The window ends with the mark before, so that one is left to start from."""
        while len(self.marks) > 1 and self.marks[-1].at - self.marks[0].at > WINDOW:
            self.marks.popleft()
        self.marks.append(Mark(images, trained, at))

    def images_per_second(self) -> float:
        """Images a second of training; 0 as long as nothing can be said."""
        images, trained, _ = self._between()
        return images / trained if trained > 0 else 0.0

    def seconds(self, images: int) -> float | None:
        """How long so many images will take, with all that is done beside training; None as long as nothing can be said."""
        done, _, passed = self._between()
        return images * passed / done if done > 0 else None

    def _between(self) -> tuple[int, float, float]:
        if not self.marks:
            return 0, 0.0, 0.0
        first, last = self.marks[0], self.marks[-1]
        return last.images - first.images, last.trained - first.trained, last.at - first.at

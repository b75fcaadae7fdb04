"""How many test images a net got wrong, by protocol, and the evaluation.json that says so.

Beside a run's other files it is about the run's net; in `weights/<name>/` about other projects' weights.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.errors import UserError
from bench.files import Damaged, convert, read_json, write_json


def wilson(wrong: int, images: int) -> tuple[float, float]:
    """Wilson's 95 % interval, in percent, of an error rate that was measured as `wrong` of `images`."""
    from scipy.stats import binomtest

    interval = binomtest(wrong, images).proportion_ci(0.95, "wilson")
    return 100 * float(interval.low), 100 * float(interval.high)


ENSEMBLE = "ensemble"
"""The note of an evaluation of several runs together."""


@dataclass(frozen=True)
class Score:
    """How many of `images` a net got wrong. The intervals are binomial: they hold other images, not other trainings."""

    top1_wrong: int
    top5_wrong: int | None
    """None where fewer than six classes make it meaningless, or where it was not measured."""
    images: int

    def __post_init__(self) -> None:
        if not 0 <= (self.top5_wrong or 0) <= self.top1_wrong <= self.images or self.images < 1:
            wrong = f"top1_wrong {self.top1_wrong}, top5_wrong {self.top5_wrong}"
            raise ValueError(f"{wrong}, images {self.images}: expected 0 <= top5 <= top1 <= images, and images > 0")

    @property
    def top1(self) -> float:
        """Percent of images whose highest score is not their label's."""
        return 100 * self.top1_wrong / self.images

    @property
    def top5(self) -> float | None:
        """Percent of images whose label is not among the five highest scores."""
        return None if self.top5_wrong is None else 100 * self.top5_wrong / self.images

    @property
    def top1_interval(self) -> tuple[float, float]:
        """95 %, in percent."""
        return wilson(self.top1_wrong, self.images)

    @property
    def top5_interval(self) -> tuple[float, float] | None:
        """95 %, in percent."""
        return None if self.top5_wrong is None else wilson(self.top5_wrong, self.images)


@dataclass(frozen=True)
class Evaluation:
    """How a net that was not trained here, or several together, were tested."""

    name: str
    """Of the weights: `torchvision ResNet50_Weights.IMAGENET1K_V1`, a file's name with its checksum, or an ensemble's nets."""
    arch: str
    note: str
    scores: dict[str, Score]
    """By protocol."""


def read_scores(path: Path) -> dict[str, Score]:
    """Protocol -> wrong images, from an evaluation.json; nothing where there is none. Raises UserError."""
    if not path.exists():
        return {}
    found = read_json(path)
    try:
        return convert(dict[str, Score], found.get("protocols"))
    except ValueError as error:
        raise Damaged(path, error, DELETE) from error


DELETE = "delete it, and give the same command again"


def write_scores(path: Path, scores: Mapping[str, Score], **facts: str) -> None:
    write_json(path, {**facts, "protocols": {name: asdict(score) for name, score in scores.items()}})


def read_evaluation(path: Path) -> Evaluation:
    """What `write_evaluation` wrote. Raises UserError."""
    data = read_json(path)
    words = {key: data.get(key, "") for key in ("name", "arch", "note")}
    try:
        return convert(Evaluation, {**words, "scores": data.get("protocols")})
    except ValueError as error:
        raise Damaged(path, error, DELETE) from error


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"name": evaluation.name, "arch": evaluation.arch, "note": evaluation.note}
    write_scores(path, evaluation.scores, **facts)


def evaluations(*folders: Path) -> list[Evaluation]:
    """Every evaluation of other projects' weights in these results folders, in order of name and net.

    A file that cannot be read is named on standard error and left out.
    """
    found = {}
    for path in (path for folder in folders for path in sorted(folder.glob("weights/*/evaluation.json"))):
        try:
            read = read_evaluation(path)
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        found[read.name, read.arch] = read
    return [found[key] for key in sorted(found)]

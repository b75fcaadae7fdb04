"""How many test images a net got wrong, by protocol, and the evaluation.json that says so.

Beside a run's other files it is about the run's net; in `weights/<name>/` about weights from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.files import read_json, write_json


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
    return _scores(path, read_json(path)) if path.exists() else {}


def _scores(path: Path, data: dict[str, Any]) -> dict[str, Score]:
    try:
        return {name: Score(**score) for name, score in data["protocols"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it, and give the same command again") from error


def write_scores(path: Path, scores: Mapping[str, Score], **facts: str) -> None:
    write_json(path, {**facts, "protocols": {name: asdict(score) for name, score in scores.items()}})


def read_evaluation(path: Path) -> Evaluation:
    """What `write_evaluation` wrote. Raises UserError."""
    data = read_json(path)
    name, arch, note = (str(data.get(key, "")) for key in ("name", "arch", "note"))
    return Evaluation(name, arch, note, _scores(path, data))


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"name": evaluation.name, "arch": evaluation.arch, "note": evaluation.note}
    write_scores(path, evaluation.scores, **facts)


def evaluations(*folders: Path) -> list[Evaluation]:
    """Every evaluation of weights from elsewhere in these results folders, in order of name and net."""
    paths = [path for folder in folders for path in folder.glob("weights/*/evaluation.json")]
    found = {(e.name, e.arch): e for e in map(read_evaluation, paths)}
    return [found[key] for key in sorted(found)]

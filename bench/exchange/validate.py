"""The record of a run: the files of its folder that travel, read as if a stranger had written them.

Every file is compared with the others: the spec against the name of the folder, the result against the curve, the
checkpoint against the net. Nothing in a file is ever executed, and no path is taken from one.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench.compute import kinds
from bench.errors import UserError
from bench.files import Damaged, convert, read_json, read_lines
from bench.measure.probes.responses_record import ResponsePoint
from bench.measure.probes.surface_record import SurfacePoint
from bench.runs.construction import Construction
from bench.runs.curve import read_points
from bench.runs.derived import SurfacePart, from_json
from bench.runs.folder import Measured, Result, RunFolder
from bench.runs.provenance import PRINTED, origin
from bench.runs.scores import Score
from bench.runs.spec import Spec
from bench.runs.upgrades import upgraded

CHECKPOINT, EVALUATION, CONSTRUCTION = "checkpoint.pt", "evaluation.json", "construction.json"
FILES = (
    "spec.json", "metrics.jsonl", "points.jsonl", CONSTRUCTION, "provenance.json", EVALUATION, CHECKPOINT, "result.json",
)  # fmt: skip
"""What may travel, in the order in which it is put in place: a result says that all the rest is there."""
LIMITS = {
    "spec.json": 1 << 16,
    "metrics.jsonl": 1 << 26,
    "points.jsonl": 1 << 26,
    CONSTRUCTION: 1 << 16,
    "provenance.json": 1 << 24,
    EVALUATION: 1 << 20,
    CHECKPOINT: 1 << 32,
    "result.json": 1 << 16,
}
"""Bytes that no such file of ours comes near."""
TEST_IMAGES = {"cifar10": 10_000}
DATASETS = {
    "cifar": re.compile("cifar10|digits"),
    "imagenet": re.compile("imagenet|imagefolder-[0-9a-f]{8}"),
    "vgg": re.compile("imagenet|imagefolder-[0-9a-f]{8}"),
}
WEIGHTS = re.compile("[0-9a-f]{16}")
R = TypeVar("R", Result, Measured)


class Unsound(Exception):
    """A file is not what it should be: its name, and what is wrong in a few words."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file} {reason}")


@dataclass(frozen=True)
class Record:
    """A run, or a measurement of its net, that was read. What is long stays in its folder."""

    folder: RunFolder
    spec: Spec
    result: Result | Measured | None
    """None while it is not finished."""
    files: tuple[str, ...]
    """Those of `FILES` that are there."""
    iteration: int
    """Iterations done: at the checkpoint, of an unfinished run."""
    settled: int
    """Evaluation points that are never measured again: all, or those before the checkpoint."""

    @property
    def points(self) -> list[dict[str, Any]]:
        """The settled evaluation points, read from the file; a measurement has none."""
        return self.folder.read_metrics()[: self.settled] if self.settled else []


def read(folder: RunFolder, with_checkpoint: bool = True) -> Record:
    """The record in a folder. An unfinished run has one if it has a checkpoint, from which it can go on.

    Raises Unsound, naming the file. Without `with_checkpoint` that file is not looked at.
    """
    files = _present(folder, with_checkpoint)
    spec = spec_of(folder)
    _whole(spec, files)
    _provenance(folder)
    if spec.measures:
        measured = _measured(folder, spec)
        return Record(folder, spec, measured, files, measured.points, 0)
    return _training(folder, spec, files)


def _present(folder: RunFolder, with_checkpoint: bool) -> tuple[str, ...]:
    """Those of `FILES` that are there. Raises Unsound for a link, or where a file that every kind has is missing."""
    for path in (folder.path, *(folder.path / name for name in FILES)):
        if path.is_symlink():
            raise Unsound(path.name, "is a link")
    files = tuple(n for n in FILES if (folder.path / n).exists() and (with_checkpoint or n != CHECKPOINT))
    found = "points.jsonl" if "points.jsonl" in files else "metrics.jsonl"
    _need(files, ("spec.json", found, "provenance.json"))
    return files


def _whole(spec: Spec, files: Collection[str]) -> None:
    """Raise Unsound unless these are the files of a folder of this kind."""
    kind = kinds.of(spec)
    _need(files, kind.needed)
    for name in files:
        if name not in (*kind.needed, *kind.optional):
            raise Unsound(name, f"is no part of {spec.name}")


def _need(files: Collection[str], needed: Iterable[str]) -> None:
    for name in needed:
        if name not in files:
            raise Unsound(name, "is missing")


def _training(folder: RunFolder, spec: Spec, files: tuple[str, ...]) -> Record:
    """The record of a training: each of its files agrees with the others. Raises Unsound."""
    if CONSTRUCTION in files:
        _construction(folder)
    points = _points(folder, spec)
    result = _result(folder, spec, points) if "result.json" in files else None
    if EVALUATION in files:
        scores = evaluation(folder.evaluation, whole=False)
        if result:
            _tested(folder.evaluation.name, scores, result)
    iteration, settled = (result.iterations, len(points)) if result else (0, 0)
    if CHECKPOINT in files:
        iteration, settled = _checkpoint(folder, spec, points, result)
    elif result is None:
        raise Unsound("result.json", "is missing, and there is no checkpoint to go on from")
    if validate := kinds.of(spec).validate:
        ended = iteration + 1 if result and result.status == "done" else iteration
        if wrong := validate(spec, _lines(folder.points), ended):
            raise Unsound(folder.points.name, wrong)
    return Record(folder, spec, result, files, iteration, settled)


@contextlib.contextmanager
def _of(path: Path) -> Iterator[None]:
    """What is wrong with a file becomes Unsound, which names it without its folder."""
    try:
        yield
    except Damaged as error:
        raise Unsound(path.name, f"is damaged ({error.reason})") from error
    except UserError as error:
        raise Unsound(path.name, "cannot be read") from error
    except ValueError as error:
        raise Unsound(path.name, f"is damaged ({error})") from error


def load(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises Unsound."""
    with _of(path):
        return read_json(path, LIMITS.get(path.name, 1 << 20))


def spec_of(folder: RunFolder) -> Spec:
    """The spec, its identity computed again."""
    name = folder.spec.name
    with _of(folder.spec):
        spec = from_json(load(folder.spec))
    for each in (spec, *spec.needs):
        if not DATASETS[each.arch.family].fullmatch(each.dataset):
            wanted = DATASETS[each.arch.family].pattern.replace("|", " or ")
            raise Unsound(name, f"is damaged (dataset is {each.dataset!r:.80}; expected {wanted})")
    if spec.run_id != folder.run_id:
        raise Unsound(name, f"is of run {spec.run_id}, and its folder says {folder.run_id}")
    return spec


def _lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file of one a line."""
    with _of(path):
        return read_lines(path, LIMITS[path.name])


def _points(folder: RunFolder, spec: Spec) -> list[dict[str, Any]]:
    """The evaluation points, in rising order."""
    with _of(folder.metrics):
        return read_points(folder.metrics, spec.recipe.iterations, LIMITS[folder.metrics.name])


def _read(folder: RunFolder, kind: type[R]) -> R:
    """The result file, each field of its type."""
    with _of(folder.result):
        data = upgraded(load(folder.result))
        return convert(kind, {key: value for key, value in data.items() if key != "format"})


def _agree(name: str, result: Result | Measured, expected: Mapping[str, Any]) -> None:
    for key, value in expected.items():
        if getattr(result, key) != value:
            raise Unsound(name, f"has {key} {getattr(result, key)!r:.80} where the others say {value!r:.80}")


def _measured(folder: RunFolder, spec: Spec) -> Measured:
    """That a measurement is whole: each point that it is to have, once and of one net."""
    result, name = _read(folder, Measured), folder.points.name
    points = _lines(folder.points)
    kind = SurfacePoint if isinstance(spec, SurfacePart) else ResponsePoint
    with _of(folder.points):
        for point in points:
            convert(kind, point)
    if any(point["weights"] != result.weights for point in points):
        raise Unsound(name, "has points of other weights than the result says")
    if not WEIGHTS.fullmatch(result.weights):
        raise Unsound(
            folder.result.name, f"is damaged (weights is {result.weights!r:.80}; expected 16 hexadecimal digits)"
        )
    seconds = sum(point["seconds"] for point in points)
    _agree(folder.result.name, result, {"run_id": spec.run_id, "points": len(points), "wall_seconds": seconds})
    if (check := kinds.of(spec).validate) and (wrong := check(spec, points, spec.steps)):
        raise Unsound(name, wrong)
    return result


def _construction(folder: RunFolder) -> None:
    """Raise Unsound unless the file says what an extended net did before it was trained on."""
    with _of(folder.construction):
        convert(Construction, load(folder.construction))


def _result(folder: RunFolder, spec: Spec, points: list[dict[str, Any]]) -> Result:
    """The result, every field that the curve decides compared with it."""
    result, name = _read(folder, Result), folder.result.name
    _agree(name, result, _expected(spec, result, points))
    if result.iterations > spec.recipe.iterations:
        raise Unsound(name, f"has iterations {result.iterations}, and the spec has {spec.recipe.iterations}")
    for point in points:
        wrong = point["test_error"] * result.test_images / 100
        if abs(wrong - round(wrong)) > 1e-6:
            line = f"iteration {point['iteration']} has test_error {point['test_error']}"
            raise Unsound("metrics.jsonl", f"at {line}, which is no number of {result.test_images} images")
    return result


def _expected(spec: Spec, result: Result, points: list[dict[str, Any]]) -> dict[str, Any]:
    """What a result must say, given the spec and the curve."""
    done = result.status == "done"
    if done and (not points or points[-1]["iteration"] != spec.recipe.iterations):
        raise Unsound("metrics.jsonl", f"does not reach iteration {spec.recipe.iterations}")
    last = points[-1] if done else {}
    best = min(points, key=lambda point: float(point["test_error"]), default={})
    held_out = bool(points) and all(point.get("validation_error") is not None for point in points)
    selected = min(points, key=lambda point: float(point["validation_error"])) if held_out else {}
    expected: dict[str, Any] = {
        "run_id": spec.run_id,
        **{key: last.get(key) for key in ("test_error", "validation_error", "train_error", "train_loss")},
        "test_error_best": best.get("test_error"),
        "test_error_best_iteration": best.get("iteration"),
        "test_error_at_best_validation": selected.get("test_error"),
    }
    if done:
        expected["iterations"] = spec.recipe.iterations
    if spec.dataset in TEST_IMAGES:
        expected["test_images"] = TEST_IMAGES[spec.dataset]
    try:
        parameters = kinds.of(spec).parameters(spec)
    except KeyError:
        raise Unsound("spec.json", f"is of {spec.arch.name}, which is no net of the paper's kind") from None
    if getattr(spec.recipe, "classes", 1000) == 1000:
        expected["parameters"] = parameters
    return expected


def _provenance(folder: RunFolder) -> None:
    """Raise Unsound where what pages print of a run's origin is missing, or would break a page."""
    with _of(folder.provenance):
        origin(load(folder.provenance))


def evaluation(path: Path, whole: bool = True) -> dict[str, Score]:
    """The scores in a file, by protocol. Raises Unsound unless it holds such; with `whole`, those of named weights."""
    data = load(path)
    with _of(path):
        scores = convert(dict[str, Score], data.get("protocols"))
        words = {name: data.get(name) for name in ("name", "arch", "note")} if whole else {}
        for name, word in words.items():
            if not isinstance(word, str):
                raise ValueError(f"{name} is {word!r:.80}; expected a line of text")
        for word in (*scores, *words.values()):
            if word and not PRINTED.fullmatch(word):
                raise ValueError(f"{word!r:.80} is on no page; expected a line of text")
        if not scores:
            raise ValueError("protocols is empty; expected at least one")
    return scores


def _tested(name: str, scores: Mapping[str, Score], result: Result) -> None:
    """Raise Unsound unless these are tests of a run's net on its test images.

    The 1-crop is the test of the curve, made once more, perhaps on another processor, whose rounding may decide a few
    images otherwise, but not one in a hundred.
    """
    for protocol, score in scores.items():
        if score.images != result.test_images:
            raise Unsound(name, f"has {protocol} of {score.images} images, and the result has {result.test_images}")
    if "1-crop" in scores and result.test_error is not None:
        otherwise = abs(scores["1-crop"].top1 - result.test_error) * result.test_images / 100
        if round(otherwise) > max(1, result.test_images // 100):
            raise Unsound(name, f"has 1-crop {scores['1-crop'].top1:.2f} %, and the result {result.test_error:.2f} %")


def _checkpoint(folder: RunFolder, spec: Spec, points: list[dict[str, Any]], result: Result | None) -> tuple[int, int]:
    """Iterations and settled points of a checkpoint that fits spec, curve and result."""
    from bench.exchange import validate_checkpoint

    name = folder.checkpoint.name
    if folder.checkpoint.stat().st_size > LIMITS[name]:
        raise Unsound(name, "is larger than it can be")
    try:
        now = validate_checkpoint.inspect(folder.checkpoint, spec)
    except UserError as error:
        raise Unsound(name, str(error)) from error
    if now.metrics != points[: len(now.metrics)] or (result and len(now.metrics) != len(points)):
        raise Unsound(name, "has another curve than metrics.jsonl")
    if result and now.iteration != result.iterations:
        raise Unsound(name, f"is at iteration {now.iteration}, the result at {result.iterations}")
    return now.iteration, len(now.metrics)

"""The record of a run: the files of its folder that travel, read as if a stranger had written them.

Every file is held against the others: the spec against the name of the folder, the result against the curve, the
checkpoint against the net. Nothing in a file is ever executed, and no path is taken from one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from bench.compute import kinds
from bench.errors import UserError
from bench.runs.derived import from_json
from bench.runs.folder import Measured, Result, RunFolder
from bench.runs.scores import Score
from bench.runs.spec import FORMAT, Spec

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
DEEPEST = 10_000
TEST_IMAGES = {"cifar10": 10_000}
POINT = ("iteration", "epoch", "lr", "train_loss", "train_error", "test_error", "images_per_second")
"""What an evaluation point has at least, all of it numbers."""
DATASETS = {
    "cifar": re.compile("cifar10|digits"),
    "imagenet": re.compile("imagenet|imagefolder-[0-9a-f]{8}"),
    "vgg": re.compile("imagenet|imagefolder-[0-9a-f]{8}"),
}
PRINTED = re.compile(r"[^\x00-\x1f\x7f|<>`]{1,200}")
"""Words from a file that end up on a page: one line, and nothing that a page would take for its own."""
COMMIT, WEIGHTS = re.compile("[0-9a-f]{7,64}"), re.compile("[0-9a-f]{16}")
BUILT = (
    "train_error_shallow", "train_error", "train_images", "test_error_shallow", "test_error", "test_images",
    "logit_difference", "logit_size", "predictions_changed",
)  # fmt: skip
"""What is said of an extended net besides the weights that it was made of, all of it numbers."""
R = TypeVar("R", Result, Measured)


class Unsound(Exception):
    """A file is not what it should be: its name, and what is wrong in a few words."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file} {reason}")


@dataclass(frozen=True)
class Record:
    """A run, or what is done with its net, that was read. What is long stays in its folder."""

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
        """The settled evaluation points, read anew; a measurement has none."""
        return self.folder.read_metrics()[: self.settled] if self.settled else []


def read(folder: RunFolder, with_checkpoint: bool = True) -> Record:
    """The record in a folder. An unfinished run has one if it has a checkpoint, from which it can go on.

    Raises Unsound, naming the file. Without `with_checkpoint` that file is not looked at.
    """
    for path in (folder.path, *(folder.path / name for name in FILES)):
        if path.is_symlink():
            raise Unsound(path.name, "is a link")
    files = tuple(n for n in FILES if (folder.path / n).exists() and (with_checkpoint or n != CHECKPOINT))
    found = "points.jsonl" if "points.jsonl" in files else "metrics.jsonl"
    for name in ("spec.json", found, "provenance.json"):
        if name not in files:
            raise Unsound(name, "is missing")
    spec = spec_of(folder)
    kind = kinds.of(spec)
    for name in kind.needed:
        if name not in files:
            raise Unsound(name, "is missing")
    for name in files:
        if name not in (*kind.needed, *kind.optional):
            raise Unsound(name, f"is no part of {spec.name}")
    _provenance(folder)
    if spec.measures:
        measured = _measured(folder, spec)
        return Record(folder, spec, measured, files, measured.points, 0)
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
    if kind.validate:
        ended = iteration + 1 if result and result.status == "done" else iteration
        if wrong := kind.validate(spec, _lines(folder.points), ended):
            raise Unsound(folder.points.name, wrong)
    return Record(folder, spec, result, files, iteration, settled)


def load(path: Path) -> Any:
    """The value in a JSON file. Raises Unsound for what is no JSON, not finite, named twice, or larger than it can be."""
    try:
        if path.stat().st_size > LIMITS.get(path.name, 1 << 20):
            raise Unsound(path.name, "is larger than it can be")
        return _parse(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Unsound(path.name, f"is damaged ({error})") from error


def _parse(text: str) -> Any:
    return json.loads(text, parse_constant=_finite, parse_float=_finite, object_pairs_hook=_once)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no finite number")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _typed(file: str, value: Any) -> None:
    """Raise Unsound unless each field of a dataclass, and of those in it, is of its type, to the last literal."""
    from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

    for name, hint in get_type_hints(type(value)).items():
        found = getattr(value, name)
        if is_dataclass(found):
            _typed(file, found)
        try:
            check_type(found, hint, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
            if isinstance(found, bool) and hint is not bool:  # to Python a bool is an int
                raise TypeCheckError("is a bool")
        except TypeCheckError as error:
            raise Unsound(file, f"has {name} {found!r:.80}, which cannot be") from error


def spec_of(folder: RunFolder) -> Spec:
    """The spec, its identity computed anew."""
    name, data = folder.spec.name, load(folder.spec)
    try:
        spec = from_json(data)
    except (ValueError, TypeError, AttributeError) as error:
        known = isinstance(data, dict) and data.get("format") == FORMAT
        reason = f"is no spec ({error})" if known else f"is of another version than {FORMAT}"
        raise Unsound(name, reason) from error
    _typed(name, spec)
    for each in (spec, *spec.needs):
        r = each.recipe
        if min(r.iterations, r.batch, r.evaluate_every) < 1 or each.seed < 0 or each.arch.depth > DEEPEST:
            raise Unsound(name, "has a number that cannot be")
        if not DATASETS[each.arch.family].fullmatch(each.dataset):
            raise Unsound(name, f"has dataset {each.dataset!r:.80}, which cannot be")
    if spec.run_id != folder.run_id:
        raise Unsound(name, f"is of run {spec.run_id}, and its folder says {folder.run_id}")
    return spec


def _lines(path: Path) -> list[Any]:
    """The values in a file of one JSON value a line."""
    try:
        if path.stat().st_size > LIMITS[path.name]:
            raise Unsound(path.name, "is larger than it can be")
        return [_parse(line) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError, RecursionError) as error:
        raise Unsound(path.name, f"is damaged ({error})") from error


def _points(folder: RunFolder, spec: Spec) -> list[dict[str, Any]]:
    """The evaluation points, in rising order."""
    name, last, points = folder.metrics.name, 0, _lines(folder.metrics)
    for number, point in enumerate(points, start=1):
        if not isinstance(point, dict) or not all(_number(point.get(key)) for key in POINT):
            raise Unsound(name, f"line {number} is no evaluation point")
        if not all(value is None or _number(value) for value in point.values()):
            raise Unsound(name, f"line {number} has something else than numbers")
        if type(point["iteration"]) is not int or not last < point["iteration"] <= spec.recipe.iterations:
            raise Unsound(name, f"line {number} has iteration {point['iteration']} after {last}")
        errors = [point[key] for key in ("train_error", "test_error", "validation_error") if point.get(key) is not None]
        if not all(0 <= error <= 100 for error in errors):
            raise Unsound(name, f"line {number} has an error that cannot be")
        last = point["iteration"]
    return points


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read(folder: RunFolder, kind: type[R]) -> R:
    """The result file, of a known version, each field of its type."""
    name, data = folder.result.name, load(folder.result)
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
        raise Unsound(name, f"is of another version than {FORMAT}")
    if names := set(data) ^ {f.name for f in fields(kind)}:
        raise Unsound(name, f"has other fields ({', '.join(sorted(map(str, names)))[:200]})")
    result = kind(**data)
    _typed(name, result)
    return result


def _agree(name: str, result: Result | Measured, expected: Mapping[str, Any]) -> None:
    for key, value in expected.items():
        if getattr(result, key) != value:
            raise Unsound(name, f"has {key} {getattr(result, key)!r:.80} where the others say {value!r:.80}")


def _measured(folder: RunFolder, spec: Spec) -> Measured:
    """That a measurement is whole: each point that it is to have, once and of one net."""
    result, name = _read(folder, Measured), folder.points.name
    points = _lines(folder.points)
    if not all(isinstance(point, dict) and _number(point.get("seconds")) for point in points):
        raise Unsound(name, "has something else than points")
    if any(point.get("weights") != result.weights for point in points):
        raise Unsound(name, "has points of other weights than the result says")
    if not WEIGHTS.fullmatch(result.weights) or any(point["seconds"] < 0 for point in points):
        raise Unsound(name, "has a value that cannot be")
    seconds = sum(point["seconds"] for point in points)
    _agree(folder.result.name, result, {"run_id": spec.run_id, "points": len(points), "wall_seconds": seconds})
    if (check := kinds.of(spec).validate) and (wrong := check(spec, points, spec.steps)):
        raise Unsound(name, wrong)
    return result


def _construction(folder: RunFolder) -> None:
    """Raise Unsound unless the file says what an extended net did before it was trained on."""
    name, facts = folder.construction.name, load(folder.construction)
    if not isinstance(facts, dict) or set(facts) != {"weights", *BUILT}:
        raise Unsound(name, "has other fields")
    counts = all(type(facts[key]) is int for key in BUILT if key.endswith(("_images", "_changed")))
    numbers = all(_number(facts[key]) and facts[key] >= 0 for key in BUILT)
    known = isinstance(facts["weights"], str) and WEIGHTS.fullmatch(facts["weights"])
    if not known or not counts or not numbers or any(facts[key] > 100 for key in BUILT if "error" in key):
        raise Unsound(name, "has a value that cannot be")


def _result(folder: RunFolder, spec: Spec, points: list[dict[str, Any]]) -> Result:
    """The result, every field that the curve decides held against it."""
    result, name = _read(folder, Result), folder.result.name
    _agree(name, result, _expected(spec, result, points))
    if not 0 <= result.iterations <= spec.recipe.iterations or min(result.wall_seconds, result.images_per_second) < 0:
        raise Unsound(name, "has a number that cannot be")
    if min(result.test_images, result.train_images) < 1:
        raise Unsound(name, "has a number of images that cannot be")
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
    name, facts = folder.provenance.name, load(folder.provenance)
    try:
        code, skipped = facts["code"], facts.get("skipped_images", {})
        words = [facts["device"]["name"], facts["packages"]["torch"], facts.get("host", "?")]
        known = (
            (code["commit"] is None or COMMIT.fullmatch(code["commit"]))
            and isinstance(code["patch"], str | None)
            and facts["device"]["kind"] in ("cpu", "cuda")
            and all(PRINTED.fullmatch(word) for word in words)
            and all(type(facts[key]) is int and facts[key] >= 0 for key in ("threads", "restarts"))
            and all(split in ("train", "val") and type(n) is int and n >= 0 for split, n in skipped.items())
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Unsound(name, f"does not say where the run comes from ({error})") from error
    if not known:
        raise Unsound(name, "has a value that cannot be")


def evaluation(path: Path, whole: bool = True) -> dict[str, Score]:
    """The scores in a file, by protocol. Raises Unsound unless it holds such; with `whole`, those of named weights."""
    data = load(path)
    try:
        scores = {protocol: Score(**score) for protocol, score in data["protocols"].items()}
        words = [*scores, *((data["name"], data["arch"], data["note"]) if whole else ())]
        known = bool(scores) and all(PRINTED.fullmatch(word) or word == "" for word in words)
    except (KeyError, TypeError, AttributeError) as error:
        raise Unsound(path.name, f"is no evaluation ({error})") from error
    for score in scores.values():
        _typed(path.name, score)
        top5 = 0 if score.top5_wrong is None else score.top5_wrong
        known = known and 0 <= top5 <= score.top1_wrong <= score.images > 0
    if not known:
        raise Unsound(path.name, "has a value that cannot be")
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

"""What may stand in the points of a measurement, as far as `--import` can tell.

Each function says what is wrong with the lines of `points.jsonl`, in words that follow the file's name; None where nothing is.
`ended` is the step before which all points must be there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.measure.probes.gradients_record import COLUMNS
from bench.measure.probes.responses_record import PASSES, REDUCTIONS
from bench.runs.derived import GradientRun, Responses, SurfacePart

RESPONSE_POINT = {"data", "batch_norm", *REDUCTIONS, "images", "weights", "seconds"}
SURFACE_POINT = {"row", "column", "loss", "error", "weights", "seconds"}
GRADIENT_POINT = {"iteration", "seconds", *COLUMNS}


def of_surface(spec: SurfacePart, points: Sequence[Any], ended: int) -> str | None:
    """Of a part of a surface: its points, in order, and errors that are numbers of its images."""
    if [(point.get("row"), point.get("column")) for point in points] != spec.points:
        return "has other points than its spec says"
    images = spec.grid.images
    for point in points:
        loss, error = point.get("loss"), point.get("error")
        wrong = error * images / 100 if _number(error) else -1
        possible = 0 <= wrong <= images and abs(wrong - round(wrong)) < 1e-6
        if not possible or not (loss is None or (_number(loss) and loss >= 0)) or set(point) != SURFACE_POINT:
            return f"has a point at {point['row']}, {point['column']} that cannot be"
    return None


def of_responses(spec: Responses, points: Sequence[Any], ended: int) -> str | None:
    """Of the responses of a net: a number for every layer, by every pass."""
    if [(point.get("data"), point.get("batch_norm")) for point in points] != list(PASSES):
        return "has other points than its spec says"
    for point in points:
        whole = set(point) == RESPONSE_POINT and type(point["images"]) is int and point["images"] > 0
        layers = spec.arch.depth - 1  # 6n+1
        if not whole or not all(_numbers(point[reduction], layers) for reduction in REDUCTIONS):
            return f"has a point of {point['data']}, {point['batch_norm']} that cannot be"
    return None


def of_gradients(spec: GradientRun, points: Sequence[Any], ended: int) -> str | None:
    """Of the looks at a training: those before iteration `ended` at least, with all their layers."""
    at = [point.get("iteration") if isinstance(point, dict) else None for point in points]
    if at != list(spec.probe_at[: len(at)]) or len(at) < sum(iteration < ended for iteration in spec.probe_at):
        return "has other points than its spec says"
    for point in points:
        whole = set(point) == GRADIENT_POINT and _numbers([point["seconds"]], 1)
        if not whole or not all(_numbers(point[name], spec.arch.depth, lacking=True) for name in COLUMNS):
            return f"has a point at {point['iteration']} that cannot be"
        if any(value is not None and value < 0 for name in COLUMNS if name != "mean" for value in point[name]):
            return f"has a point at {point['iteration']} that cannot be"
    return None


def _number(value: Any) -> bool:
    return type(value) in (int, float)


def _numbers(values: Any, count: int, lacking: bool = False) -> bool:
    """Whether this is a list of so many numbers, some of which may be lacking; if none may, none is negative."""
    if not isinstance(values, list) or len(values) != count:
        return False
    found = [value for value in values if not (lacking and value is None)]
    return all(_number(value) and (lacking or value >= 0) for value in found)

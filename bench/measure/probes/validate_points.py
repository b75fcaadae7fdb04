"""What may stand in the points of a measurement, as far as `--import` can tell.

Each function says what is wrong with the lines of `points.jsonl`, in words that follow the file's name; None where nothing is.
`ended` is the step before which all points must be there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.files import convert
from bench.measure.probes.gradients_record import COLUMNS, Point
from bench.measure.probes.responses_record import PASSES, REDUCTIONS
from bench.runs.derived import GradientRun, Responses, SurfacePart


def of_surface(spec: SurfacePart, points: Sequence[Any], ended: int) -> str | None:
    """Of a part of a surface: its points, in order, and errors that are numbers of its images."""
    if [(point["row"], point["column"]) for point in points] != spec.points:
        return "has other points than its spec says"
    for point in points:
        wrong = point["error"] * spec.grid.images / 100
        if abs(wrong - round(wrong)) > 1e-6:
            at = f"row {point['row']}, column {point['column']}"
            return f"has at {at} error {point['error']}, which is no number of {spec.grid.images} images"
    return None


def of_responses(spec: Responses, points: Sequence[Any], ended: int) -> str | None:
    """Of the responses of a net: a number for every layer, by every pass."""
    if [(point.get("data"), point.get("batch_norm")) for point in points] != list(PASSES):
        return "has other points than its spec says"
    layers = spec.arch.depth - 1  # 6n+1
    for point in points:
        if any(len(point[reduction]) != layers for reduction in REDUCTIONS):
            return f"has a point of {point['data']}, {point['batch_norm']} that is not of {layers} layers"
    return None


def of_gradients(spec: GradientRun, points: Sequence[Any], ended: int) -> str | None:
    """Of the looks at a training: those before iteration `ended` at least, with all their layers."""
    at = [point.get("iteration") if isinstance(point, dict) else None for point in points]
    if at != list(spec.probe_at[: len(at)]) or len(at) < sum(iteration < ended for iteration in spec.probe_at):
        return "has other points than its spec says"
    for point in points:
        try:
            convert(Point, point)
        except ValueError as error:
            return f"is damaged ({error})"
        if any(len(point[name]) != spec.arch.depth for name in COLUMNS):
            return f"has a point at {point['iteration']} that is not of {spec.arch.depth} layers"
    return None

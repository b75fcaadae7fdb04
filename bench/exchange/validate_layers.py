"""What may stand in the points of measurements that have a number for every layer, as far as `--import` can tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.files import convert
from bench.measure.probes.gradients_record import COLUMNS, Point
from bench.measure.probes.responses_record import PASSES, REDUCTIONS
from bench.runs.derived import GradientRun, Responses


def of_responses(spec: Responses, points: Sequence[dict[str, Any]]) -> str | None:
    """What is wrong with the passes of a measurement, in words that follow the file's name; None where nothing is."""
    if [(point.get("data"), point.get("batch_norm")) for point in points] != list(PASSES):
        return "has other points than its spec says"
    layers = spec.arch.depth - 1  # 6n+1
    for point in points:
        if any(len(point[reduction]) != layers for reduction in REDUCTIONS):
            return f"has a point of {point['data']}, {point['batch_norm']} that is not of {layers} layers"
    return None


def of_gradients(spec: GradientRun, points: Sequence[Any], ended: int) -> str | None:
    """The same of the looks at a run: all those before iteration `ended` are there, with all their layers."""
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

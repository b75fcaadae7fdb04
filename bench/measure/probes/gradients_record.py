"""What was measured of gradients and signals, the ratios that say whether they vanish, and the chain Y = W^l X."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from bench.files import AGAIN, Damaged, read_rows
from bench.runs.folder import RunFolder
from bench.runs.ranges import Range, check

SIZE = Range("size", least=0)


@dataclass(frozen=True)
class Point:
    """All layers after some iterations: the 6n+1 convolutions in order, then the classifier. None: not a finite number."""

    iteration: Annotated[int, Range("iteration", least=0)]
    seconds: Annotated[float, Range("seconds", least=0)]
    """What measuring took, with writing the point before."""
    norm: Annotated[tuple[float | None, ...], SIZE]
    """Of the gradient of the layer's weights (Euclidean), of the mean loss over the probe."""
    mean: tuple[float | None, ...]
    """Of the same gradient's elements."""
    variance: Annotated[tuple[float | None, ...], SIZE]
    """Of the same gradient's elements."""
    signal: Annotated[tuple[float | None, ...], SIZE]
    """Standard deviation of the layer's response, after batch norm and before the nonlinearity or the addition."""
    signal_gradient: Annotated[tuple[float | None, ...], SIZE]
    """Norm of the gradient of that response."""

    def __post_init__(self) -> None:
        check(self)


COLUMNS = ("norm", "mean", "variance", "signal", "signal_gradient")
"""What a point has for each layer."""
Ratio = Callable[[Point], float | None]


def forward(point: Point) -> float | None:
    """How much stronger the last convolution responds than the first: under 1, the signal fades on its way forward."""
    return _ratio(point.signal[-2], point.signal[0])


def backward(point: Point) -> float | None:
    """How much larger the gradient of the first response is than of the last: under 1, it fades on its way back."""
    return _ratio(point.signal_gradient[0], point.signal_gradient[-2])


def of_weights(point: Point) -> float | None:
    """How much larger the gradient of the first convolution's weights is than of the last one's."""
    return _ratio(point.norm[0], point.norm[-2])


def _ratio(over: float | None, under: float | None) -> float | None:
    return None if over is None or under is None or under == 0 else over / under


def lowest(points: Sequence[Point], ratio: Ratio) -> float | None:
    """The lowest ratio of a run, from its initialisation to its end; None where none was finite."""
    return min((value for point in points if (value := ratio(point)) is not None), default=None)


def read(folder: RunFolder) -> list[Point]:
    """What was measured of a run, first iteration first. Raises UserError where the file is damaged."""
    points = read_rows(Point, folder.points)
    layers = {len(getattr(point, name)) for point in points for name in COLUMNS}
    if len(layers) > 1 or layers & {0, 1}:
        raise Damaged(folder.points, "points of different numbers of layers", AGAIN)
    return points


@dataclass(frozen=True)
class Chain:
    """Y = W^l X with W = a I, or with a shortcut around each W: how much longer Y is than X, and the gradient of X than Y's."""

    a: float
    shortcut: bool
    layers: int
    dtype: str
    forward: float
    backward: float


def chain(
    a: float, layers: int = 50, shortcut: bool = False, dtype: Literal["float64", "float32"] = "float64"
) -> Chain:
    """Send a vector through `layers` linear layers W = a I one by one, and its gradient back through all of them."""
    import numpy as np

    weight = (a * np.eye(4)).astype(dtype)
    x = np.ones(4, dtype)
    y, gradient = x, x
    for _ in range(layers):
        y = weight @ y + y if shortcut else weight @ y
    for _ in range(layers):
        gradient = weight.T @ gradient + gradient if shortcut else weight.T @ gradient
    ahead, back = (float(np.linalg.norm(v.astype(float)) / np.linalg.norm(x)) for v in (y, gradient))
    return Chain(a, shortcut, layers, dtype, ahead, back)

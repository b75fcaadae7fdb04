"""Names beside curves and points, none of which lies on another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from bench.report.figures.chart import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

SIZE = 10.0
"""Of the text, in points."""


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Places near the wanted ones, which must ascend, none nearer to the next than `gap`."""
    up, down = [*wanted], [*wanted]
    for i in range(1, len(up)):
        up[i] = max(up[i], up[i - 1] + gap)
        down[-i - 1] = min(down[-i - 1], down[-i] - gap)
    return [(a + b) / 2 for a, b in zip(up, down, strict=True)]


def name_ends(axis: Axes, panel: Panel) -> None:
    """Write at the right end of each curve what it is, with room between the lines; an arrow where it left the panel.

    A curve may end where another goes on: what lies behind its name is paler.
    """
    top, behind = panel.y.high, {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}
    named = [
        (f"{series.end} ↑" if series.y[-1] > top else series.end, (series.x[-1], min(top, series.y[-1])))
        for series in panel.series
        if series.end
    ]
    named.sort(key=lambda each: each[1][1])
    ends = [float(axis.transData.transform(where)[1]) for _, where in named]
    pixel = 72 / axis.figure.dpi
    for (name, where), end, y in zip(named, ends, spread(ends, 1.15 * SIZE / pixel), strict=True):
        axis.annotate(
            name, where, (8, (y - end) * pixel), textcoords="offset points", va="center", size=SIZE, color="0.2",
            annotation_clip=False, bbox=behind, zorder=4,
        )  # fmt: skip


Place = tuple[float, float, Literal["left", "center", "right"]]
"""Points to the right and up, and how the text is set there."""
NEAR: list[Place] = [(8, 0, "left"), (-8, 0, "right"), (0, 11, "center"), (0, -11, "center")]
BESIDE_IT: list[Place] = [
    (scale * x, scale * y + lift, side) for scale in (1, 1.7) for lift in (0, 9, -9, 18, -18) for x, y, side in NEAR
]
AROUND_IT: list[Place] = [
    (radius * math.cos(angle), radius * math.sin(angle), "left" if math.cos(angle) > 0 else "right")
    for radius in (22, 32, 44, 58)
    for angle in (math.tau * (part + 0.5) / 16 for part in range(16))
]
PLACES = BESIDE_IT + AROUND_IT
"""Where a point's name may stand, the best place first."""
ROUNDS = 3
"""In which each name may move, given the others."""
BESIDE = 12.0
"""Points from which on a line leads from a name to its point."""
MUCH = 1.5
"""Times as near to another point, so that a name seems to be of that one."""
CLOSE = 6.0
"""Pixels from another point at which a line seems to lead to that one."""


def name_points(axis: Axes, panel: Panel) -> None:
    """Write beside each point what it is, where nothing else is written and no point lies, or with a line to it.

    The layout, which is settled by now, does not make room for it.
    """
    points: dict[tuple[float, float], list[str]] = {}
    for series in panel.series if panel.named else ():
        for name, x, y in zip(series.names, series.x, series.y, strict=bool(series.names)):  # curves have none
            points.setdefault((x, y), []).append(name)
    named = [_Name(axis, ", ".join(names), where) for where, names in points.items()]
    full = _full(axis, panel, named)
    for _ in range(ROUNDS):
        for each in named:
            each.choose(full, [other for other in named if other is not each])
    for each in named:
        each.write()


def _full(axis: Axes, panel: Panel, names: Sequence[_Name]) -> list[Bbox]:
    """Where points and their intervals lie, and the line on which ours would be the paper's."""
    from matplotlib.transforms import Bbox

    full = [(name.where, name.where) for name in names]
    for series in panel.series:
        bars = zip(series.x, series.low, series.high, strict=False)
        full += [((x, low), (x, high)) for x, low, high in bars if math.isfinite(low) and math.isfinite(high)]
    if names and panel.identity:
        places = [panel.x.low * (panel.x.high / panel.x.low) ** (i / 60) for i in range(61)]
        full += [((at, at), (at, at)) for at in places]
    reach = 5 * axis.figure.dpi / 72
    return [Bbox(axis.transData.transform(ends)).padded(reach) for ends in full]


class _Name:
    """A point's name, and where it stands."""

    def __init__(self, axis: Axes, name: str, where: tuple[float, float]) -> None:
        self.axis, self.where = axis, where
        x, y = axis.transData.transform(where)
        self.here = float(x), float(y)
        self.text = axis.annotate(name, where, (0, 0), textcoords="offset points", va="center", size=SIZE - 1)
        self.text.set_in_layout(False)
        self.extent = self.text.get_window_extent()
        self.inside = axis.get_window_extent().expanded(1.02, 1.02)
        self.point = 72 / axis.figure.dpi
        self.place: Place | None = None
        self.box = self.extent
        self.line: list[Bbox] = []

    def choose(self, full: Sequence[Bbox], others: Sequence[_Name]) -> None:
        """The first of the best places, given where the others stand now."""
        written = [other for other in others if other.place]
        boxes = [other.box for other in written]
        taken = [*full, *boxes, *(spot for other in written for spot in other.line)]
        least: float = math.inf
        for place in PLACES:
            box = self._box(place)
            line = _line(box, *self.here) if self.point * apart(box, *self.here) > BESIDE else []
            outside = not all(self.inside.contains(x, y) for x, y in ((box.x0, box.y0), (box.x1, box.y1)))
            elsewhere = any(MUCH * apart(box, *other.here) <= apart(box, *self.here) for other in others)
            crossed = sum(
                spot.count_overlaps(boxes) + any(apart(spot, *o.here) < CLOSE for o in others) for spot in line
            )
            faults = box.count_overlaps(taken) + crossed + 2 * elsewhere + 100 * outside
            if faults < least:
                least, self.place, self.box, self.line = faults, place, box, line
            if not faults:
                return

    def _box(self, place: Place) -> Bbox:
        from matplotlib.transforms import Bbox

        (right, up, side), width, height = place, self.extent.width, self.extent.height
        x, y = self.here[0] + right / self.point, self.here[1] + up / self.point
        return Bbox.from_bounds(
            x - {"left": 0, "center": width / 2, "right": width}[side], y - height / 2, width, height
        )

    def write(self) -> None:
        """Move the text to its place, and draw the line."""
        assert self.place
        right, up, side = self.place
        self.text.set_position((right, up))
        self.text.set_horizontalalignment(side)
        if self.line:
            look = {"arrowstyle": "-", "color": "0.6", "lw": 0.7, "shrinkA": 1, "shrinkB": 4}
            (x, y), (to_x, to_y) = self.here, _nearest(self.box, *self.here)
            end = self.point * (to_x - x), self.point * (to_y - y)
            self.axis.annotate("", self.where, end, textcoords="offset points", arrowprops=look).set_in_layout(False)


def _nearest(box: Bbox, x: float, y: float) -> tuple[float, float]:
    """The place in a box that is nearest to a point."""
    return min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1)


def apart(box: Bbox, x: float, y: float) -> float:
    """Pixels between a box and a point."""
    return math.dist((x, y), _nearest(box, x, y))


def _line(box: Bbox, x: float, y: float) -> list[Bbox]:
    """Spots on the way from a box to a point, without its ends."""
    from matplotlib.transforms import Bbox

    (left, low), parts = _nearest(box, x, y), 8
    ways = [part / parts for part in range(1, parts - 1)]
    return [Bbox.from_bounds(left + way * (x - left) - 1, low + way * (y - low) - 1, 2, 2) for way in ways]

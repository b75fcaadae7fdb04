"""Names beside curves and points, none of which lies on another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from bench.report.figures.chart import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path
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
        moved = (y - end) * pixel
        right = 18 if abs(moved) > MOVED else 8
        axis.annotate(
            name, where, (right, moved), textcoords="offset points", va="center", size=SIZE, color="0.2",
            annotation_clip=False, bbox=behind, zorder=4,
        )  # fmt: skip
        if abs(moved) > MOVED:
            leader = {"arrowstyle": "-", "color": "0.6", "lw": 0.7, "shrinkA": 0, "shrinkB": 2}
            axis.annotate(
                "", where, (right, moved), textcoords="offset points", annotation_clip=False, arrowprops=leader
            ).set_in_layout(False)


MOVED = 4.0
"""Points from which on a line leads from a curve's end to its name."""

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
ROUNDS = 6
"""In which each name may move, given the others."""
BESIDE = 12.0
"""Points from which on a line leads from a name to its point."""
MUCH = 1.5
"""Times as near to another point, so that a name seems to be of that one."""
LEADS = 0.75
"""Of the way from a name to its point that must be clear: where points lie together all lines meet at the end."""
CLOSE = 6.0
"""Pixels from another point at which a line seems to lead to that one."""
MARGIN = 4.0
"""Pixels between a name and the panel's edge."""


def name_points(axis: Axes, panel: Panel) -> None:
    """Write beside each point what it is, where nothing else is written and no point lies, or with a line to it.

    The layout, which is settled by now, does not make room for it.
    """
    points: dict[tuple[float, float], list[str]] = {}
    for series in panel.series if panel.named else ():
        for name, x, y in zip(series.names, series.x, series.y, strict=bool(series.names)):  # curves have none
            points.setdefault((x, y), []).append(name)
    named = [_Name(axis, ", ".join(names), where) for where, names in points.items()]
    bars, full = _bars(axis, panel), _full(axis, panel, named)
    for _ in range(ROUNDS):
        for each in named:
            each.choose(full, bars, [other for other in named if other is not each])
    for each in named:
        each.write()


def _bars(axis: Axes, panel: Panel) -> list[Bbox]:
    """Where intervals lie."""
    from matplotlib.transforms import Bbox

    ends = [
        ((x, low), (x, high))
        for series in panel.series
        for x, low, high in zip(series.x, series.low, series.high, strict=False)
        if math.isfinite(low) and math.isfinite(high)
    ]
    return [Bbox(axis.transData.transform(each)) for each in ends]


def _full(axis: Axes, panel: Panel, names: Sequence[_Name]) -> list[Bbox]:
    """Where no name may stand: points, their intervals, and the line on which ours would be the paper's."""
    from matplotlib.transforms import Bbox

    places = [name.where for name in names]
    if names and panel.identity:
        on_line = (panel.x.low * (panel.x.high / panel.x.low) ** (i / 60) for i in range(61))
        places += [(at, at) for at in on_line]
    spots = [Bbox([at, at]) for at in axis.transData.transform(places)] if places else []
    return [each.padded(5 * axis.figure.dpi / 72) for each in (*spots, *_bars(axis, panel))]


class _Name:
    """A point's name, and where it stands."""

    def __init__(self, axis: Axes, name: str, where: tuple[float, float]) -> None:
        self.axis, self.where = axis, where
        x, y = axis.transData.transform(where)
        self.here = float(x), float(y)
        self.text = axis.annotate(name, where, (0, 0), textcoords="offset points", va="center", size=SIZE - 1)
        self.text.set_in_layout(False)
        self.extent = self.text.get_window_extent()
        self.inside = axis.get_window_extent().padded(-MARGIN)
        self.point = 72 / axis.figure.dpi
        self.place: Place | None = None
        self.box = self.extent
        self.line: Path | None = None

    def choose(self, full: Sequence[Bbox], bars: Sequence[Bbox], others: Sequence[_Name]) -> None:
        """The first of the best places, given where the others stand now."""
        least: float = math.inf
        for place in PLACES:
            box = self._box(place)
            line = _line(box, *self.here) if self.point * apart(box, *self.here) > BESIDE else None
            faults = self._faults(box, line, full, bars, others)
            if faults < least:
                least, self.place, self.box, self.line = faults, place, box, line
            if not faults:
                return

    def _faults(
        self, box: Bbox, line: Path | None, full: Sequence[Bbox], bars: Sequence[Bbox], others: Sequence[_Name]
    ) -> float:
        """What speaks against a place and the line from there; none is as bad as to leave the panel."""
        boxes = [other.box for other in others if other.place]
        lines = [other.line for other in others if other.line]
        outside = not all(self.inside.contains(x, y) for x, y in ((box.x0, box.y0), (box.x1, box.y1)))
        elsewhere = any(MUCH * apart(box, *other.here) <= apart(box, *self.here) for other in others)
        found: float = 100 * outside + 2 * elsewhere + box.count_overlaps([*full, *boxes])
        found += 2 * sum(_meets(each, box) for each in lines)
        if line:
            found += 2 * sum(_meets(line, each) for each in boxes)
            found += sum(_meets(line, other.spot.padded(CLOSE)) for other in others)
            found += sum(line.intersects_path(each) for each in lines)
            found += 0.5 * sum(_meets(line, each) for each in bars)
        return found

    @property
    def spot(self) -> Bbox:
        """The point itself, without extent."""
        from matplotlib.transforms import Bbox

        return Bbox([self.here, self.here])

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


def _line(box: Bbox, x: float, y: float) -> Path:
    """The way from a box towards a point."""
    from matplotlib.path import Path

    left, low = _nearest(box, x, y)
    return Path([(left, low), (left + LEADS * (x - left), low + LEADS * (y - low))])


def _meets(line: Path, box: Bbox) -> bool:
    return bool(line.intersects_bbox(box, filled=False))

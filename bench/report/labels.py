"""Names beside curves and points, none of which lies on another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.report.chart import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text
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
    """Write at the right end of each curve what it is, with room between the lines; an arrow where it left the panel."""
    top = panel.y.high
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
            annotation_clip=False,
        )  # fmt: skip


NEAR = [(8, 0, "left"), (-8, 0, "right"), (0, 11, "center"), (0, -11, "center")]
PLACES = [
    (scale * x, scale * y + lift, side) for scale in (1, 1.7) for lift in (0, 9, -9, 18, -18) for x, y, side in NEAR
]
"""Where a point's name may stand, the best place first: points to the right and up, and how it is set."""


def name_points(axis: Axes, panel: Panel) -> None:
    """Write beside each point what it is, where nothing is written yet and no point lies."""
    from matplotlib.transforms import Bbox

    points: dict[tuple[float, float], list[str]] = {}
    for series in panel.series if panel.named else ():
        for name, x, y in zip(series.names, series.x, series.y, strict=bool(series.names)):  # curves have none
            points.setdefault((x, y), []).append(name)
    full = [*points]
    for series in panel.series:
        full += [
            (x, end)
            for x, end in zip([*series.x, *series.x], [*series.low, *series.high], strict=False)
            if not math.isnan(end)
        ]
    if points and panel.identity:
        full += [(panel.x.low * (panel.x.high / panel.x.low) ** (i / 60),) * 2 for i in range(61)]
    reach = 5 * axis.figure.dpi / 72
    taken = [
        Bbox.from_bounds(x - reach, y - reach, 2 * reach, 2 * reach) for x, y in map(axis.transData.transform, full)
    ]
    for where, names in points.items():
        taken.append(_place(axis, ", ".join(names), where, taken))


def _place(axis: Axes, name: str, where: tuple[float, float], taken: Sequence[Bbox]) -> Bbox:
    """Write a name near a point and return where it stands."""
    inside = axis.get_window_extent().expanded(1.02, 1.02)
    best: tuple[int, Text, Bbox] | None = None
    for right, up, side in PLACES:
        text = axis.annotate(name, where, (right, up), textcoords="offset points", ha=side, va="center", size=SIZE - 1)
        box = text.get_window_extent()
        outside = not all(inside.contains(x, y) for x, y in ((box.x0, box.y0), (box.x1, box.y1)))
        faults = box.count_overlaps(taken) + 100 * outside
        if best and best[0] <= faults:
            text.remove()
            continue
        if best:
            best[1].remove()
        best = (faults, text, box)
        if not faults:
            break
    assert best
    return best[2]

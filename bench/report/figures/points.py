"""Figures of single numbers: error against depth, and what the paper prints against what we measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bench.report.figures.chart import PLAIN, RESIDUAL, Axis, Chart, Panel, Series, Style, log_ticks
from bench.verdicts.hypothesis import FEWEST_RUNS
from bench.verdicts.numbers import reach_of_a_run


@dataclass(frozen=True)
class Value:
    """An error in percent, with half of its 95 % interval where there is one."""

    number: float
    half_width: float | None = None

    @property
    def low(self) -> float:
        return self.number - self.half_width if self.half_width is not None else math.nan

    @property
    def high(self) -> float:
        return self.number + self.half_width if self.half_width is not None else math.nan


@dataclass(frozen=True)
class Point:
    """A net's number, ours and the paper's; one of them may be missing."""

    net: str
    depth: int
    residual: bool
    ours: Value | None
    paper: Value | None
    word: str = ""
    """The verdict."""


def value(errors: Sequence[float]) -> Value | None:
    """The mean, with the interval (Student) in which a further seed falls in 95 % of cases, from three seeds on."""
    if not errors:
        return None
    return Value(fmean(errors), reach_of_a_run(errors) if len(errors) >= FEWEST_RUNS else None)


def several(points: Sequence[Point]) -> bool:
    """Whether more than one net has a number of ours and one of the paper's: a picture of one point is not drawn."""
    return sum(p.ours is not None and p.paper is not None for p in points) > 1


FAMILIES = ((False, "plain", PLAIN), (True, "residual", RESIDUAL))
"""Whether residual, name and colour."""


def against_depth(points: Sequence[Point], others: Sequence[Point] = ()) -> Chart:
    """Both families: ours filled with a line, the paper's hollow and dashed, other people's small beside them."""
    series = []
    for whose, style in (("ours", OURS), ("the paper's", THEIRS)):
        dodge = DODGE if whose == "ours" and _both_have_bars(points) else 1
        for residual, family, shade in FAMILIES:
            beside = dodge if residual else 1 / dodge
            found = [
                (p.depth * beside, number, p.net)
                for p in sorted(points, key=lambda p: p.depth)
                if p.residual == residual and (number := p.ours if whose == "ours" else p.paper) is not None
            ]
            if found:
                marker = replace(style, marker="square" if residual else "circle")
                series.append(_values(family, whose, found, shade, marker, f"{family}, {whose}"))
    series += _others(others)
    depths = sorted({p.depth for p in (*points, *others)})
    return Chart([Panel("", Axis("layers", 0.8 * depths[0], 1.25 * depths[-1], True, depths), _errors(series), series)])


def _both_have_bars(points: Sequence[Point]) -> bool:
    """Whether at some depth both families have bars of ours, so that one's would lie on the other's points."""
    plain, residual = (
        {p.depth for p in points if p.residual == kind and p.ours and p.ours.half_width is not None}
        for kind, *_ in FAMILIES
    )
    return bool(plain & residual)


def _others(others: Sequence[Point]) -> list[Series]:
    """Other people's numbers: a mark for each kind of protocol."""
    series = []
    for word in dict.fromkeys(p.word for p in others):
        style = Style(0, opacity=0.45, marker="x" if word == "another protocol" else "diamond", order=1)
        for residual, family, shade in FAMILIES:
            found = [(p.depth, p.ours, p.net) for p in others if (p.word, p.residual) == (word, residual) and p.ours]
            if found:
                series.append(_values(family, f"others, {word}", found, shade, style))
    return series


DODGE = 1.04
"""Times by which residual nets stand right of their depth, and plain ones left, where both have bars."""
OURS, THEIRS = Style(2.0, order=3), Style(1.2, "dashed", filled=False)


def _values(
    net: str, kind: str, values: Sequence[tuple[float, Value, str]], colour: str, style: Style, end: str = ""
) -> Series:
    """Values at depths, with names."""
    depths, numbers, names = zip(*values, strict=True)
    low, high = [number.low for number in numbers], [number.high for number in numbers]
    return Series(net, kind, depths, [number.number for number in numbers], colour, style, low, high, names, end)


def _errors(series: Sequence[Series]) -> Axis:
    """An axis that holds all of them, with their intervals."""
    values = [v for s in series for v in (*s.y, *s.low, *s.high) if not math.isnan(v)]
    low, high = 0.85 * min(values, default=1), min(100, 1.18 * max(values, default=100))
    return Axis("test error (%)", low, high, True, log_ticks(low, high))


WORDS: dict[str, Style] = {
    "match": Style(0, marker="circle"),
    "consistent": Style(0, marker="square"),
    "better": Style(0, marker="inverted_triangle"),
    "worse": Style(0, marker="triangle"),
    "differs": Style(0, marker="diamond"),
}
"""Verdict -> its marker; a hollow circle for the others."""
OTHER = Style(0, marker="circle", filled=False)


def against_published(title: str, unit: str, points: Sequence[Point]) -> Panel:
    """Ours (up) against the paper's (right), one marker a verdict, and the line on which both are the same."""
    both = [(p, p.ours, p.paper) for p in points if p.ours is not None and p.paper is not None]
    words = sorted({p.word for p, _, _ in both}, key=lambda word: [*WORDS, word].index(word))
    series = []
    for word in words:
        for residual, shade in ((False, PLAIN), (True, RESIDUAL)):
            some = [(p, ours, paper) for p, ours, paper in both if (p.word, p.residual) == (word, residual)]
            if some:
                series.append(
                    Series(
                        "residual" if residual else "plain",
                        word,
                        [paper.number for _, _, paper in some],
                        [ours.number for _, ours, _ in some],
                        shade,
                        WORDS.get(word, OTHER),
                        [ours.low for _, ours, _ in some],
                        [ours.high for _, ours, _ in some],
                        [p.net for p, _, _ in some],
                    )
                )
    values = [v for s in series for v in (*s.x, *s.y, *s.low, *s.high) if not math.isnan(v)]
    low, high = 0.36 * min(values, default=1), 1.6 * max(values, default=10)  # with room for names at the left
    x, y = (Axis(f"{whose} ({unit})", low, high, True, log_ticks(low, high)) for whose in ("the paper", "ours"))
    return Panel(title, x, y, series, named=True, identity=True)

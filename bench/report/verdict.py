"""Does a number reproduce? One of seven words, with the difference and its 95 % interval.

- Exact quantities (parameters, multiply-adds) `match` when they round to the printed digits, and else `differ`.
- Error rates: the paper's run is one draw, ours are n. With the spread s of our seeds, the difference of a new draw and
  our mean lies within t * s * sqrt(1 + 1/n) in 95 % of cases (Student t, n-1 degrees of freedom). Inside: `match`.
  Outside: `better` or `worse`. A mean of five published runs is held against ours by Welch's test.
- With fewer than three runs s is the paper's own 0.16, for ResNet-110, and the verdict says that it is assumed.
- An interval wider than 0.75 points either way could not tell a reproduction from a failure: `undecided`.
- Another statistic, protocol or schedule: `not comparable`. No run: `missing`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from statistics import fmean, stdev
from typing import Literal

from bench.report.published import PublishedNumber

Word = Literal["match", "better", "worse", "differs", "undecided", "not comparable", "missing"]

ASSUMED_SPREAD = 0.16
"""Standard deviation of ResNet-110 over five runs, in points (Table 6): the only spread that the paper prints."""
RESOLUTION = 0.75
"""Half-width, in points, beyond which an interval decides nothing."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Verdict:
    """`difference` is ours minus the paper's, `half_width` the 95 % interval either side of it."""

    word: Word
    difference: float | None = None
    half_width: float | None = None
    note: str = ""


MISSING = Verdict("missing")


def rounds_to(printed: str, value: float) -> bool:
    """Whether `value` prints as `printed` at its number of decimals, halves rounded up: 1.794 as "1.8"."""
    digits = re.match(r"[\d.]+", printed)
    if not digits:
        raise ValueError(f"{printed!r} does not start with a number")
    wanted = Decimal(digits.group())
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(wanted.as_tuple().exponent), ROUND_HALF_UP) == wanted  # type: ignore[arg-type]


def judge_exact(published: PublishedNumber, count: int) -> Verdict:
    """Hold a count against the printed digits. The difference is in the published unit."""
    scale = float(published.unit.split()[0])
    value = count / scale
    word: Word = "match" if rounds_to(published.printed, value) else "differs"
    return Verdict(word, value - published.number)


def judge_bound(published: PublishedNumber, ours: Sequence[float]) -> Verdict:
    """Hold error rates against a published bound such as ">60"."""
    if not ours:
        return MISSING
    bound = float(published.value.lstrip("<>"))
    above = published.value.startswith(">")
    if all((error > bound) == above for error in ours):
        return Verdict("match")
    return Verdict("better" if above else "worse", fmean(ours) - bound)


def judge_errors(published: PublishedNumber, ours: Sequence[float], published_spread: float | None = None) -> Verdict:
    """Hold last-iterate error rates of our seeds against one published run, or a published mean of five.

    `published_spread` is the standard deviation that goes with a published mean.
    """
    if not ours:
        return MISSING
    from scipy.stats import norm, t

    n, difference = len(ours), fmean(ours) - published.number
    assumed = n < 3
    spread = ASSUMED_SPREAD if assumed else stdev(ours)
    tail = (1 + CONFIDENCE) / 2
    if published_spread is None:
        quantile = norm.ppf(tail) if assumed else t.ppf(tail, n - 1)
        half_width = quantile * spread * math.sqrt(1 + 1 / n)
    else:
        runs = 5
        a, b = spread**2 / n, published_spread**2 / runs
        freedom = (a + b) ** 2 / ((0 if assumed else a**2 / (n - 1)) + b**2 / (runs - 1))
        half_width = t.ppf(tail, freedom) * math.sqrt(a + b)
    note = f"spread assumed to be {ASSUMED_SPREAD}, from fewer than three runs" if assumed else ""
    word: Word
    if half_width > RESOLUTION:
        word = "undecided"
    elif abs(difference) <= half_width:
        word = "match"
    else:
        word = "worse" if difference > 0 else "better"
    return Verdict(word, difference, float(half_width), note)

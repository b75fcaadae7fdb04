"""One-sided tests of weighted sums of means, Holm's correction, and how many seeds would decide.

A step of a claim says that a sum over nets, weight times mean over seeds, lies above a bound. With one net it is tested by
Student's test; with several, each net's variance is stretched by Student's quantile for its own number of runs (Banerjee,
1961). Welch's degrees of freedom err up to twice as often as they say, at the levels that Holm leaves and with three to five
seeds of unlike spread. This never does, since the distribution function of a squared normal variable is concave, and asks
for a seed or two more. Of nets with equally many runs it is Welch's statistic with the degrees of freedom of one of them; and
a spread that is assumed, which has no degrees of freedom to lose, does not borrow the few of another net.

- All steps of a claim must hold: its p is the largest of theirs (intersection-union), without a correction among them.
- A claim is contradicted where one step's opposite is shown: k times the smallest p of the opposites (Bonferroni).
- Holm's correction is over the claims of a table, for both directions apart.
- Fewer than three runs of a net give no spread of its own. It is assumed, or, where nothing can be assumed, unknown.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from bench.verdicts.spread import Spread

ALPHA = 0.05
POWER = 0.8
FEWEST_RUNS = 3
"""Runs of a net from which its spread is its own; with fewer it is assumed."""
MOST_SEEDS = 100


@dataclass(frozen=True)
class Sample:
    """The seeds of one net, and the weight with which their mean enters a sum."""

    weight: float
    values: tuple[float, ...]

    @property
    def assumes(self) -> bool:
        """Whether its spread cannot be its own."""
        return len(self.values) < FEWEST_RUNS

    def spread(self, assumed: Spread | None) -> tuple[float, float]:
        """Standard deviation of a seed, and its degrees of freedom.

        Two runs are pooled with what is assumed of fewer than three. Where that has infinitely many degrees of freedom, the
        larger spread counts. Nothing assumed: two runs have one degree of freedom, and a single one an infinite spread.
        """
        own = stdev(self.values) if len(self.values) > 1 else math.inf
        if not self.assumes or assumed is None:
            return own, len(self.values) - 1 if own < math.inf else math.inf
        if assumed.freedom == math.inf:
            return max(assumed.value, own if own < math.inf else 0.0), math.inf
        found = assumed.with_own(own, len(self.values))
        return found.value, found.freedom


LEAST_P = 1e-200
"""A smaller p is not told apart from it."""


@dataclass(frozen=True)
class Sum:
    """A weighted sum of means."""

    value: float
    parts: tuple[tuple[float, float], ...]
    """(variance of its term, degrees of freedom) of each net."""

    def reach(self, p: float) -> float:
        """How far from the true sum this one lies, to one side, with a chance of at most `p`; p is at most a half."""
        from scipy.special import stdtrit  # a tenth of the time that scipy.stats takes to import

        return math.hypot(*(math.sqrt(variance) * float(stdtrit(freedom, p)) for variance, freedom in self.parts))

    def p_above(self, bound: float) -> float:
        """p of the hypothesis that the true sum is at most `bound`."""
        from scipy.optimize import brentq
        from scipy.special import stdtr

        error, gap = math.sqrt(sum(variance for variance, _ in self.parts)), self.value - bound
        if error == 0:
            return 0.0 if gap > 0 else 1.0
        freedoms = [freedom for variance, freedom in self.parts if variance]
        least, most = (max(LEAST_P, float(stdtr(freedom, -gap / error))) for freedom in (max(freedoms), min(freedoms)))
        if gap <= 0 or error == math.inf or self.reach(most) >= gap:
            return most
        if self.reach(least) <= gap:
            return least
        return math.exp(brentq(lambda log: self.reach(math.exp(log)) - gap, math.log(least), math.log(most)))

    def p_below(self, bound: float) -> float:
        """p of the hypothesis that the true sum is at least `bound`."""
        return Sum(-self.value, self.parts).p_above(-bound)

    @property
    def half_width(self) -> float:
        """Of the 95 % interval."""
        return self.reach(ALPHA / 2)


def add(samples: Sequence[Sample], assumed: Spread | None) -> Sum:
    """The weighted sum of the samples' means."""
    value = sum(sample.weight * fmean(sample.values) for sample in samples)
    return Sum(value, tuple(_part(sample, assumed, 1 / len(sample.values)) for sample in samples))


def _part(sample: Sample, assumed: Spread | None, share: float) -> tuple[float, float]:
    """`share` of the variance of a seed of a net, weighted, and its degrees of freedom."""
    spread, freedom = sample.spread(assumed)
    return sample.weight**2 * spread**2 * share, freedom


@dataclass(frozen=True)
class Contrast:
    """How the mean of one net's seeds differs from another's, and the 95 % interval of that."""

    word: Literal["alike", "differ", "undecided"]
    difference: float
    interval: tuple[float, float]


def contrast(one: Sequence[float], other: Sequence[float], assumed: Spread, within: float) -> Contrast:
    """Compare the means of two nets, `one` minus `other`.

    `alike`: shown to differ by less than `within`, by two one-sided tests. `differ`: the interval does not hold zero. Else
    `undecided`. `assumed` is the spread of a net of fewer than three runs.
    """
    total = add((Sample(1, tuple(one)), Sample(-1, tuple(other))), assumed)
    low, high = total.value - total.half_width, total.value + total.half_width
    alike = max(total.p_below(within), total.p_above(-within)) < ALPHA
    return Contrast("alike" if alike else "undecided" if low <= 0 <= high else "differ", total.value, (low, high))


def holm(ps: Sequence[float]) -> list[float]:
    """The p-values corrected after Holm (1979), in the order given. SciPy has no such function; it is three lines."""
    corrected, largest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        corrected[i] = largest = max(largest, min(1.0, (len(ps) - rank) * ps[i]))
    return corrected


@dataclass(frozen=True)
class Plan:
    """A step as further seeds would test it: how far the sum lies on the right side of its bound, and the nets' spreads."""

    gap: float
    spreads: tuple[tuple[float, float], ...]
    """(weight, standard deviation of a seed) of each net."""

    def power(self, seeds: int, level: float) -> float:
        """Chance that the step is shown with so many seeds of each net, if gap and spreads are the true ones."""
        if self.gap <= 0:
            return 0.0
        error, freedom = math.hypot(*(weight * spread for weight, spread in self.spreads)) / math.sqrt(seeds), seeds - 1
        if error == 0 or self.gap / error > 35:  # beyond it SciPy's noncentral t is no number
            return 1.0
        from scipy.stats import nct, t

        return float(nct.sf(t.isf(level, freedom), freedom, self.gap / error))


def seeds_to_show(plans: Sequence[Plan], level: float) -> int | None:
    """The smallest number of seeds of each net, three at least, with which all steps are shown in 80 % of cases.

    None: more than 100. The chance that any step fails is at most the sum of their chances.
    """

    def enough(seeds: int) -> bool:
        return sum(1 - plan.power(seeds, level) for plan in plans) <= 1 - POWER

    found = bisect_left(range(MOST_SEEDS + 1), True, lo=FEWEST_RUNS, key=enough)
    return found if found <= MOST_SEEDS else None


def largest_spread(samples: Sequence[Sample], bound: float, level: float, freedom: float = math.inf) -> float | None:
    """The largest assumed spread with which the sum is shown to lie above `bound`. None: with no spread at all.

    `freedom` is its degrees of freedom.
    """
    from scipy.optimize import brentq

    def excess(assumed: float) -> float:
        return add(samples, Spread(assumed, freedom)).p_above(bound) - level

    gap = add(samples, Spread(0.0, freedom)).value - bound
    if gap <= 0 or excess(0.0) > 0:
        return None
    top = gap
    while excess(top) < 0:
        top *= 2
    return float(brentq(excess, 0.0, top, xtol=1e-6 * gap))


def prediction_half_width(samples: Sequence[Sample]) -> float:
    """Of the 95 % interval around our sum in which the same sum of one further run of each net lies."""
    return Sum(0.0, tuple(_part(sample, None, 1 + 1 / len(sample.values)) for sample in samples)).reach(ALPHA / 2)

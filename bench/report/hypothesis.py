"""One-sided tests of weighted sums of means, Holm's correction, and how many seeds would decide.

A step of a claim says that a sum over nets, weight times mean over seeds, lies above a bound. Its statistic is Welch's,
for any number of nets, with the degrees of freedom of the net with the fewest runs; with one net it is Student's test.
Welch's own degrees of freedom err up to twice as often as they say, at the levels that Holm leaves and with three to five
seeds of unlike spread; these never do (Hájek, 1962), and ask for a seed or two more.

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

ALPHA = 0.05
POWER = 0.8
RUNS_OF_A_SPREAD = 3
"""Runs of a net from which its spread is its own."""
MOST_SEEDS = 100


@dataclass(frozen=True)
class Sample:
    """The seeds of one net, and the weight with which their mean enters a sum."""

    weight: float
    values: tuple[float, ...]

    @property
    def assumes(self) -> bool:
        """Whether its spread cannot be its own."""
        return len(self.values) < RUNS_OF_A_SPREAD

    def spread(self, assumed: float | None) -> tuple[float, float]:
        """Standard deviation of a seed, and its degrees of freedom: infinitely many of an assumed one.

        Two runs that are further apart than what is assumed are believed. Nothing assumed: two runs have one degree of
        freedom, and a single one an infinite spread.
        """
        own = stdev(self.values) if len(self.values) > 1 else math.inf
        if not self.assumes or assumed is None:
            return own, len(self.values) - 1 if own < math.inf else math.inf
        return max(assumed, own if own < math.inf else 0.0), math.inf


@dataclass(frozen=True)
class Sum:
    """A weighted sum of means with its standard error and degrees of freedom."""

    value: float
    error: float
    freedom: float

    def p_above(self, bound: float) -> float:
        """p of the hypothesis that the true sum is at most `bound`."""
        if self.error == 0:
            return 0.0 if self.value > bound else 1.0
        from scipy.special import stdtr  # a tenth of the time that scipy.stats takes to import

        return float(stdtr(self.freedom, (bound - self.value) / self.error))

    def p_below(self, bound: float) -> float:
        """p of the hypothesis that the true sum is at least `bound`."""
        return Sum(-self.value, self.error, self.freedom).p_above(-bound)

    @property
    def half_width(self) -> float:
        """Of the 95 % interval."""
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, 1 - ALPHA / 2)) * self.error


def add(samples: Sequence[Sample], assumed: float | None) -> Sum:
    """The weighted sum of the samples' means."""
    spreads = [(sample.weight, len(sample.values), *sample.spread(assumed)) for sample in samples]
    value = sum(sample.weight * fmean(sample.values) for sample in samples)
    return Sum(value, *_error(spreads))


def _error(spreads: Sequence[tuple[float, float, float, float]]) -> tuple[float, float]:
    """Standard error and degrees of freedom from (weight, runs, spread, degrees of freedom) of each net."""
    variance = sum(weight**2 * spread**2 / n for weight, n, spread, _ in spreads)
    return math.sqrt(variance), min(freedom for *_, freedom in spreads)


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
        error, freedom = _error([(weight, seeds, spread, seeds - 1) for weight, spread in self.spreads])
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

    found = bisect_left(range(MOST_SEEDS + 1), True, lo=RUNS_OF_A_SPREAD, key=enough)
    return found if found <= MOST_SEEDS else None


def largest_spread(samples: Sequence[Sample], bound: float, level: float) -> float | None:
    """The largest assumed spread with which the sum is shown to lie above `bound`. None: with no spread at all."""
    from scipy.optimize import brentq

    def excess(assumed: float) -> float:
        return add(samples, assumed).p_above(bound) - level

    gap = add(samples, 0.0).value - bound
    if gap <= 0 or excess(0.0) > 0:
        return None
    top = gap
    while excess(top) < 0:
        top *= 2
    return float(brentq(excess, 0.0, top, xtol=1e-6 * gap))


def prediction_half_width(samples: Sequence[Sample]) -> float:
    """Of the 95 % interval around our sum in which the same sum of one further run of each net lies."""
    from scipy.special import stdtrit

    spreads = [(s.weight, len(s.values) / (len(s.values) + 1), *s.spread(None)) for s in samples]
    error, freedom = _error(spreads)
    return float(stdtrit(freedom, 1 - ALPHA / 2)) * error

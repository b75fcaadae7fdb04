"""How far error rates of one net spread over seeds, pooled over all nets of which several runs are known.

One run or two of ours give no spread of their own. Others' seeds do: those of each net that tables/published lists with a
standard deviation or with a row for each seed, and our own. Their variances are pooled, each weighted by its degrees of
freedom. Nets differ in how far they spread, so that the pooled variance is known less well for a further net than its degrees
of freedom say. The variances are taken as draws of a scaled inverse chi-square distribution; its degrees of freedom follow
from how far their logarithms lie apart (Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004, section 6.2). They are those of the
Student distribution by which one run is judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import stdev
from typing import TYPE_CHECKING, Any

from bench.verdicts import published, reported

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_FREEDOM = 5.0
"""Of a pooled spread. Of few nets a lower estimate is mostly chance, and cells would cry wolf in fewer than 4 % (simulated)."""


@dataclass(frozen=True)
class Group:
    """The seeds of one net by one recipe."""

    name: str
    spread: float
    """Standard deviation (n-1), in points."""
    runs: int


@dataclass(frozen=True)
class Spread:
    """A standard deviation over seeds, in points, with its degrees of freedom. Of many cells: arrays of one shape."""

    value: float
    freedom: float
    groups: int = 0
    """Nets that it was pooled over; 0 where it is assumed."""

    def __str__(self) -> str:
        """`0.28 points (6.5 degrees of freedom)`."""
        return f"{self.value:.2g} points ({self.freedom:.2g} degrees of freedom)"

    def with_own(self, own: Any, runs: int) -> Spread:
        """The same with the standard deviation of a net's own two runs pooled in; one run adds nothing."""
        if runs < 2:
            return self
        freedom = self.freedom + runs - 1
        value = ((self.freedom * self.value**2 + (runs - 1) * own**2) / freedom) ** 0.5
        return Spread(value, freedom, self.groups)


def pooled(spreads: Any, runs: Sequence[int]) -> Spread:
    """The pooled spread of groups, (..., groups) in points, of so many runs each; of each cell where there are many.

    Raises ValueError where there are fewer than two groups, a group has fewer than two runs or no spread above 0.
    """
    import numpy as np
    from scipy.special import digamma, polygamma

    variances, freedoms = np.asarray(spreads, float) ** 2, np.asarray(runs, float) - 1
    if len(freedoms) < 2 or (freedoms < 1).any() or not (variances > 0).all():
        raise ValueError("a pooled spread needs two groups of two runs each, whose spread is above 0")
    logarithms = np.log(variances) - digamma(freedoms / 2) + np.log(freedoms / 2)
    excess = logarithms.var(-1, ddof=1) - polygamma(1, freedoms / 2).mean()
    freedom = np.clip(2 * _inverse_trigamma(excess), LEAST_FREEDOM, freedoms.sum())
    value = np.sqrt((variances * freedoms).sum(-1) / freedoms.sum())
    if value.ndim:
        return Spread(value, freedom, len(freedoms))
    return Spread(float(value), float(freedom), len(freedoms))


def _inverse_trigamma(values: NDArray[Any]) -> NDArray[Any]:
    """x with trigamma(x) = value, to a relative 1e-6; infinite where the value is not above 0. SciPy has no such function."""
    import numpy as np
    from scipy.special import polygamma

    x = np.exp(np.linspace(math.log(1e-2), math.log(1e4), 20_001))
    falling = polygamma(1, x)
    found = np.exp(np.interp(np.log(np.maximum(values, falling[-1])), np.log(falling[::-1]), np.log(x[::-1])))
    return np.where(values > 0, found, np.inf)


@cache
def groups() -> tuple[Group, ...]:
    """Every net whose seeds are known, from tables/published: the paper's ResNet-110, and others' CIFAR-10 nets."""
    numbers = published.load()
    of_five = numbers["T6/ResNet-110/test_error_mean"].statistic
    found = [Group("ResNet-110, the paper", published.papers_spread(), int(of_five.split()[2]))]
    seeds: dict[tuple[str, str], list[float]] = {}
    for number in reported.load():
        if number.top:
            continue
        if number.runs:
            found.append(Group(f"{number.net}, {number.who}", float(number.spread), int(number.runs)))
        elif number.is_of_a_seed:
            seeds.setdefault((number.net, number.who), []).append(number.error)
    return (*found, *(Group(f"{net}, {who}", stdev(errors), len(errors)) for (net, who), errors in seeds.items()))


def known(ours: Mapping[str, Sequence[float]] | None = None) -> Spread:
    """The spread pooled over every net whose seeds are known, `ours` among them: error rates in percent, by net."""
    own = tuple(Group(name, stdev(errors), len(errors)) for name, errors in (ours or {}).items() if len(errors) > 1)
    return _known(tuple(group for group in own if group.spread > 0))


@cache
def _known(ours: tuple[Group, ...]) -> Spread:
    every = (*groups(), *ours)
    return pooled([group.spread for group in every], [group.runs for group in every])

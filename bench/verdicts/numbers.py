"""Does a number reproduce? One word, with the difference from the paper and the 95 % interval of that difference.

- Error rates: a published statistic is one draw, and our n runs say where such a draw would lie. One run: within
  t * s * sqrt(1 + 1/n) of our mean, s being the spread of our seeds (Student t, n-1 degrees of freedom). The mean of five:
  Welch's interval. The best of five: the distribution of the lowest of five further runs, given our n.
- With fewer than three runs s is pooled over all nets whose seeds are known (bench/verdicts/spread.py), with its degrees
  of freedom; two runs of ours add theirs. The verdict says so.
- The interval of the difference leaves out 0: `better` or `worse`, at any width, so that 5 % of cells cry wolf where
  nothing differs. It holds 0: `match`, or `consistent` where it reaches over RESOLUTION points either way.
- Another statistic, protocol or schedule: `not comparable`. No run: `missing`.
- The responses of layers were read off a figure: the prediction interval of one run is wider by what a reading may be off.
- Exact quantities (parameters, multiply-adds) `match` when they round to the printed digits, and else `differ`: they have
  a word of their own, since fewer parameters than printed are not a better reproduction.

tables/calibration.md has how often each word is said, by simulation of the function that judges the tables.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Literal, get_args

from bench.verdicts.hypothesis import ALPHA, FEWEST_RUNS
from bench.verdicts.published import PublishedNumber
from bench.verdicts.spread import LEAST_FREEDOM, Spread, known

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ErrorWord = Literal["match", "better", "worse", "consistent"]
"""What can be said of error rates that may be compared."""
Word = Literal[ErrorWord, "undecided", "not comparable", "missing", "differs"]
"""`undecided`: no spread is known. `differs` is for exact quantities alone, which know no better and worse."""
ERROR_WORDS: tuple[ErrorWord, ...] = get_args(ErrorWord)

RESOLUTION = 0.75
"""How far, in points, an interval may reach to either side and still decide that nothing differs."""
RESPONSE_RESOLUTION = 0.1
"""The same of a mean layer response, as a share of the paper's."""
READING_ERROR = 0.006
"""Of a mean layer response read off Fig. 7."""
CONFIDENCE = 1 - ALPHA
TAIL = (1 - CONFIDENCE) / 2
ARITHMETIC = 1e-9
"""What the mean of equal numbers may differ from them by, in points."""


@dataclass(frozen=True)
class Verdict:
    """`difference` is ours minus the paper's, `interval` its 95 % interval, both in the published unit."""

    word: Word
    difference: float | None = None
    interval: tuple[float, float] | None = None
    note: str = ""

    @property
    def half_width(self) -> float | None:
        """How far the interval reaches from the difference; the longer side, where the sides are not equal."""
        if self.difference is None or self.interval is None:
            return None
        return max(self.difference - self.interval[0], self.interval[1] - self.difference)

    @property
    def text(self) -> str:
        """The word, and of `consistent` how large a difference is left: `consistent within 1.3`, in the published unit."""
        if self.word != "consistent" or self.interval is None:
            return self.word
        return f"consistent within {max(map(abs, self.interval)):.2g}"


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
    """Hold error rates against a published bound such as ">60", which every run has to keep."""
    if not ours:
        return MISSING
    bound = float(published.value.lstrip("<>"))
    above = published.value.startswith(">")
    if all((error > bound) == above for error in ours):
        return Verdict("match")
    return Verdict("better" if above else "worse", fmean(ours) - bound)


def judge_errors(
    published: PublishedNumber,
    ours: Sequence[float],
    published_spread: float | None = None,
    seeds: Spread | None = None,
) -> Verdict:
    """Hold last-iterate error rates of our seeds, in percent, against a published statistic of such error rates.

    `published_spread` is the standard deviation that goes with a published mean. The difference of a published best is that
    of the median of what our runs predict for it. `seeds` is what fewer than three runs are taken to spread by; left out, it
    is what is known of others. Raises ValueError as `judge_cells` does.
    """
    if not ours:
        return MISSING
    if runs_of(published.statistic) is None:
        return Verdict("not comparable", note=f"The paper's number is of another kind: {published.statistic}.")
    seeds = seeds or known()
    judged = judge_cells(published.statistic, ours, published.number, published_spread, seeds)
    verdict = Verdict(ERROR_WORDS[int(judged.word)], float(judged.difference), (float(judged.low), float(judged.high)))
    notes = []
    if len(ours) < FEWEST_RUNS:
        notes.append(f"Fewer than three runs: seeds are taken to spread by {seeds}, pooled over {seeds.groups} nets.")
    if verdict.word == "consistent":
        notes.append(_on_seeds(published.statistic, ours, published_spread, seeds))
    return replace(verdict, note=" ".join(notes))


MOST_SEEDS = 100


def _on_seeds(statistic: str, ours: Sequence[float], published_spread: float | None, seeds: Spread) -> str:
    """How many seeds would narrow an interval that holds 0 to a `match`."""
    spread = stdev(ours) if len(ours) >= FEWEST_RUNS else seeds.value
    needed = seeds_to_match(statistic, spread, published_spread)
    condition = f"if they spread by {spread:.2g} points"
    if needed is None:
        return f"No more than {MOST_SEEDS} seeds would make it a match, {condition}."
    return f"About {max(needed, len(ours) + 1)} seeds in all would make it a match, {condition} and the interval still holds 0."


def seeds_to_match(statistic: str, spread: float, published_spread: float | None = None) -> int | None:
    """The smallest number of seeds, three at least, whose interval reaches no further than RESOLUTION; None: over 100.

    `spread` is the standard deviation of our seeds, in points.
    """
    import numpy as np

    def narrow(runs: int) -> bool:
        steps = np.arange(runs) - (runs - 1) / 2
        return not judge_cells(statistic, spread * steps / steps.std(ddof=1), 0.0, published_spread).wide

    found = bisect_left(range(MOST_SEEDS + 1), True, lo=FEWEST_RUNS, key=narrow)
    return found if found <= MOST_SEEDS else None


def judge_responses(published: PublishedNumber, ours: Sequence[float]) -> Verdict:
    """Judge mean layer responses, one of each of our seeds, by the one that was read off Fig. 7, of one run of the paper.

    The paper prints no spread of them: fewer than three runs of ours leave it undecided.
    """
    if not ours:
        return MISSING
    gap = fmean(ours) - published.number
    if len(ours) < FEWEST_RUNS:
        note = "The spread of this mean over seeds is printed nowhere, and fewer than three runs do not give it."
        return Verdict("undecided", gap, note=note)
    half = reach_of_a_run(ours) + READING_ERROR
    interval = (gap - half, gap + half)
    if abs(gap) > half:
        return Verdict("differs", gap, interval)
    narrow = abs(gap) + half <= RESPONSE_RESOLUTION * published.number
    return Verdict("match" if narrow else "consistent", gap, interval)


def reach_of_a_run(values: Sequence[float]) -> float:
    """How far from the mean of these values one further value lies at most, in 95 % of cases (Student)."""
    from scipy.stats import t

    n = len(values)
    return float(t.isf(TAIL, n - 1)) * stdev(values) * math.sqrt(1 + 1 / n)


def runs_of(statistic: str) -> tuple[Literal["run", "mean", "best"], int] | None:
    """What error rates can be held against, and of how many runs it is: `best of 5 runs`. None for another statistic."""
    if statistic.startswith("one run") or statistic == "reading off a figure":
        return "run", 1
    if several := re.fullmatch(r"(mean|best) of (\d+) runs", statistic):
        return ("mean" if several[1] == "mean" else "best"), int(several[2])
    return None


@dataclass(frozen=True)
class Judged:
    """Verdicts on many cells: arrays of one shape."""

    word: NDArray[Any]
    """Index into ERROR_WORDS, of which the first is `match`."""
    difference: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]

    @property
    def wide(self) -> NDArray[Any]:
        """Where the interval reaches over RESOLUTION to a side."""
        import numpy as np

        reach: NDArray[Any] = np.maximum(self.difference - self.low, self.high - self.difference)
        return reach > RESOLUTION


def judge_cells(
    statistic: str,
    ours: ArrayLike,
    published: ArrayLike,
    published_spread: ArrayLike | None = None,
    seeds: Spread | None = None,
) -> Judged:
    """Judge many cells at once: the one rule, for the tables and for its own calibration.

    `ours` has the error rates of a cell's runs along its last axis; `published`, and with a published mean its standard
    deviation `published_spread`, one value for each cell. What can be broadcast is. `seeds` is the pooled spread by which
    fewer than three runs are judged, one for all cells or one for each; left out, what is known of others. Raises
    ValueError where there is no run, a number is not finite, a spread negative or missing, or the statistic none that can be
    judged.
    """
    import numpy as np

    runs, number = np.asarray(ours, float), np.asarray(published, float)
    spread = None if published_spread is None else np.asarray(published_spread, float)
    if not runs.shape or not runs.shape[-1]:
        raise ValueError("no run to judge")
    if not (np.isfinite(runs).all() and np.isfinite(number).all()):
        raise ValueError("error rates must be finite numbers")
    centre, below, above = _prediction(statistic, runs, spread, seeds)
    difference = centre - number
    low, high = difference - below, difference + above
    judged = Judged(np.zeros(difference.shape, np.int8), *np.broadcast_arrays(difference, low, high))
    judged.word[judged.wide] = ERROR_WORDS.index("consistent")
    judged.word[low > ARITHMETIC] = ERROR_WORDS.index("worse")
    judged.word[high < -ARITHMETIC] = ERROR_WORDS.index("better")
    return judged


def _prediction(
    statistic: str, ours: NDArray[Any], published_spread: NDArray[Any] | None, seeds: Spread | None
) -> tuple[NDArray[Any], ...]:
    """Where our runs let the published statistic lie: its centre, and how far the 95 % interval reaches below and above."""
    import numpy as np
    from scipy.stats import t

    found = runs_of(statistic)
    if found is None:
        raise ValueError(f"{statistic!r} is no statistic of error rates that can be judged")
    kind, of = found
    if (kind == "mean") != (published_spread is not None):
        raise ValueError(f"{statistic!r} goes {'with' if kind == 'mean' else 'without'} a published spread")
    n = ours.shape[-1]
    mean = ours.mean(-1)
    own = ours.std(-1, ddof=1) if n > 1 else np.zeros_like(mean)
    used = (seeds or known()).with_own(own, n) if n < FEWEST_RUNS else Spread(own, n - 1)
    spread, freedom = (np.broadcast_to(part, mean.shape) for part in (used.value, used.freedom))
    if kind == "run":
        half = t.isf(TAIL, freedom) * spread * math.sqrt(1 + 1 / n)
        return mean, half, half
    if kind == "best":
        low, middle, high = _best_of(of, n, freedom)
        return mean + middle * spread, (middle - low) * spread, (high - middle) * spread
    assert published_spread is not None
    if not (np.isfinite(published_spread) & (published_spread >= 0)).all():
        raise ValueError("a published spread must be 0 or more")
    a, b = spread**2 / n, published_spread**2 / of
    tiny = np.finfo(float).tiny  # no spread on either side: any freedom will do
    welch = np.maximum((a + b) ** 2, tiny) / np.maximum(a**2 / freedom + b**2 / (of - 1), tiny)
    half = t.isf(TAIL, welch) * np.sqrt(a + b)
    return mean, half, half


STEPS = 33
"""Degrees of freedom between whose points those of many cells are interpolated."""


def _best_of(k: int, n: int, freedom: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """`best_of` for each cell's degrees of freedom; where they differ, to a thousandth of a spread by interpolation."""
    import numpy as np
    from scipy.interpolate import CubicSpline

    if (freedom == freedom.flat[0]).all():
        return tuple(np.full(freedom.shape, point) for point in best_of(k, n, float(freedom.flat[0])))
    steps = np.linspace(0, 1, STEPS) ** 2 / LEAST_FREEDOM  # of 1/freedom, close together where there is much of it
    points = np.array([best_of(k, n, float(1 / step) if step else math.inf) for step in steps])
    return tuple(CubicSpline(steps, points, axis=0)(1 / freedom)[..., i] for i in range(3))


@cache
def best_of(k: int, n: int, freedom: float) -> tuple[float, float, float]:
    """The 2.5 %, 50 % and 97.5 % points of the lowest of `k` further runs, in spreads from the mean of `n` runs.

    All are draws of one normal distribution, of whose spread we have an estimate with `freedom` degrees of freedom. The
    lowest minus our mean, over that estimate, then has a distribution that depends on neither mean nor deviation: of the
    least component of a multivariate t with so many degrees of freedom, variances 1 + 1/n and covariances 1/n. (Hahn,
    Technometrics 1970: prediction intervals for all of k observations.) It is integrated over our mean by Gauss-Hermite and
    over the estimate by Gauss-Legendre. With infinitely many degrees of freedom it is normal.
    """
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import ndtr, roots_hermitenorm, roots_legendre
    from scipy.stats import chi

    means, weights = roots_hermitenorm(64)
    weights = weights / weights.sum()
    spreads, chances = np.ones(1), np.ones(1)
    if not math.isinf(freedom):
        estimate = chi(freedom, scale=1 / math.sqrt(freedom))
        least, most = estimate.ppf(1e-12), estimate.isf(1e-12)
        nodes, steps = roots_legendre(256)
        spreads = (most + least) / 2 + nodes * (most - least) / 2
        chances = steps * estimate.pdf(spreads)
        chances /= chances.sum()

    def survival(q: float) -> float:
        """Chance that all k lie above our mean + q spreads."""
        above = ndtr(-(q * spreads + means[:, None] / math.sqrt(n))) ** k
        return float(weights @ above @ chances)

    low, middle, high = (
        float(brentq(lambda q, wanted=wanted: survival(q) - wanted, -1000, 1000)) for wanted in (1 - TAIL, 0.5, TAIL)
    )
    return low, middle, high

"""The verdicts' own calibration: which cells are simulated, to see how often each word is said of what is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TITLE = "False alarms and power of the verdicts, simulated"

Draws = Literal[
    "normal", "nets differ", "pool of today", "skewed", "strongly skewed", "heavy tails", "rounded", "read off", "by n",
    "paper half", "paper twice",
]  # fmt: skip
"""How runs fall about their mean. All but the first two break an assumption of the rule.

Fewer than three runs are judged by a pooled spread. Its nets are drawn too, and spread as far as ours, or each by its own
draw (`nets differ`), or are the ones in tables/published, however far ours spread (`pool of today`).
"""

STATISTICS = ("one run", "mean of 5 runs", "best of 5 runs")
"""What the paper prints of error rates, in the words of tables/published."""
RUNS = (1, 2, 3, 5, 10)
SPREADS = (0.16, 0.1, 0.2, 0.35, 0.5, 0.7)
"""True standard deviations over seeds, in points: the paper's own, and others."""
FEW = (1, 2)
"""Runs that are judged by a pooled spread."""
POWER = (0.25, 0.5, 1.0)
SHIFTS = tuple(sorted({0.0, *POWER, *(-shift for shift in POWER)}))
"""By how much our error rate is truly higher than the paper's, in points."""
CURVE = tuple(step / 20 for step in range(-20, 21))
"""The same, of the figure, at the first spread."""
ASSUMPTIONS: tuple[tuple[Draws, str], ...] = (
    ("normal", "normal, as the rule assumes"),
    ("skewed", "skewed towards high errors (gamma, skewness 1)"),
    ("strongly skewed", "strongly skewed (exponential, skewness 2)"),
    ("heavy tails", "heavy tails (Student's t, 4 degrees of freedom)"),
    ("rounded", "every error rate rounded to 0.01 points"),
    ("read off", "the paper's number read off a figure, up to 0.03 points wrong"),
    ("by n", "the paper's deviation divides by n, not by n-1 (it does not say)"),
    ("paper half", "the paper's runs spread half as much as ours"),
    ("paper twice", "the paper's runs spread twice as much as ours"),
)


@dataclass(frozen=True)
class Setting:
    """Cells of one kind."""

    statistic: str
    runs: int
    """Ours."""
    spread: float
    """Of our runs, in points; where nets differ, of all nets pooled."""
    draws: Draws
    shifts: tuple[float, ...]


def settings() -> tuple[Setting, ...]:
    """Every kind of cell that is simulated."""
    kinds = [(statistic, runs) for statistic in STATISTICS for runs in RUNS]
    normal = [
        Setting(*kind, spread, "normal", CURVE if spread == SPREADS[0] else SHIFTS)
        for spread in SPREADS
        for kind in kinds
    ]
    broken = [Setting(*kind, SPREADS[0], draws, (0.0,)) for draws, _ in ASSUMPTIONS[1:] for kind in kinds]
    few = [(statistic, runs) for statistic in STATISTICS for runs in FEW]
    pools = [Setting(*kind, spread, "pool of today", (0.0,)) for spread in sorted(SPREADS) for kind in few]
    differ = [Setting(*kind, SPREADS[0], "nets differ", SHIFTS) for kind in few]
    return (*normal, *differ, *pools, *broken)

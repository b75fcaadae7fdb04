"""Values behind pages: what pages make of runs and verdicts, as lines of their CSV files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import TypedDict

from bench.report.page import Value
from bench.runs.finished import FinishedRun
from bench.studies.variant import GradientVariant, ImageNetVariant, Variant
from bench.verdicts.numbers import Verdict
from bench.verdicts.published import PublishedNumber


class Setting(TypedDict, total=False):
    """What all values of a page have in common."""

    schedule: str
    dataset: str
    changes: str
    precision: str


def setting(variant: Variant | ImageNetVariant | GradientVariant, precision: str | None = None) -> Setting:
    """Of the runs of a variant, in its own precision where none is given."""
    changes = [] if isinstance(variant, GradientVariant) else [f"{name}={value}" for name, value in variant.changes]
    if isinstance(variant, Variant) and variant.selection != "all":
        changes.insert(0, f"selection={variant.selection}")
    own = variant.precision if isinstance(variant, Variant) else "fp32"
    return {
        "schedule": variant.schedule,
        "dataset": variant.dataset,
        "changes": " ".join(changes),
        "precision": precision or own,
    }


def of_seeds(value: Value, measured: Sequence[float]) -> Value:
    """The value with the mean, the spread and the count of what was measured, one of each seed."""
    return replace(
        value,
        seeds=len(measured),
        measured=float(fmean(measured)) if measured else None,
        spread=float(stdev(measured)) if len(measured) > 1 else None,
    )


def judged(value: Value, number: PublishedNumber | None, verdict: Verdict) -> Value:
    """The value with the paper's number, the verdict on it and the interval; without a number the value as it is.

    The interval is of our statistic: that of the difference, shifted by the paper's number.
    """
    if number is None:
        return value
    value = replace(
        value,
        published=_number(number),
        statistic=number.statistic,
        source=number.locator,
        difference=verdict.difference,
        verdict=verdict.word,
    )
    if verdict.interval is None:
        return value
    low, high = (number.number + end for end in verdict.interval)
    return replace(value, low=low, high=high)


def _number(number: PublishedNumber) -> str:
    """The printed digits where they are the number in its unit, else the value: `21.50`, `1.8` for `1.8e9`."""
    try:
        same = float(number.printed) == number.number
    except ValueError:
        same = False
    return number.printed if same else number.value


RESULTS: Mapping[str, tuple[str, str]] = {
    "test_error_best": ("test error, best on test", "%"),
    "train_error": ("training error", "%"),
    "train_error_full": ("training error, whole set, not augmented", "%"),
}
"""Field of a result -> what it is called, and its unit: those that are compared with nothing."""


def of_results(value: Value, runs: Sequence[FinishedRun]) -> list[Value]:
    """What else the results of these runs have, where they have it."""
    found = []
    for name, (quantity, unit) in RESULTS.items():
        if measured := [error for run in runs if (error := getattr(run.result, name)) is not None]:
            found.append(of_seeds(replace(value, quantity=quantity, unit=unit), measured))
    return found

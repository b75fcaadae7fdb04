"""Verdicts. Beside every match stands its twin, one printed digit away, that does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.report import published
from bench.report.cifar_depth import PAPER, Variant, judge
from bench.report.verdict import judge_bound, judge_errors, judge_exact, rounds_to
from bench.spec import Arch

NUMBERS = published.load()


@pytest.mark.parametrize(
    ("printed", "value", "expected"),
    [
        ("1.8e9", 1.794805760, True),
        ("1.7e9", 1.794805760, False),
        ("0.27M", 0.269722, True),
        ("0.28M", 0.269722, False),
        ("0.26M", 0.269722, False),
        ("19.4M", 19.421274, True),
        ("19.5M", 19.421274, False),
        ("3.8e9", 3.857973248, False),
        ("0.25", 0.245, True),
        ("7.40", 7.404, True),
        ("7.40", 7.41, False),
    ],
)
def test_exact_numbers_match_when_they_print_alike(printed: str, value: float, expected: bool) -> None:
    assert rounds_to(printed, value) == expected


def test_parameters_of_the_paper() -> None:
    assert judge_exact(NUMBERS["T6/ResNet-56/params"], 853_018).word == "match"
    assert judge_exact(NUMBERS["T6/ResNet-56/params"], 843_018).word == "differs"


def test_a_single_published_run_is_one_draw() -> None:
    number = NUMBERS["T6/ResNet-20/test_error"]
    ours = [8.6, 8.8, 8.9, 8.7, 8.5]
    verdict = judge_errors(number, ours)
    half = stats.t.ppf(0.975, 4) * np.std(ours, ddof=1) * math.sqrt(1 + 1 / 5)
    assert verdict.word == "match"
    assert verdict.half_width == pytest.approx(half)
    assert verdict.difference == pytest.approx(np.mean(ours) - 8.75)
    assert judge_errors(number, [error + half + 0.06 for error in ours]).word == "worse"
    assert judge_errors(number, [error - half for error in ours]).word == "better"


def test_a_published_mean_is_judged_by_welch() -> None:
    """The interval must be the one that SciPy's Welch test decides by."""
    number = NUMBERS["T6/ResNet-110/test_error_mean"]
    ours = np.array([6.3, 6.5, 6.4, 6.6])
    for shift in np.linspace(-0.5, 0.9, 29):
        verdict = judge_errors(number, list(ours + shift), 0.16)
        p = stats.ttest_ind_from_stats(
            np.mean(ours + shift), np.std(ours, ddof=1), 4, 6.61, 0.16, 5, equal_var=False
        ).pvalue
        assert (verdict.word == "match") == (p >= 0.05)


def test_few_runs_say_that_the_spread_is_assumed() -> None:
    number = NUMBERS["T6/ResNet-20/test_error"]
    verdict = judge_errors(number, [8.9])
    assert verdict.word == "match"
    assert verdict.half_width == pytest.approx(1.96 * 0.16 * math.sqrt(2), rel=1e-3)
    assert "assumed" in verdict.note
    assert judge_errors(number, [9.3]).word == "worse"


def test_an_interval_that_tells_nothing_decides_nothing() -> None:
    number = NUMBERS["T6/ResNet-20/test_error"]
    assert judge_errors(number, [8.0, 8.75, 9.5]).word == "undecided"
    assert judge_errors(number, []).word == "missing"


def test_a_bound() -> None:
    number = NUMBERS["Fig6_caption/plain-110/error_bound"]
    assert judge_bound(number, [72.0, 90.0]).word == "match"
    assert judge_bound(number, [72.0, 59.0]).word == "better"
    assert judge_bound(number, []).word == "missing"


def test_another_schedule_is_never_held_against_the_paper() -> None:
    arch = Arch("cifar", 20, "A")
    assert judge(arch, [8.75], PAPER).word == "match"
    for variant in (
        Variant("short", "cifar10", "all"),
        Variant("paper", "cifar10", "val45k"),
        Variant("paper", "digits", "all"),
    ):
        verdict = judge(arch, [8.75], variant)
        assert verdict.word == "not comparable"
        assert verdict.difference is None

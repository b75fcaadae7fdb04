"""Verdicts. Beside every match stands its twin, one printed digit away, that does not."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from scipy import stats

from bench.report.render import markdown
from bench.report.sections import imagenet
from bench.report.sections.runs import Found, other_images
from bench.report.tables import cifar_depth
from bench.report.tables.cifar_depth import judge
from bench.runs.finished import finished_runs
from bench.runs.folder import RunFolder, read_spec
from bench.runs.scores import Score, write_scores
from bench.runs.spec import RunSpec
from bench.studies import calibration
from bench.studies.imagenet import STUDIES
from bench.studies.variant import PAPER, ImageNetVariant, Variant
from bench.verdicts import hypothesis, numbers, published, spread
from bench.verdicts.numbers import (
    ERROR_WORDS,
    best_of,
    judge_bound,
    judge_cells,
    judge_errors,
    judge_exact,
    rounds_to,
    runs_of,
)
from bench.verdicts.published import PublishedNumber
from models.arch import Arch

NUMBERS = published.load()
RUN, MEAN, BEST = (
    NUMBERS[f"T6/{name}"]
    for name in ("ResNet-20/test_error", "ResNet-110/test_error_mean", "ResNet-110/test_error_best_of_5")
)


def printed(number: PublishedNumber, digits: str) -> PublishedNumber:
    """The same number, had the paper printed other digits."""
    return replace(number, printed=digits, value=digits)


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


def test_few_runs_are_judged_by_the_pooled_spread() -> None:
    """The note says which, and how many seeds would make a wide interval a match."""
    number, pool = NUMBERS["T6/ResNet-20/test_error"], spread.known()
    verdict = judge_errors(number, [8.9])
    assert verdict.half_width == pytest.approx(stats.t.isf(0.025, pool.freedom) * pool.value * math.sqrt(2))
    assert verdict.interval is not None
    assert (verdict.word, verdict.text) == ("consistent", f"consistent within {verdict.interval[1]:.2g}")
    assert f"taken to spread by {pool}, pooled over {pool.groups} nets" in verdict.note
    needed = numbers.seeds_to_match(number.statistic, pool.value)
    assert f"About {needed} seeds in all would make it a match" in verdict.note
    assert needed is not None
    halves = [stats.t.isf(0.025, n - 1) * pool.value * math.sqrt(1 + 1 / n) for n in (needed - 1, needed)]
    assert halves[0] > numbers.RESOLUTION >= halves[1]
    assert numbers.seeds_to_match(number.statistic, 0.5) is None  # 1.96 * 0.5 is over 0.75
    assert judge_errors(number, [9.7]).word == "worse"


def test_the_pool_is_what_is_known() -> None:
    """The paper's ResNet-110, each net with a spread of so many runs, and each with a row for each seed."""
    names = {group.name: (round(group.spread, 2), group.runs) for group in spread.groups()}
    assert names["ResNet-110, the paper"] == (0.16, 5)
    assert names["ResNet-56, AmroAbujabal/resnet-cifar-repro"] == (0.69, 3)
    assert names["ResNet-56, tensorflow/models"] == (0.2, 5)
    variance = sum((runs - 1) * of.spread**2 for of in spread.groups() for runs in [of.runs])
    freedom = sum(group.runs - 1 for group in spread.groups())
    assert spread.known().value == pytest.approx(math.sqrt(variance / freedom))
    assert spread.LEAST_FREEDOM <= spread.known().freedom <= freedom
    wider = spread.known({"ResNet-32": [7.0, 9.0]})
    assert wider.value > spread.known().value
    assert spread.known({"ResNet-32": [7.0], "ResNet-44": [7.0, 7.0]}) == spread.known()


def test_degrees_of_freedom_follow_from_how_far_spreads_lie_apart() -> None:
    """Drawn from a scaled inverse chi-square distribution with 12, of many nets, they are found; of equal nets all count."""
    generator = np.random.default_rng(0)
    true = np.sqrt(12 / generator.chisquare(12, 4000))
    drawn = true * np.sqrt(generator.chisquare(4, 4000) / 4)
    assert spread.pooled(drawn, [5] * 4000).freedom == pytest.approx(12, rel=0.15)
    assert spread.pooled([0.2, 0.2, 0.2], [5, 5, 5]) == spread.Spread(pytest.approx(0.2), 12.0, 3)
    for spreads, runs in (([0.2], [5]), ([0.2, 0.0], [5, 5]), ([0.2, 0.2], [5, 1])):
        with pytest.raises(ValueError, match="two groups"):
            spread.pooled(spreads, runs)


def test_many_degrees_of_freedom_are_interpolated_finely() -> None:
    freedom = np.linspace(spread.LEAST_FREEDOM, 40, 50)
    points = np.stack(numbers._best_of(5, 1, freedom), -1)
    exact = np.array([best_of(5, 1, float(each)) for each in freedom[::7]])
    assert points[::7] == pytest.approx(exact, abs=1e-3)


def test_an_interval_that_tells_nothing_decides_nothing() -> None:
    number = NUMBERS["T6/ResNet-20/test_error"]
    assert judge_errors(number, [8.0, 8.75, 9.5]).word == "consistent"
    assert judge_errors(number, []).word == "missing"


def test_a_bound() -> None:
    number = NUMBERS["Fig6_caption/plain-110/error_bound"]
    assert judge_bound(number, [72.0, 90.0]).word == "match"
    assert judge_bound(number, [72.0, 59.0]).word == "better"
    assert judge_bound(number, []).word == "missing"


def test_another_schedule_is_never_held_against_the_paper() -> None:
    arch = Arch("cifar", 20, "A")
    assert judge(arch, [8.75], PAPER).word == "consistent"
    for variant in (
        Variant("short", "cifar10", "all"),
        Variant("paper", "cifar10", "val45k"),
        Variant("paper", "digits", "all"),
    ):
        verdict = judge(arch, [8.75], variant)
        assert verdict.word == "not comparable"
        assert verdict.difference is None


POOL = spread.Spread(0.25, 9.0, 8)
SEEDS = [8.6, 8.8, 8.9, 8.7, 8.5]
WIDE = [8.0, 8.75, 9.5]


@pytest.mark.parametrize(
    ("number", "ours", "digits", "word"),
    [
        # 8.70 +- 2.776 * 0.1581 * sqrt(6/5) = 8.70 +- 0.481
        (RUN, SEEDS, "8.21", "worse"),
        (RUN, SEEDS, "8.22", "match"),
        (RUN, SEEDS, "9.18", "match"),
        (RUN, SEEDS, "9.19", "better"),
        # 8.75 +- 4.303 * 0.75 * sqrt(4/3) = 8.75 +- 3.726: too wide for a match, not for a difference of four points
        (RUN, WIDE, "5.02", "worse"),
        (RUN, WIDE, "5.03", "consistent"),
        (RUN, WIDE, "12.47", "consistent"),
        (RUN, WIDE, "12.48", "better"),
        # one run, pooled 0.25 with 9 degrees of freedom: 8.75 +- 2.262 * 0.25 * sqrt(2) = 8.75 +- 0.800
        (RUN, [8.75], "7.95", "worse"),
        (RUN, [8.75], "7.96", "consistent"),
        (RUN, [8.75], "9.54", "consistent"),
        (RUN, [8.75], "9.55", "better"),
        # two runs 0.3 apart: sqrt((9 * 0.0625 + 0.045) / 10) = 0.2465; 8.75 +- 2.228 * 0.2465 * sqrt(3/2) = 8.75 +- 0.673
        (RUN, [8.6, 8.9], "8.07", "worse"),
        (RUN, [8.6, 8.9], "8.08", "match"),
        (RUN, [8.6, 8.9], "9.42", "match"),
        (RUN, [8.6, 8.9], "9.43", "better"),
        # no spread at all
        (RUN, [8.7, 8.7, 8.7], "8.69", "worse"),
        (RUN, [8.7, 8.7, 8.7], "8.70", "match"),
        (RUN, [8.7, 8.7, 8.7], "8.71", "better"),
        (BEST, [6.41] * 5, "6.40", "worse"),
        (BEST, [6.41] * 5, "6.41", "match"),  # though the mean of five 6.41 is a little less, in floating point
        (BEST, [6.41] * 5, "6.42", "better"),
        # Welch: 8.70 +- 2.306 * sqrt(0.025/5 + 0.0256/5) = 8.70 +- 0.232
        (MEAN, SEEDS, "8.46", "worse"),
        (MEAN, SEEDS, "8.47", "match"),
        (MEAN, SEEDS, "8.93", "match"),
        (MEAN, SEEDS, "8.94", "better"),
        # one run: Welch's freedom is 0.06762^2 / (0.0625^2/9 + 0.00512^2/4) = 10.38; 2.217 * sqrt(0.06762) = 0.577
        (MEAN, [8.75], "8.17", "worse"),
        (MEAN, [8.75], "8.18", "match"),
        (MEAN, [8.75], "9.32", "match"),
        (MEAN, [8.75], "9.33", "better"),
        # 8.70 - 4.703 * 0.1581 = 7.956 and 8.70 + 0.398 * 0.1581 = 8.763
        (BEST, SEEDS, "7.95", "worse"),
        (BEST, SEEDS, "7.96", "match"),
        (BEST, SEEDS, "8.76", "match"),
        (BEST, SEEDS, "8.77", "better"),
        # one run: 8.75 - 4.320 * 0.25 = 7.670 and 8.75 + 1.271 * 0.25 = 9.068
        (BEST, [8.75], "7.67", "worse"),
        (BEST, [8.75], "7.68", "consistent"),
        (BEST, [8.75], "9.06", "consistent"),
        (BEST, [8.75], "9.07", "better"),
    ],
)
def test_every_word_has_its_twin_one_printed_digit_away(
    number: PublishedNumber, ours: list[float], digits: str, word: str
) -> None:
    assert judge_errors(printed(number, digits), ours, 0.16 if number is MEAN else None, POOL).word == word


def test_the_widest_interval_that_still_decides() -> None:
    """4.303 * 0.15 * sqrt(4/3) is 0.745; a hundredth of a point more in one run makes it 0.770."""
    assert judge_errors(RUN, [8.60, 8.75, 8.90]).word == "match"
    assert judge_errors(RUN, [8.59, 8.75, 8.90]).word == "consistent"


def test_a_long_side_alone_is_too_wide_for_a_match() -> None:
    """Of the best of five the interval is longer towards lower numbers of the paper's, that is to higher differences."""
    verdict = judge_errors(printed(BEST, "8.50"), [8.55, 8.75, 8.95, 8.75, 8.9])
    assert verdict.word == "match"
    assert verdict.difference is not None
    assert verdict.interval is not None
    below, above = verdict.difference - verdict.interval[0], verdict.interval[1] - verdict.difference
    assert above < below < 0.75
    wider = judge_errors(printed(BEST, "8.50"), [8.45, 8.75, 9.05, 8.75, 8.9])
    assert wider.word == "consistent"
    assert wider.half_width is not None
    assert wider.half_width > 0.75


def test_other_statistics_are_not_comparable() -> None:
    assert judge_errors(replace(RUN, statistic="as cited"), SEEDS).word == "not comparable"
    assert judge_errors(RUN, SEEDS).word == "match"
    assert runs_of("mean of 5 runs") == ("mean", 5)
    assert runs_of("median of 5 runs") is None


def test_the_bound_and_its_twin() -> None:
    number = NUMBERS["Fig6_caption/plain-110/error_bound"]
    assert judge_bound(number, [60.01]).word == "match"
    assert judge_bound(number, [60.0]).word == "better"


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10])
def test_a_best_of_one_is_a_run(n: int) -> None:
    """Where the distribution is known in closed form: Student's, or the normal with a known spread."""
    freedom = math.inf if n < 3 else n - 1
    half = (stats.norm.isf(0.025) if n < 3 else stats.t.isf(0.025, n - 1)) * math.sqrt(1 + 1 / n)
    assert best_of(1, n, freedom) == pytest.approx((-half, 0, half), abs=1e-6)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_best_of_five_is_a_component_of_scipys_multivariate_t(n: int) -> None:
    distribution = stats.multivariate_t(shape=np.eye(5) + 1 / n, df=n - 1)
    for q, below in zip(best_of(5, n, n - 1), (0.025, 0.5, 0.975), strict=True):
        above = distribution.cdf(np.full(5, -q), random_state=np.random.default_rng(0))
        assert above == pytest.approx(1 - below, abs=1e-4)


@pytest.mark.parametrize(("n", "known"), [(1, True), (2, True), (3, False), (5, False), (10, False)])
def test_the_best_of_five_against_drawn_ones(n: int, known: bool) -> None:
    """Shares below each point, of draws; each within the binomial distribution's all but 1 in 1e6."""
    draws, generator = 100_000, np.random.default_rng(n)
    ours, paper = generator.normal(size=(draws, n)), generator.normal(size=(draws, 5)).min(-1)
    found = (paper - ours.mean(-1)) / (1 if known else ours.std(-1, ddof=1))
    for q, below in zip(best_of(5, n, math.inf if known else n - 1), (0.025, 0.5, 0.975), strict=True):
        low, high = stats.binom(draws, below).ppf([5e-7, 1 - 5e-7])
        assert low <= (found < q).sum() <= high
        assert not low <= (found < q + 0.1 * max(1, abs(q))).sum() <= high


def test_with_many_runs_the_best_of_five_is_the_order_statistic() -> None:
    expected = stats.norm.ppf(1 - (1 - np.array([0.025, 0.5, 0.975])) ** (1 / 5))
    assert best_of(5, 10**9, math.inf) == pytest.approx(expected, abs=1e-4)


def test_one_run_against_a_mean_is_welchs_test() -> None:
    """A run of a pooled spread with 9 degrees of freedom is to Welch as a mean of ten runs that spread by root ten more."""
    for ours in np.linspace(5.6, 7.6, 41):
        p = stats.ttest_ind_from_stats(ours, 0.25 * math.sqrt(10), 10, 6.61, 0.16, 5, equal_var=False).pvalue
        assert (judge_errors(MEAN, [ours], 0.16, POOL).word == "match") == (p >= 0.05)


@pytest.mark.parametrize(("number", "spread"), [(RUN, None), (MEAN, 0.16), (BEST, None)])
@pytest.mark.parametrize("ours", [[8.7], [8.6, 8.8], WIDE, SEEDS])
def test_words_follow_one_another_as_the_papers_number_rises(
    number: PublishedNumber, spread: float | None, ours: list[float]
) -> None:
    order = {"worse": 0, "match": 1, "consistent": 1, "better": 2}
    words = [judge_errors(printed(number, f"{at / 10:.2f}"), ours, spread).word for at in range(-400, 600)]
    ranks = [order[word] for word in words]
    assert ranks == sorted(ranks)
    assert set(ranks) == {0, 1, 2}


@pytest.mark.parametrize(("number", "spread"), [(RUN, None), (MEAN, 0.16), (BEST, None)])
def test_intervals_shrink_with_runs_and_grow_with_their_spread(number: PublishedNumber, spread: float | None) -> None:
    def width(n: int, scale: float) -> float:
        ours = np.arange(n) - (n - 1) / 2
        verdict = judge_errors(number, list(number.number + scale * ours / np.std(ours, ddof=1)), spread)
        assert verdict.interval is not None
        return verdict.interval[1] - verdict.interval[0]

    by_runs = [width(n, 0.2) for n in (3, 4, 5, 10, 30)]
    assert by_runs == sorted(by_runs, reverse=True)
    by_spread = [width(5, scale) for scale in (0.05, 0.1, 0.2, 0.4)]
    assert by_spread == sorted(by_spread)


@pytest.mark.parametrize(("number", "spread"), [(RUN, None), (MEAN, 0.16), (BEST, None)])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_many_cells_are_judged_as_one_is(number: PublishedNumber, spread: float | None, n: int) -> None:
    ours = np.random.default_rng(0).normal(number.number, 0.6, (50, n))
    judged = judge_cells(number.statistic, ours, number.number, spread)
    for i, cell in enumerate(ours):
        one = judge_errors(number, list(cell), spread)
        assert ERROR_WORDS[judged.word[i]] == one.word
        assert (judged.difference[i], judged.low[i], judged.high[i]) == pytest.approx((one.difference, *one.interval))
    assert len({*judged.word.tolist()}) > 1


@pytest.mark.parametrize(
    ("statistic", "ours", "published_number", "spread", "message"),
    [
        ("one run", [], 8.75, None, "no run"),
        ("one run", 8.75, 8.75, None, "no run"),
        ("one run", [8.7, math.nan], 8.75, None, "finite"),
        ("one run", [8.7, math.inf], 8.75, None, "finite"),
        ("one run", [8.7], math.nan, None, "finite"),
        ("one run", [8.7], 8.75, 0.16, "without a published spread"),
        ("mean of 5 runs", [8.7], 8.75, None, "with a published spread"),
        ("mean of 5 runs", [8.7], 8.75, -0.16, "0 or more"),
        ("mean of 5 runs", [8.7], 8.75, math.nan, "0 or more"),
        ("as cited", [8.7], 8.75, None, "'as cited' is no statistic"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    statistic: str, ours: Sequence[float], published_number: float, spread: float | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        judge_cells(statistic, ours, published_number, spread)


def test_the_sampling_of_the_test_set() -> None:
    """Wilson's interval by its formula, of 875 in 10,000."""
    p, n, z = 0.0875, 10_000, stats.norm.isf(0.025)
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = (100 * (middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    assert other_images([8.7, 8.8], 10_000) == f"{low:.2f} to {high:.2f}"
    assert other_images([8.7, 8.8], 50_000) != other_images([8.7, 8.8], 10_000)
    assert other_images([], 10_000) == ""


def cells(page: str, label: str) -> dict[str, str]:
    """Header -> cell, of the lines with this label in the first table and in its details."""
    found: dict[str, str] = {}
    table: list[list[str]] = []
    for line in page.splitlines():
        table = [*table, [cell.strip() for cell in line.strip("|").split("|")]] if line.startswith("|") else []
        if table and table[-1][0] == label:
            found = dict(zip(table[0], table[-1], strict=True)) | found
    return found


DIFFERENCE = "difference [95 %]"


def record(results: Path, spec: RunSpec, test_error: float) -> RunFolder:
    """A run of the paper's length, as it would lie there: a committed one's record with another identity and error."""
    source = min((ROOT / "tables" / "measured").glob("resnet-20-A-short-s0-*"))
    folder = RunFolder(results, spec.run_id)
    folder.start(spec)
    for name in ("metrics.jsonl", "provenance.json"):
        shutil.copy(source / name, folder.path)
    committed = RunFolder(source.parent, source.name).read_result()
    folder.write_result(replace(committed, run_id=spec.run_id, test_error=test_error, iterations=64_000))
    assert read_spec(folder.spec) == spec
    return folder


def test_the_page_shows_every_part_of_a_verdict(tmp_path: Path) -> None:
    """Published statistic, ours, difference, interval and word; ResNet-110 against its mean and against its best of five."""
    for seed, test_error in enumerate([6.5, 6.6, 6.9, 6.8, 6.4]):
        record(tmp_path, PAPER.spec(Arch("cifar", 110, "A"), seed), test_error)
    record(tmp_path, PAPER.spec(Arch("cifar", 20, "A"), 0), 9.3)
    page = markdown.render(cifar_depth.page(Found(finished_runs(tmp_path), ()), PAPER))
    mean, best = cells(page, "ResNet-110"), cells(page, "ResNet-110, best of 5")
    shown = ("paper: test error, %", "its statistic", "ours: test error, last", "precision", "seeds")
    assert [mean[name] for name in shown] == ["6.61 ± 0.16", "mean of 5 runs", "6.64 ± 0.21", "fp32", "5"]
    assert mean["95 % of other images"] == other_images([6.64], 10_000)
    assert (mean[DIFFERENCE], mean["verdict"]) == ("+0.03 [-0.24, +0.30]", "match")
    assert (best[shown[0]], best[shown[1]]) == ("6.43", "best of 5 runs")
    low, middle, high = (6.64 + q * np.std([6.5, 6.6, 6.9, 6.8, 6.4], ddof=1) for q in best_of(5, 5, 4))
    assert best[shown[2]].startswith(f"{middle:.2f}[^")
    assert best[DIFFERENCE] == f"{middle - 6.43:+.2f} [{low - 6.43:+.2f}, {high - 6.43:+.2f}]"
    assert best["verdict"] == "match"
    one = cells(page, "ResNet-20")
    pool = spread.known({"ResNet-110": [6.5, 6.6, 6.9, 6.8, 6.4]})  # with ours
    low, high = judge_errors(NUMBERS["T6/ResNet-20/test_error"], [9.3], seeds=pool).interval or (0, 0)
    assert one[DIFFERENCE] == f"+0.55 [{low:+.2f}, {high:+.2f}]"
    assert one["verdict"].startswith("consistent within 1.4[^")
    assert f"taken to spread by {pool}, pooled over 10 nets" in page
    assert "At the paper's 8.75 %, 10,000 images leave 8.21 to 9.32." in page


def test_the_pages_of_imagenet_show_it_too(tmp_path: Path) -> None:
    variant = ImageNetVariant(STUDIES["imagenet_shortcuts"], "paper")
    spec = next(spec for spec in variant.specs() if spec.arch.depth == 50)
    folder = record(tmp_path, spec, 25.0)
    write_scores(folder.evaluation, {"10-crop": Score(11_500, 3_300, 50_000)})
    page = markdown.render(imagenet.page(Found(finished_runs(tmp_path), (tmp_path,)), variant))
    found = cells(page, "ResNet-50 B")
    ours = [text for name, text in found.items() if name.startswith("ours: top-")]
    assert ours == ["23.00", "6.60"]
    assert {"+0.15 [-0.71, +1.01]", "-0.11 [-0.97, +0.75]"} <= {*re.findall(r"[+-]\d\.\d\d \[[^]]*\]", page)}
    assert "| consistent within 1[^" in page
    assert other_images([23.0], 50_000) in page
    assert other_images([6.6], 50_000) in page
    assert "50,000 images leave 21.07 to 21.79 at 21.43 % and 5.51 to 5.92 at 5.71 %." in page


def test_facts_of_the_verdicts_stand_once() -> None:
    """The paper's spread is read from its numbers, and simulated as the true one; three runs are three everywhere."""
    assert published.papers_spread() == 0.16 == calibration.SPREADS[0]
    assert pytest.approx(hypothesis.ALPHA) == 1 - numbers.CONFIDENCE


def test_a_further_run_lies_within_reach() -> None:
    """Two equal means of three runs and of one: the prediction interval is the one of Student's test of their difference."""
    ours = [8.6, 8.75, 8.9]
    reach = numbers.reach_of_a_run(ours)
    for further, inside in ((8.75 + reach - 1e-6, True), (8.75 + reach + 1e-6, False)):
        p = 2 * stats.t.sf((further - 8.75) / (0.15 * math.sqrt(1 + 1 / 3)), 2)
        assert (p > 0.05) == inside
    verdict = judge_errors(RUN, ours)
    assert verdict.half_width == pytest.approx(reach)

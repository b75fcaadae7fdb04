"""Claims: the data are whole, each kind of test gives each verdict, and the verdicts err as rarely as they say."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import made_up
import numpy as np
import pytest
from conftest import ROOT
from scipy import stats

from bench import run
from bench.command import pages
from bench.command.tables import TABLES
from bench.files import write_json
from bench.measure.counts.fvcore_count import Cost
from bench.report.sections import claims as asked
from bench.report.sections.runs import Found
from bench.report.tables import complexity as counted
from bench.report.tables.claims import families, short
from bench.runs import overrides
from bench.runs.finished import finished_runs
from bench.runs.folder import Result, RunFolder
from bench.runs.scores import Score, write_scores
from bench.runs.spec import RunSpec
from bench.studies import cifar_depth as study
from bench.studies import gradients as gradient_study
from bench.studies.claim import Claim, Net, Step, above, alike, below, harms_more, increasing, less, not_above
from bench.studies.claims import CLAIMS, COLD_110, PLAIN, RESIDUAL, RUNS_OF, of_table, published_id
from bench.studies.imagenet import STUDIES
from bench.studies.seeds import Seeds
from bench.studies.variant import GRADIENTS_OF_PAPER, PAPER, ImageNetVariant, Variant
from bench.verdicts import claims, hypothesis, published
from bench.verdicts.claims import CAUTION, Judged, explain, judge, papers_spread
from bench.verdicts.hypothesis import ALPHA, Sample, add, holm
from models.arch import Arch

NUMBERS = published.load()
BY_ID = {claim.id: claim for claim in CLAIMS}
COSTS = counted.load(ROOT / "tables" / "measured" / "complexity.json")
MADE_UP = (6.5, 6.7, 6.6, 6.4, 6.8)


# --- the data


def test_every_sentence_that_the_study_needs_is_there() -> None:
    assert len(BY_ID) == len(CLAIMS)
    assert {
        "plain-test", "plain-training", "plain-32-training", "residual-gains", "residual-beats-plain", "plain-110-fails",
        "110-starts-late", "110-ends-alike", "1202-fits", "1202-overfits", "same-cost", "152-cheaper-than-vgg",
        "plain-34-worse", "resnet-34-over-18", "resnet-34-over-plain", "resnet-18-faster", "a-b-c", "a-b-c-small",
        "deeper-is-better", "responses-below-plain", "responses-fall", "gradients-healthy", "short-plain", "short-residual",
    } <= BY_ID.keys()  # fmt: skip
    for claim in CLAIMS:
        assert claim.locator, claim.id
        assert claim.meaning.endswith("."), claim.id
        assert claim.table in {*TABLES, *RUNS_OF}, claim.id
        assert bool(claim.tests) != bool(claim.comparisons), claim.id


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_every_id_is_a_published_number(claim: Claim) -> None:
    named = [step.bound for step in claim.tests if isinstance(step.bound, str)]
    named += [comparison.right for comparison in claim.comparisons if isinstance(comparison.right, str)]
    named += [claim.size] if claim.size else []
    of_nets = [id_ for q in claim.quantities for net in claim.nets if (id_ := published_id(q, net))]
    for id_ in [*named, *of_nets]:
        assert id_ in NUMBERS, id_
    for step in claim.tests:
        assert isinstance(claims.bound_of(step), float)
    for side in (side for c in claim.comparisons for side in (c.left, c.right) if isinstance(side, Arch)):
        assert side.name in COSTS


def test_the_papers_own_number_is_of_the_same_net_and_kind() -> None:
    for claim in CLAIMS:
        for quantity in claim.quantities:
            for net in claim.nets:
                if id_ := published_id(quantity, net):
                    assert NUMBERS[id_].net.startswith(net.arch.label), (claim.id, id_)
                    assert NUMBERS[id_].quantity[:4] in (quantity[:4], "mean", "erro"), (claim.id, id_)


def test_the_papers_own_numbers_bear_out_its_claims() -> None:
    """Where it printed or drew them: each step of each claim, with nothing between the numbers and the step.

    ResNet-110 is its mean of five; the training error of plain-32 is below that of plain-20 at the end, within the margin.
    """
    seen = 0
    for claim in CLAIMS:
        for step in claim.tests:
            ids = [published_id(step.quantity, net) for _, net in step.terms]
            printed = [float(NUMBERS[id_].value.lstrip("<>")) for id_ in ids if id_]
            if len(printed) == len(step.terms):
                total = sum(weight * number for (weight, _), number in zip(step.terms, printed, strict=True))
                bound = claims.bound_of(step)
                right = total >= bound if step.side == "above" else total <= bound
                assert right, (claim.id, step)
                seen += 1
    assert seen > 30


@pytest.mark.parametrize("claim", [c for c in CLAIMS if not c.exact], ids=lambda claim: claim.id)
def test_the_runs_of_a_claim_are_runs_of_its_study(claim: Claim) -> None:
    """A net whose recipe the claim changes: the study's run with those fields set, which the command can be asked for."""
    table = RUNS_OF.get(claim.table, claim.table)
    schedule = claim.only_at or "paper"
    if table == "cifar_depth":
        setting = asked.of_cifar(Variant(schedule, "cifar10", "all"), {})
        runs = study.runs(schedule, Seeds.first(2))
    elif table == "gradients":
        setting = asked.of_gradients(GRADIENTS_OF_PAPER, Found({}, ()))
        works = gradient_study.works(schedule, "cifar10", Seeds.first(2))
        runs = tuple(one.run for one in works if gradient_study.watched(one.run) == one)  # as in the paper
    else:
        variant = ImageNetVariant(STUDIES[table], schedule)
        setting, runs = asked.of_imagenet(variant, {}), variant.specs(Seeds.first(2))
    assert claim.nets
    for net in claim.nets:
        wanted = setting.wanted(net, seed=1)
        if not net.changes:
            assert wanted in runs
            continue
        assert net.words
        base = next(spec for spec in runs if (spec.arch, spec.seed) == (net.arch, 1))
        assert overrides.between(base.recipe, wanted.recipe) == net.changes


def test_a_changed_table_of_claims_is_seen() -> None:
    """The helpers say what they are named after."""
    a, b, c = PLAIN[20], PLAIN[32], PLAIN[44]
    assert increasing("test_error", a, b, c) == (*less("test_error", a, b), *less("test_error", b, c))
    assert less("test_error", a, b) != less("test_error", b, a)
    assert BY_ID["plain-test"].nets == (a, b, c, PLAIN[56])
    assert short(BY_ID["110-ends-alike"].nets) == "ResNet-110, 110 without warm-up"
    assert {claim.id for claim in of_table("cifar_depth", "short")} - {
        claim.id for claim in of_table("cifar_depth", "paper")
    } == {"short-plain", "short-residual", "short-cure"}


# --- verdicts


def one(tests: tuple[Step, ...], values: Mapping[Net, Iterable[float]], likely: float = 0.16) -> Judged:
    """The verdict on a claim that is alone in its table."""
    claim = Claim("made-up", "cifar_depth", "nowhere", "Made up.", tests)
    found = {net: tuple(of_net) for net, of_net in values.items()}
    (judged,) = judge([claim], lambda quantity, net: found.get(net, ()))
    return replace(judged, notes=explain(judged, likely))


A, B, C, D = PLAIN[20], PLAIN[56], RESIDUAL[20], RESIDUAL[56]


def shifted(by: float) -> tuple[float, ...]:
    return tuple(value + by for value in MADE_UP)


def test_less_is_banerjees_test() -> None:
    """More careful than Welch's, less so than with the degrees of freedom of the net with the fewest runs for both."""
    low, high = MADE_UP, (7.0, 7.4, 6.6)
    judged = one(less("test_error", A, B), {A: low, B: high})
    welch = stats.ttest_ind(high, low, equal_var=False, alternative="greater")
    assert judged.p
    assert welch.pvalue < judged.p < stats.t.sf(welch.statistic, 2)
    variances = np.var(low, ddof=1) / len(low), np.var(high, ddof=1) / len(high)
    quantiles = stats.t.isf(judged.p, [len(low) - 1, len(high) - 1])
    assert np.mean(high) - np.mean(low) == pytest.approx(np.sqrt(quantiles**2 @ variances))
    assert judged.closest
    wide = stats.t.ppf(0.975, [len(low) - 1, len(high) - 1])
    assert judged.closest.total.half_width == pytest.approx(np.sqrt(wide**2 @ variances))


def test_of_equally_many_runs_it_is_welchs_statistic_with_the_freedom_of_one() -> None:
    judged = one(less("test_error", A, B), {A: (6.0, 6.5, 6.2), B: (7.0, 7.4, 6.6)})
    welch = stats.ttest_ind((7.0, 7.4, 6.6), (6.0, 6.5, 6.2), equal_var=False)
    assert judged.p == pytest.approx(stats.t.sf(welch.statistic, 2))


def test_seeds_that_agree_do_not_weaken_a_claim() -> None:
    """One run each with an assumed spread, then three close ones of one net: their few degrees of freedom are theirs alone."""
    alone = one(less("test_error", A, B), {A: [20.0], B: [26.0]})
    together = one(less("test_error", A, B), {A: [19.95, 20.0, 20.05], B: [26.0]})
    assert (alone.word, together.word) == ("holds", "holds")
    assert alone.p
    assert together.p
    assert together.p < alone.p


@pytest.mark.parametrize(("side", "alternative"), [(below, "less"), (above, "greater")])
def test_a_bound_is_students_test(side, alternative: str) -> None:  # type: ignore[no-untyped-def]
    judged = one(side("test_error", A, 6.7), {A: MADE_UP})
    assert judged.p == pytest.approx(stats.ttest_1samp(MADE_UP, 6.7, alternative=alternative).pvalue)


def test_a_chain_is_as_weak_as_its_weakest_step() -> None:
    values = {A: MADE_UP, B: shifted(5), C: shifted(5.1)}
    judged = one(increasing("test_error", A, B, C), values)
    statistic = stats.ttest_ind(shifted(5.1), shifted(5), alternative="greater").statistic
    assert judged.p == pytest.approx(stats.t.sf(statistic, 4))
    assert judged.word == "undecided"
    assert judged.closest
    assert judged.closest.step == less("test_error", B, C)[0]


@pytest.mark.parametrize(
    ("tests", "by", "word"),
    [
        (less("test_error", A, B), 0.5, "holds"),
        (less("test_error", A, B), -0.5, "contradicted"),
        (less("test_error", A, B), 0.1, "undecided"),
        (below("test_error", B, 7.0), 0.0, "holds"),
        (below("test_error", B, 7.0), 0.9, "contradicted"),
        (below("test_error", B, 7.0), 0.45, "undecided"),
        (above("test_error", B, "Fig6_caption/plain-110/error_bound"), 60.0, "holds"),
        (above("test_error", B, "Fig6_caption/plain-110/error_bound"), 50.0, "contradicted"),
        (above("test_error", B, "Fig6_caption/plain-110/error_bound"), 53.4, "undecided"),
        (alike("test_error", A, B, 0.5), 0.1, "holds"),
        (alike("test_error", A, B, 0.5), -0.1, "holds"),
        (alike("test_error", A, B, 0.5), 0.9, "contradicted"),
        (alike("test_error", A, B, 0.5), -0.9, "contradicted"),
        (alike("test_error", A, B, 0.5), 0.45, "undecided"),
        (not_above("test_error", B, A, 0.5), -9.0, "holds"),
        (not_above("test_error", B, A, 0.5), 0.2, "holds"),
        (not_above("test_error", B, A, 0.5), 0.9, "contradicted"),
        (harms_more("test_error", (A, B), (C, D)), 0.6, "holds"),
        (harms_more("test_error", (A, B), (C, D)), -0.6, "contradicted"),
        (harms_more("test_error", (A, B), (C, D)), 0.1, "undecided"),
    ],
)  # fmt: skip
def test_each_kind_gives_each_verdict(tests: tuple[Step, ...], by: float, word: str) -> None:
    values = {A: MADE_UP, B: shifted(by), C: MADE_UP, D: MADE_UP}
    judged = one(tests, values)
    assert judged.word == word
    assert (judged.p is not None and judged.p < ALPHA) == (word != "undecided")
    assert one(tests, {A: MADE_UP, C: MADE_UP, D: MADE_UP}).word == "not run"
    assert one(tests, {}).p is None


def test_a_step_that_is_refuted_contradicts_before_all_nets_are_run() -> None:
    tests = increasing("test_error", A, B, C)
    assert one(tests, {A: MADE_UP, B: shifted(-1)}).word == "contradicted"
    assert one(tests, {A: MADE_UP, B: shifted(1)}).word == "not run"


def test_a_contradiction_is_corrected_for_the_steps_among_which_it_was_found() -> None:
    judged = one(increasing("test_error", A, B, C), {A: MADE_UP, B: shifted(1), C: shifted(0.5)})
    statistic = stats.ttest_ind(shifted(1), shifted(0.5)).statistic
    assert judged.word == "contradicted"
    assert judged.p == pytest.approx(2 * stats.t.sf(statistic, 4))


def test_holm_against_a_worked_example() -> None:
    """Four hypotheses at 5 %: the two smallest are rejected, as in the example of textbooks."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_claims_of_a_table_are_corrected_together_run_or_not() -> None:
    """A difference that holds alone does not among ten; what others of the table still need to run changes nothing."""
    claim = Claim("first", "cifar_depth", "nowhere", "Made up.", less("test_error", A, B))
    others = [replace(claim, id=str(i), steps=less("test_error", C, D)) for i in range(9)]
    values = {A: MADE_UP, B: shifted(0.25)}
    alone, *_ = judge([claim], lambda quantity, net: values.get(net, ()))
    among, *rest = judge([claim, *others], lambda quantity, net: values.get(net, ()))
    assert alone.p
    assert among.p
    assert (alone.word, among.word, {other.word for other in rest}) == ("holds", "undecided", {"not run"})
    assert among.p == pytest.approx(10 * alone.p)


def test_one_run_each_holds_only_if_seeds_may_spread_ten_times_as_far() -> None:
    """And the page says how far: a hair less holds, a hair more does not."""
    needed = stats.norm.isf(ALPHA) * CAUTION * papers_spread() * np.sqrt(2)
    assert one(less("test_error", A, B), {A: [20.0], B: [20.0 + needed + 0.01]}).word == "holds"
    unsure = one(less("test_error", A, B), {A: [20.0], B: [20.0 + needed - 0.01]})
    assert unsure.word == "undecided"
    assert unsure.notes[1] == "It would hold if seeds spread by less than 1.6 points."
    sure = one(less("test_error", A, B), {A: [20.0], B: [70.0]})
    assert sure.word == "holds"
    assert "taken to spread by 1.6 points, 10 times the 0.16" in sure.notes[0]
    bears = float(sure.notes[1].split()[-2])
    z = stats.norm.isf(ALPHA) * np.sqrt(2)
    assert bears == pytest.approx(50 / z, rel=0.05)
    wrong = one(less("test_error", A, B), {A: [70.0], B: [20.0]})
    assert wrong.word == "contradicted"
    assert wrong.notes[1] == sure.notes[1]
    chain = one(increasing("test_error", A, B, C), {A: [20.0], B: [70.0], C: (69.0, 71.5, 70.5, 70.0, 72.0)})
    assert chain.word == "undecided"
    assert not any("would hold if seeds" in note for note in chain.notes)  # whatever A and B spread by, C would not do


def test_two_runs_far_apart_are_believed() -> None:
    together, apart = [20.0, 20.1], [10.0, 30.2]
    assert one(less("test_error", A, B), {A: together, B: [30.0, 30.1]}).word == "holds"
    assert one(less("test_error", A, B), {A: apart, B: [30.0, 30.1]}).word == "undecided"


def test_nothing_is_assumed_of_what_is_no_error_rate() -> None:
    late = Step("epochs_to_start", ((1, A), (-1, B)), "above", 1.0)
    judged = one((late,), {A: [9.0], B: [1.0]})
    assert judged.word == "undecided"
    assert judged.notes == ("Three runs of each net would give a spread to judge by.",)
    assert one((late,), {A: [9.0, 8.0, 9.0], B: [1.0, 1.0, 1.0]}).word == "holds"


def test_seeds_without_any_spread() -> None:
    """Three nets at exactly 90 %: no division by nothing, and at the bound itself nothing is shown."""
    assert one(above("test_error", A, 60.0), {A: [90.0] * 3}).word == "holds"
    assert one(above("test_error", A, 60.0), {A: [50.0] * 3}).word == "contradicted"
    assert one(above("test_error", A, 60.0), {A: [60.0] * 3}).word == "undecided"


def test_undecided_says_which_way_and_how_many() -> None:
    leaning = one(less("test_error", A, B), {A: MADE_UP, B: shifted(0.1)})
    seeds = int(leaning.notes[-1].split()[1])
    assert leaning.notes[-1] == f"About {seeds} seeds of each net, in all, would show it, if what is seen is true."
    plan = hypothesis.Plan(0.1, ((1, float(np.std(MADE_UP, ddof=1))),) * 2)
    assert plan.power(seeds, ALPHA) >= 0.8 > plan.power(seeds - 1, ALPHA)
    assert "would contradict it" in one(below("test_error", A, 6.55), {A: MADE_UP}).notes[-1]
    assert "would show it" in one(below("test_error", A, 6.65), {A: MADE_UP}).notes[-1]
    assert "would contradict it" in one(less("test_error", A, B), {A: MADE_UP, B: shifted(-0.1)}).notes[-1]
    assert one(less("test_error", A, B), {A: MADE_UP, B: shifted(0.001)}).notes[-1].startswith("More than 100 seeds")
    assumed = one(less("test_error", A, B), {A: [6.6], B: [6.8]}).notes[-1]
    assert assumed.endswith("if what is seen is true and seeds spread by 0.16 points.")


def test_more_seeds_have_more_power() -> None:
    """One net against a bound is the textbook's power of Student's test."""
    plan = hypothesis.Plan(0.2, ((1, 0.16),))
    powers = [plan.power(n, ALPHA) for n in range(3, 30)]
    assert powers == sorted(powers)
    expected = stats.nct.sf(stats.t.isf(ALPHA, 7), 7, 0.2 / 0.16 * np.sqrt(8))
    assert plan.power(8, ALPHA) == pytest.approx(expected)
    assert hypothesis.Plan(50.0, ((1, 0.16), (-1, 0.16))).power(3, 0.01) == 1.0
    assert hypothesis.Plan(-0.2, ((1, 0.16),)).power(100, ALPHA) == 0.0


# --- calibration


def within(count: int, trials: int, rate: float) -> bool:
    """Whether so many cases are no more than a rate allows: a fair share of them is exceeded once in a thousand times."""
    return count <= stats.binom.ppf(0.999, trials, rate)


@pytest.mark.parametrize(
    ("seeds", "spreads"),
    [
        ((1, 1), (1.6, 1.6)),
        ((3, 3), (0.16, 0.16)),
        ((3, 3), (0.08, 0.56)),
        ((5, 5), (0.08, 0.32)),
        ((3, 1), (1.6, 1.6)),
        ((3, 10), (0.32, 0.16)),
    ],
)
def test_where_nothing_is_true_hardly_any_table_has_a_claim_that_holds(
    seeds: tuple[int, int], spreads: tuple[float, float]
) -> None:
    """Eight claims of each kind, each at the very edge of being true: in 5 % of tables one holds, or one is contradicted.

    The nets of a pair have their own numbers of seeds. With one seed its spread is what is assumed, ten times the paper's.
    """
    rng, tables = np.random.default_rng(sum(seeds)), 1500
    nets = [Net(Arch("cifar", 20 + 6 * i)) for i in range(16)]
    pairs = list(zip(nets[::2], nets[1::2], strict=True))
    steps = [less("test_error", a, b) for a, b in pairs[:5]]
    steps += [
        alike("test_error", *pairs[5], 0.5),
        below("test_error", nets[12], 6.0),
        above("test_error", nets[14], 6.0),
    ]
    family = [Claim(str(i), "cifar_depth", "nowhere", "Made up.", tests) for i, tests in enumerate(steps)]
    held = refuted = 0
    for _ in range(tables):
        drawn = 6.0 + rng.standard_normal((max(seeds), 16)) * np.tile(spreads, 8)
        drawn[:, 10] += 0.5  # the edge of being alike
        values = {net: tuple(map(float, drawn[: seeds[i % 2], i])) for i, net in enumerate(nets)}
        words = {judged.word for judged in judge(family, lambda quantity, net: values[net])}  # noqa: B023
        held += "holds" in words
        refuted += "contradicted" in words
    assert within(held, tables, ALPHA), held
    assert within(refuted, tables, ALPHA), refuted
    assert held + refuted > 0.01 * tables  # it is a test that can fail


@pytest.mark.parametrize("gap", [0.25, 0.45])
def test_the_seeds_that_would_decide_do_so_four_times_in_five(gap: float) -> None:
    rng, trials = np.random.default_rng(1), 500
    level = ALPHA / 8  # as the first of eight claims of a table
    plan = hypothesis.Plan(gap, ((1, 0.16), (-1, 0.22)))
    seeds = hypothesis.seeds_to_show([plan], level)
    assert seeds
    shown = 0
    for _ in range(trials):
        high, low = gap + 0.16 * rng.standard_normal(seeds), 0.22 * rng.standard_normal(seeds)
        samples = [Sample(1, tuple(map(float, high))), Sample(-1, tuple(map(float, low)))]
        shown += add(samples, None).p_above(0.0) < level
    assert within(trials - shown, trials, 1 - hypothesis.POWER + 0.02), shown
    assert within(shown, trials, plan.power(seeds, level) + 0.02), shown


def test_two_steps_together_need_more_seeds_than_either() -> None:
    rng, trials, level = np.random.default_rng(2), 400, ALPHA
    plans = [hypothesis.Plan(0.2, ((1, 0.16), (-1, 0.16)))] * 2
    alone, both = (hypothesis.seeds_to_show(some, level) for some in (plans[:1], plans))
    assert alone
    assert both
    assert both > alone
    shown = 0
    for _ in range(trials):
        nets = [0.2 * i + 0.16 * rng.standard_normal(both) for i in range(3)]  # a chain: the middle net is shared
        samples = [Sample(1, tuple(map(float, net))) for net in nets]
        ps = [add([high, replace(low, weight=-1)], None).p_above(0.0) for low, high in pairwise(samples)]
        shown += max(ps) < level
    assert within(trials - shown, trials, 1 - hypothesis.POWER), shown


# --- exact claims


def test_costs_hold_today() -> None:
    words = {judged.claim.id: judged.word for judged in claims.exact(COSTS)}
    assert words == {"same-cost": "holds", "152-cheaper-than-vgg": "holds", "110-thinner": "contradicted"}


@pytest.mark.parametrize(("net", "change"), [("resnet-56-A", 1), ("resnet-56-A", -1), ("plain-20", -1)])
def test_one_parameter_more_contradicts(net: str, change: int) -> None:
    def with_one(cost: Cost) -> Cost:
        return replace(cost, parameters=cost.parameters + change)

    words = {j.claim.id: j.word for j in claims.exact({**COSTS, net: with_one(COSTS[net])})}
    assert words["same-cost"] == "contradicted"
    without = {name: cost for name, cost in COSTS.items() if name != "vgg-19"}
    assert {j.claim.id: j.word for j in claims.exact(without)}["152-cheaper-than-vgg"] == "not run"


# --- runs and pages


def write(results: Path, spec: RunSpec, points: list[dict[str, float]] | None = None, **measured: object) -> None:
    """A finished run with made-up errors; what it says never leaves the temporary folder."""
    folder = RunFolder(results, spec.run_id)
    facts: dict[str, object] = {field.name: None for field in fields(Result)}
    counts = {"iterations": spec.recipe.iterations, "test_images": 10_000, "train_images": 50_000, "parameters": 1}
    facts |= {
        "run_id": spec.run_id,
        "status": "done",
        "wall_seconds": 1.0,
        "images_per_second": 1.0,
        **counts,
        **measured,
    }
    write_json(folder.spec, spec.to_json())
    usual = {
        "iteration": 1,
        "lr": 0.1,
        "train_loss": 1.0,
        "train_error": 50.0,
        "test_error": 50.0,
        "images_per_second": 1.0,
    }
    folder.write_metrics([{**usual, **point} for point in points or []])
    folder.write_result(Result(**facts))  # type: ignore[arg-type]


def curve(start: int) -> list[dict[str, float]]:
    """Epochs of guessing, then of learning from `start` on."""
    errors = {epoch: 90.1 if epoch < start else 50.0 for epoch in range(1, 11)}
    return [{"iteration": 390 * epoch, "epoch": float(epoch), "train_error": error} for epoch, error in errors.items()]


def word_of(results: Path, claim: str, variant: Variant = PAPER) -> tuple[str, str]:
    judged = claims.of_setting(asked.of_cifar(variant, finished_runs(results)))
    found = next(j for j in judged if j.claim.id == claim)
    return found.word, " ".join(found.notes)


def test_the_warm_up_is_judged_on_runs_with_and_without(tmp_path: Path) -> None:
    setting = asked.of_cifar(PAPER, {})
    for seed in range(5):
        write(tmp_path, setting.wanted(PLAIN[110], seed), curve(99), test_error=90.0)
        error = 6.6 + 0.01 * seed
        write(tmp_path, setting.wanted(RESIDUAL[110], seed), curve(1), test_error=error)
        assert word_of(tmp_path, "110-starts-late")[0] == "not run"
    for seed in range(5):
        error = 6.5 + 0.01 * seed
        write(tmp_path, setting.wanted(COLD_110, seed), curve(4 + seed % 2), test_error=error)
    assert word_of(tmp_path, "110-starts-late")[0] == "holds"
    assert word_of(tmp_path, "110-ends-alike")[0] == "holds"
    cold = Variant("paper", "cifar10", "all", COLD_110.changes)
    assert word_of(tmp_path, "110-ends-alike", cold)[0] == "not run"  # there the two nets are one
    assert word_of(tmp_path, "plain-110-fails", cold)[0] == "holds"  # the same runs: no other setting
    assert [family.page for family in families(finished_runs(tmp_path)) if "=" in family.page] == []


def test_a_net_that_never_starts_is_as_late_as_its_run_is_long(tmp_path: Path) -> None:
    setting = asked.of_cifar(PAPER, {})
    write(tmp_path, setting.wanted(COLD_110), curve(99), test_error=90.0)
    again = asked.of_cifar(PAPER, finished_runs(tmp_path))
    assert again.values("epochs_to_start", COLD_110) == (10.0,)


def test_a_run_that_diverged_counts_as_guessing(tmp_path: Path) -> None:
    setting = asked.of_cifar(PAPER, {})
    for seed in range(3):
        write(tmp_path, setting.wanted(PLAIN[110], seed), curve(9)[:2], status="diverged")
    word, notes = word_of(tmp_path, "plain-110-fails")
    assert word == "holds"
    assert "Runs that diverged count as guessing: 3 of plain-110." in notes
    setting = asked.of_cifar(PAPER, finished_runs(tmp_path))
    assert setting.values("test_error", PLAIN[110]) == (90.0, 90.0, 90.0)
    assert setting.values("epochs_to_start", PLAIN[110]) == ()


@pytest.mark.parametrize(("plain", "fits"), [(28.54, "inside"), (30.54, "outside")])
def test_imagenet_is_judged_under_its_tables_protocol(tmp_path: Path, plain: float, fits: str) -> None:
    """With the size of the difference beside its direction."""
    variant = ImageNetVariant(STUDIES["imagenet_plain_vs_residual"], "paper")
    errors = {"imagenet-plain-18": 27.94, "imagenet-plain-34": plain, "imagenet-resnet-18-A": 27.9}
    errors["imagenet-resnet-34-A"] = 25.03
    for spec in variant.specs(Seeds.first(3)):
        wrong = round(500 * (errors[spec.arch.name] + 0.1 * (spec.seed - 1)))
        write(
            tmp_path, spec, [{"epoch": 1.0, "test_error": 54.0}], train_error=errors[spec.arch.name] + 0.1 * spec.seed
        )
        write_scores(RunFolder(tmp_path, spec.run_id).evaluation, {"10-crop": Score(wrong, wrong // 4, 50_000)})
    finished = finished_runs(tmp_path)
    words = {j.claim.id: j for j in claims.of_setting(asked.of_imagenet(variant, finished))}
    assert words["resnet-34-over-plain"].word == words["plain-34-worse"].word == "holds"
    half = stats.t.ppf(0.975, 2) * 0.1 * np.sqrt(2 * (1 + 1 / 3))
    said = f"the paper's 3.5 points lie {fits} the 95 % prediction interval of ours, {plain - 25.03:.2f} ± {half:.2f}."
    assert said in words["resnet-34-over-plain"].notes[-1]
    assert words["plain-34-longer"].word == "not run"


def test_everything_is_not_run_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But what is counted; and each claim's runs have a command."""
    monkeypatch.setattr(pages, "MEASURED", tmp_path / "measured")
    shutil.copytree(ROOT / "tables" / "measured", tmp_path / "measured", ignore=shutil.ignore_patterns("*-s[0-9]-*"))
    assert run.main(("--table", "claims", "--results", str(tmp_path / "none"), "--tables", str(tmp_path))) == 0
    page = (tmp_path / "claims.md").read_text()
    asked = [claim for claim in CLAIMS if claim.only_at != "short"]
    assert f"{len(asked)} claims: 2 hold, 1 contradicted, {len(asked) - 3} not run." in page
    for claim in asked:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{claim.id}`") and claim.locator in line]
        assert claim.meaning in row
        assert claim.exact or "| not run" in row
    assert "`python bench/run.py --table cifar_depth --seeds 5 --only resnet-110-A --set warmup_lr=none`" in page
    assert "`python bench/run.py --table imagenet_shortcuts --cluster slurm --data DIR --seeds 3`" in page
    assert "Not the paper's runs" not in page


def test_committed_runs_are_judged_at_their_own_schedule() -> None:
    found = {family.page: family for family in families(finished_runs(ROOT / "tables" / "measured"))}
    assert not found["cifar_depth.short"].setting.comparable
    words = {j.claim.id: j.word for j in found["cifar_depth.short"].judged}
    assert words["short-plain"] in ("holds", "contradicted", "undecided")
    assert "short-plain" not in {j.claim.id for j in found["cifar_depth"].judged}


def test_a_verdict_stands_beside_its_table() -> None:
    for page in ("cifar_depth", "cifar_depth.short", "complexity", *STUDIES):
        text = (ROOT / "tables" / f"{page}.md").read_text()
        assert "**Claims of the paper" in text, page
        assert "[claims](claims.md)" in text, page
    paper = (ROOT / "tables" / "cifar_depth.md").read_text()
    assert all(f"| `{claim.id}`" in paper for claim in of_table("cifar_depth", "paper"))


def test_the_plan_names_claims_and_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ("--results", str(tmp_path / "r"), "--tables", str(tmp_path / "t"))
    assert run.main(("--table", "claims", "--dry-run", "--seeds", "2", *places)) == 0
    said = capsys.readouterr().out
    assert all(f"  {claim.id} " in said for claim in CLAIMS if claim.only_at != "short")
    assert "ResNet-110 without warm-up has 0" in said
    setting = asked.of_cifar(PAPER, {})
    assert setting.wanted(COLD_110, 1).run_id in said
    assert not (tmp_path / "t").exists()


def test_a_claim_takes_the_precision_with_most_seeds_of_its_nets(tmp_path: Path) -> None:
    """Never a mixture: three seeds at least of each net in bf16 win over two in fp32."""
    shallow, deep = PLAIN[20], PLAIN[44]
    claim = Claim("one", "cifar_depth", "here", "One.", less("test_error", shallow, deep))
    counts = {("fp32", shallow): 4, ("fp32", deep): 2, ("bf16", shallow): 4, ("bf16", deep): 3}
    specs = [PAPER.spec(net.arch, seed, precision) for (precision, net), n in counts.items() for seed in range(n)]
    setting = asked.of_cifar(PAPER, made_up.runs(tmp_path, specs))
    assert setting.of(claim).precision == "bf16"
    assert {len(setting.of(claim).runs(net)) for net in claim.nets} == {4, 3}
    assert {run.spec.recipe.precision for net in claim.nets for run in setting.of(claim).runs(net)} == {"bf16"}
    (judged,) = [one for one in claims.of_setting(setting) if one.claim.id == "plain-training"]
    assert "Judged on runs in bf16." in judged.notes


def test_of_as_many_seeds_single_precision_is_taken(tmp_path: Path) -> None:
    specs = [PAPER.spec(PLAIN[20].arch, 0, precision) for precision in ("bf16", "fp32")]
    setting = asked.of_cifar(PAPER, made_up.runs(tmp_path, specs))
    claim = Claim("one", "cifar_depth", "here", "One.", below("test_error", PLAIN[20], 10.0))
    assert setting.of(claim).precision == "fp32"


def test_the_check_sees_a_verdict_that_was_written_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("claims.md", "claims.csv"):
        shutil.copy(ROOT / "tables" / name, tmp_path)
    arguments = ("--table", "claims", "--check", "--tables", str(tmp_path))
    assert run.main(arguments) == 0
    page = tmp_path / "claims.md"
    page.write_text(page.read_text().replace("| not run", "| holds  ", 1))
    assert run.main(arguments) == 1
    assert "claims.md:" in capsys.readouterr().err

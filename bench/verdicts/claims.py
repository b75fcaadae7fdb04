"""Verdicts on the paper's sentences: holds, contradicted, undecided or not run. REPRODUCE.md has the rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, get_args

from bench.measure.counts.fvcore_count import Cost
from bench.runs import overrides
from bench.runs.finished import Finished, FinishedRun, by_arch
from bench.runs.spec import Precision, RunSpec, Schedule
from bench.studies.claim import Claim, Comparison, Net, Quantity, Step
from bench.studies.claims import CLAIMS, of_table
from bench.verdicts import hypothesis, published
from bench.verdicts.hypothesis import ALPHA, Plan, Sample, Sum
from bench.verdicts.published import papers_spread
from bench.verdicts.quantities import SOURCES, value
from bench.verdicts.spread import Spread, known
from models.arch import Arch

Word = Literal["holds", "contradicted", "undecided", "not run"]
Values = Callable[[Quantity, Net], tuple[float, ...]]
"""The values of a quantity over the seeds of a net, in order of seed; none where it was not run or not measured."""

CAUTION = 10
"""Times the paper's spread of seeds that a verdict must survive where a net has no spread of its own."""


def assumed_spread() -> Spread:
    """What seeds of an error rate are taken to spread by where a net has fewer than three runs and nothing is known.

    At the paper's length the spread of test errors on CIFAR-10 is known: see bench/verdicts/spread.py.
    """
    return Spread(CAUTION * papers_spread(), math.inf)


@dataclass(frozen=True)
class Tested:
    """A step with the runs that it was tested on."""

    step: Step
    bound: float
    samples: tuple[Sample, ...]
    """With the weights of the step."""
    assumed: Spread | None
    """Of a net of fewer than three runs, in the quantity's unit; None: nothing can be assumed."""

    @cached_property
    def total(self) -> Sum:
        return hypothesis.add(self.samples, self.assumed)

    @cached_property
    def p(self) -> float:
        above = self.step.side == "above"
        return self.total.p_above(self.bound) if above else self.total.p_below(self.bound)

    @cached_property
    def p_opposite(self) -> float:
        above = self.step.side == "above"
        return self.total.p_below(self.bound) if above else self.total.p_above(self.bound)

    @property
    def gap(self) -> float:
        """How far the sum lies on the right side of its bound."""
        return (self.total.value - self.bound) * (1 if self.step.side == "above" else -1)

    @property
    def assumes(self) -> bool:
        return any(sample.assumes for sample in self.samples)

    def plan(self, spread: float, sign: int) -> Plan | None:
        """The step as further seeds would test it, or with sign -1 its opposite; None where no spread is known."""
        spreads = []
        for sample in self.samples:
            own, _ = sample.spread(None if self.assumed is None else replace(self.assumed, value=spread))
            if own == float("inf"):
                return None
            if sample.assumes and self.assumed is not None:
                own = min(own, fmean(sample.values))  # an error near zero hardly spreads by more than itself
            spreads.append((sample.weight, own))
        return Plan(sign * self.gap, tuple(spreads))

    def largest_spread(self, level: float, sign: int) -> float | None:
        """The largest spread to assume with which the step, or with sign -1 its opposite, is shown."""
        if self.assumed is None:
            return None
        turned = sign if self.step.side == "above" else -sign
        samples = [replace(sample, weight=turned * sample.weight) for sample in self.samples]
        return hypothesis.largest_spread(samples, turned * self.bound, level, self.assumed.freedom)


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict and what it rests on."""

    claim: Claim
    word: Word
    p: float | None = None
    """Corrected after Holm, of the verdict's direction; None of an exact claim and of one that was not run."""
    tested: tuple[Tested, ...] = ()
    """The steps whose nets were all run."""
    values: Values = lambda quantity, net: ()
    sign: int = 1
    """-1 where the runs speak, or lean, against the claim."""
    level: float = ALPHA
    """What is left of 5 % for the step that the verdict hangs on, after both corrections."""
    notes: tuple[str, ...] = ()

    @property
    def closest(self) -> Tested | None:
        """The step that the verdict hangs on: the one that is shown least."""
        return max(self.tested, key=lambda tested: tested.p, default=None)


def judge(claims: Sequence[Claim], values: Values) -> list[Judged]:
    """Judge the claims of one table together, in the order given, without notes."""
    return judge_each([(claim, values) for claim in claims])


def judge_each(asked: Sequence[tuple[Claim, Values]], seeds: Spread | None = None) -> list[Judged]:
    """The same, each claim with the values of its own runs.

    `seeds` is what test errors of fewer than three runs are taken to spread by, where that is known.
    """
    claims = [claim for claim, _ in asked]
    tested = [tuple(t for step in claim.tests if (t := _test(step, values, seeds))) for claim, values in asked]
    shown = hypothesis.holm([_p_shown(claim, found) for claim, found in zip(claims, tested, strict=True)])
    refuted = hypothesis.holm([_p_refuted(claim, found) for claim, found in zip(claims, tested, strict=True)])
    judged = []
    for (claim, values), found, p, opposite in zip(asked, tested, shown, refuted, strict=True):
        word = _word(claim, found, p, opposite)
        against = word == "contradicted" or (word == "undecided" and any(t.gap < 0 for t in found))
        level = _left_by_holm(refuted, opposite) / len(claim.tests) if against else _left_by_holm(shown, p)
        of_word = {"not run": None, "contradicted": opposite}.get(word, p)
        judged.append(Judged(claim, word, of_word, found, values, -1 if against else 1, level))
    return judged


def _whole(claim: Claim, tested: Sequence[Tested]) -> bool:
    """Whether every step could be tested."""
    return len(tested) == len(claim.tests)


def _p_shown(claim: Claim, tested: Sequence[Tested]) -> float:
    """p of the claim: the largest of its steps; 1 where a step was not run."""
    return max(t.p for t in tested) if _whole(claim, tested) else 1.0


def _p_refuted(claim: Claim, tested: Sequence[Tested]) -> float:
    """p of the opposite of some step, after Bonferroni."""
    return min(1.0, len(claim.tests) * min((t.p_opposite for t in tested), default=1.0))


def _word(claim: Claim, tested: Sequence[Tested], shown: float, refuted: float) -> Word:
    """The verdict by both p-values, each corrected after Holm."""
    if shown < ALPHA:
        return "holds"
    if refuted < ALPHA:
        return "contradicted"
    return "undecided" if _whole(claim, tested) else "not run"


def _left_by_holm(corrected: Sequence[float], own: float) -> float:
    """The level at which Holm tests a claim: those that are shown with a smaller p come before it."""
    return ALPHA / (len(corrected) - sum(p < own for p in corrected if p < ALPHA))


def explain(judged: Judged, likely_spread: float) -> tuple[str, ...]:
    """How a claim was read, what its verdict assumes, and how many seeds would decide it.

    `likely_spread`, in points, is what the seeds of an error rate are taken to spread by where they have no spread of their
    own yet and the question is how many would decide; no verdict rests on it.
    """
    notes = [judged.claim.remark] if judged.claim.remark else []
    if judged.word != "not run":
        notes += _on_spread(judged)
    if judged.word == "undecided":
        notes.append(_on_seeds(judged, likely_spread))
    return tuple(notes)


def _test(step: Step, values: Values, seeds: Spread | None) -> Tested | None:
    """The step on the runs that there are; None where a net has none."""
    samples = []
    for weight, net in step.terms:
        if not (found := values(step.quantity, net)):
            return None
        samples.append(Sample(weight, found))
    assumed = None if SOURCES[step.quantity].top is None else assumed_spread()
    if step.quantity == "test_error" and seeds:
        assumed = seeds
    return Tested(step, bound_of(step), tuple(samples), assumed)


def bound_of(step: Step) -> float:
    """The step's bound as a number; a published one is printed as `>60`."""
    return float(published.load()[step.bound].value.lstrip("<>")) if isinstance(step.bound, str) else step.bound


def _on_spread(judged: Judged) -> list[str]:
    """What was assumed of the spread of seeds, and how much of it the verdict bears."""
    sign = judged.sign
    rests = [t for t in judged.tested if t.assumes and t.assumed is not None]
    if not rests:
        return []
    said = f"Fewer than three runs of a net: {_words(rests[0].assumed)}."
    limits = [t.largest_spread(judged.level, sign) for t in rests]
    found = [limit for limit in limits if limit is not None]
    others_hold = all(t in rests or t.p < judged.level for t in judged.tested)
    if sign > 0 and others_hold and len(found) == len(limits):
        limit = min(found)
    elif sign < 0 and found:
        limit = max(found)
    else:
        return [said]
    if judged.word != "undecided":
        return [said, f"The verdict bears a spread of up to {limit:.2g} points."]
    verdict = "be contradicted" if sign < 0 else "hold"
    return [said, f"It would {verdict} if seeds spread by less than {limit:.2g} points."]


def _words(assumed: Spread | None) -> str:
    """What is assumed, and where it is from."""
    if assumed and assumed.groups:
        return f"its seeds are taken to spread by {assumed}, pooled over {assumed.groups} nets"
    return (
        f"its seeds are taken to spread by {assumed_spread().value:g} points, {CAUTION} times the {papers_spread():g} that "
        "the paper prints for ResNet-110"
    )


def _on_seeds(judged: Judged, likely_spread: float) -> str:
    """How many seeds would decide what is undecided."""
    tested, level, sign = judged.tested, judged.level, judged.sign
    plans = [t.plan(likely_spread, sign) for t in tested if sign > 0 or t.gap < 0]
    known = [plan for plan in plans if plan is not None]
    if len(known) < len(plans):
        return "Three runs of each net would give a spread to judge by."
    if sign > 0:
        seeds = hypothesis.seeds_to_show(known, level)
    else:
        each = [found for plan in known if (found := hypothesis.seeds_to_show([plan], level)) is not None]
        seeds = min(each, default=None)
    condition = "if what is seen is true"
    if any(t.assumes and t.assumed is not None for t in tested):
        condition += f" and seeds spread by {likely_spread:.2g} points"
    about = f"More than {hypothesis.MOST_SEEDS}" if seeds is None else f"About {seeds}"
    verb = "show" if sign > 0 else "contradict"
    return f"{about} seeds of each net, in all, would {verb} it, {condition}."


@dataclass(frozen=True)
class Setting:
    """Runs of one kind: a schedule, images and recipe, under which the claims of a table are judged."""

    table: str
    schedule: Schedule
    comparable: bool
    """Whether its errors may be held against the paper's."""
    spec: Callable[[Arch], RunSpec]
    """The run of a net, of any seed, in single precision."""
    finished: Mapping[str, Finished[Any]]
    folders: tuple[Path, ...] = ()
    """In which what was measured of the nets of runs is looked for."""
    precision: Precision = "fp32"
    """Of its runs: those of several are never mixed."""
    _runs: dict[Net, tuple[FinishedRun, ...]] = field(default_factory=dict)
    _values: dict[tuple[Quantity, Net], tuple[float, ...]] = field(default_factory=dict)

    @cached_property
    def _of_arch(self) -> dict[Arch, list[Finished[Any]]]:
        return by_arch(self.finished)

    @cached_property
    def _at(self) -> dict[Precision, Setting]:
        """The same setting in each precision that has runs, fp32 first."""
        present = {run.spec.recipe.precision for run in self.finished.values()} | {self.precision}
        return {each: self.at(each) for each in get_args(Precision) if each in present}

    def at(self, precision: Precision) -> Setting:
        """The same setting with runs in another precision."""
        if precision == self.precision:
            return self
        return Setting(self.table, self.schedule, self.comparable, self.spec, self.finished, self.folders, precision)

    def of(self, claim: Claim) -> Setting:
        """This in the precision that has most seeds of all nets of a claim; of equals in the first, fp32 before others."""

        def seeds(setting: Setting) -> tuple[int, int]:
            counts = [len(setting.runs(net)) for net in claim.nets]
            return min(counts, default=0), sum(counts)

        return max(self._at.values(), key=seeds)

    def wanted(self, net: Net, seed: int = 0) -> RunSpec:
        """The run of a net that claims ask for."""
        spec = self._spec(net.arch)
        return replace(spec, recipe=overrides.apply(spec.recipe, net.changes), seed=seed)

    def _spec(self, arch: Arch) -> RunSpec:
        spec = self.spec(arch)
        return replace(spec, recipe=replace(spec.recipe, precision=self.precision))

    def runs(self, net: Net) -> tuple[FinishedRun, ...]:
        """The finished runs of a net, seeds in order; none of a net whose change changes nothing here."""
        if net not in self._runs:
            wanted = self.wanted(net)
            of_net = self._of_arch.get(net.arch, ())
            found = [run for run in of_net if run.spec.recipe == wanted.recipe and run.spec.dataset == wanted.dataset]
            if net.changes and wanted.recipe == self._spec(net.arch).recipe:
                found = []
            self._runs[net] = tuple(sorted(found, key=lambda run: run.spec.seed))
        return self._runs[net]

    def values(self, quantity: Quantity, net: Net) -> tuple[float, ...]:
        if (quantity, net) not in self._values:
            measured = (value(quantity, run, self.folders) for run in self.runs(net))
            self._values[quantity, net] = tuple(found for found in measured if found is not None)
        return self._values[quantity, net]


def of_setting(setting: Setting, of: str | None = None) -> list[Judged]:
    """The claims of a table (that of the setting, or another that looks into its runs), judged."""
    claims = of_table(of or setting.table, setting.schedule)
    seeds = known() if setting.comparable else None
    likely = (seeds or assumed_spread()).value
    judged = []
    settings = [setting.of(claim) for claim in claims]
    for own, found in zip(
        settings, judge_each([(c, each.values) for c, each in zip(claims, settings, strict=True)], seeds), strict=True
    ):
        notes = [*explain(found, likely), *_on_divergence(found, own)]
        if found.tested and own.precision != "fp32":
            notes.append(f"Judged on runs in {own.precision}.")
        if setting.comparable and found.tested and found.claim.size:
            notes.append(_on_size(found, found.claim.size))
        judged.append(replace(found, notes=tuple(notes)))
    return judged


def _on_divergence(judged: Judged, setting: Setting) -> list[str]:
    counts = {
        net: sum(run.result.status == "diverged" for run in setting.runs(net))
        for net in (judged.claim.nets if judged.tested else ())
    }
    said = ", ".join(f"{count} of {name(net)}" for net, count in counts.items() if count)
    return [f"Runs that diverged count as guessing: {said}."] if said else []


def _on_size(judged: Judged, id_: str) -> str:
    """Whether the printed size of a difference fits ours."""
    printed, first = published.load()[id_], judged.tested[0]
    if first.assumes:
        return f"Its size, {printed.printed} points in the paper, is judged from three runs of each net on."
    half = hypothesis.prediction_half_width(first.samples)
    fits = "inside" if abs(first.total.value - printed.number) <= half else "outside"
    return (
        f"Its size: the paper's {printed.printed} points lie {fits} the 95 % prediction interval of ours, "
        f"{first.total.value:.2f} ± {half:.2f}."
    )


def exact(costs: Mapping[str, Cost]) -> list[Judged]:
    """The claims on counted costs, judged without statistics."""
    judged = []
    for claim in CLAIMS:
        if claim.exact:
            held = [_compare(comparison, costs) for comparison in claim.comparisons]
            word: Word = "contradicted" if False in held else "not run" if None in held else "holds"
            judged.append(Judged(claim, word, notes=(claim.remark,) if claim.remark else ()))
    return judged


def counts_of(comparison: Comparison, costs: Mapping[str, Cost]) -> tuple[float | None, float | None]:
    """Both sides of a comparison; None of a net that was not counted."""

    def count(side: Arch | str) -> float | None:
        if isinstance(side, str):
            number = published.load()[side]
            return number.number * float(number.unit.split()[0])
        cost = costs.get(side.name)
        return None if cost is None else float(getattr(cost, comparison.quantity))

    return count(comparison.left), count(comparison.right)


def _compare(comparison: Comparison, costs: Mapping[str, Cost]) -> bool | None:
    left, right = counts_of(comparison, costs)
    if left is None or right is None:
        return None
    return left < right if comparison.relation == "<" else left == right


def name(net: Net) -> str:
    """`ResNet-110`, or `ResNet-110 without warm-up`."""
    return f"{net.arch.title} {net.words}".strip()

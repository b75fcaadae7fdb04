"""The page of `--table claims`: every sentence with its verdict, and the runs that it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean

from bench.measure.counts.fvcore_count import Cost
from bench.report.page import Cell, Page, Part, Table, Value, cells, grid
from bench.report.render import markdown, terminal
from bench.report.sections import claims as asked
from bench.report.sections import gradient_rows
from bench.report.sections.claims import word_cell
from bench.report.sections.runs import Found
from bench.report.tables import complexity
from bench.runs import overrides
from bench.runs.finished import FinishedRun
from bench.runs.spec import RunSpec, Schedule, Spec
from bench.studies.cifar_depth import DEFAULT_DATASET
from bench.studies.claim import Net, Quantity
from bench.studies.claims import CLAIMS, RUNS_OF, published_id
from bench.studies.gradients import watched
from bench.studies.imagenet import STUDIES
from bench.studies.imagenet import recipe as imagenet_recipe
from bench.studies.layer_responses import responses
from bench.studies.variant import GRADIENTS_OF_PAPER, PAPER, GradientVariant, ImageNetVariant, Variant
from bench.verdicts import published
from bench.verdicts.claims import Judged, Setting, Tested, Word, counts_of, exact, name, of_setting
from bench.verdicts.quantities import SOURCES
from models.arch import Arch

Finished = Mapping[str, FinishedRun]
TITLES = {
    "complexity": "What nets cost: [complexity](complexity.md)",
    "cifar_depth": "Table 6 and Fig. 6: [cifar_depth](cifar_depth.md)",
    "imagenet_plain_vs_residual": "Table 2 and Fig. 4: [imagenet_plain_vs_residual](imagenet_plain_vs_residual.md)",
    "imagenet_shortcuts": "Table 3: [imagenet_shortcuts](imagenet_shortcuts.md)",
    "imagenet_multiscale": "Tables 4 and 5: [imagenet_multiscale](imagenet_multiscale.md)",
    "constructed_solution": "The constructed solution: [constructed_solution](constructed_solution.md)",
    "layer_responses": "Fig. 7: [layer_responses](layer_responses.md)",
    "gradients": "Signals and gradients: [gradients](gradients.md)",
}
CIFAR_SEEDS, IMAGENET_SEEDS = 5, 3
"""Runs of a net that the commands ask for: as many as the paper has of ResNet-110, and as few as give a spread."""


@dataclass(frozen=True)
class Family:
    """The claims of a table under one setting: what Holm's correction is over."""

    table: str
    setting: Setting
    page: str
    """Name of the table's page: `cifar_depth.short`."""
    command: str
    """What runs the table's nets."""
    seeds: int
    """Runs of each net that it is asked for."""
    work: Callable[[RunSpec], tuple[Spec, ...]] = lambda spec: (spec,)
    """What is done for a run that its setting wants."""

    @cached_property
    def judged(self) -> list[Judged]:
        return of_setting(self.setting, self.table)


def families(finished: Finished, schedule: Schedule | None = None, folders: Sequence[Path] = ()) -> list[Family]:
    """Every table under the paper's schedule, and each other setting whose runs decide or leave undecided some claim.

    With `schedule`: the families of that schedule, on the study's own images, and no others. Smoke has none for ImageNet.
    `folders`: the results folders in which what was measured inside of nets is looked for.
    """
    inside = Found(finished, tuple(folders))
    if schedule:
        variant = Variant(schedule, DEFAULT_DATASET[schedule], "all")
        of_gradients = _gradients(GradientVariant(schedule, DEFAULT_DATASET[schedule]), inside)
        return [
            *_cifar(variant, inside),
            of_gradients,
            *(_imagenets(finished, schedule) if schedule != "smoke" else []),
        ]
    found = [*_cifar(PAPER, inside), _gradients(GRADIENTS_OF_PAPER, inside), *_imagenets(finished, "paper")]
    own = {net.changes for claim in CLAIMS for net in claim.nets if net.changes}
    others = {variant.name: variant for run in finished.values() for variant in _variants(run.spec)}
    for at, other in sorted(others.items()):
        if at not in TITLES and other.changes not in own:  # those are part of a claim, not a setting
            more = _cifar(other, inside) if isinstance(other, Variant) else [_imagenet(other, finished)]
            found += [family for family in more if any(one.word != "not run" for one in family.judged)]
    for shown in gradient_rows.variants(inside)[1:]:
        family = _gradients(shown, inside)
        found += [family] if any(one.word != "not run" for one in family.judged) else []
    return found


def _variants(spec: RunSpec) -> list[Variant | ImageNetVariant]:
    """The pages that a run stands on."""
    if spec.arch.family == "cifar":
        return [Variant.of(spec)]
    recipe = spec.imagenet
    changed = overrides.between(imagenet_recipe(recipe.schedule, recipe.classes), recipe)
    return [
        ImageNetVariant(study, recipe.schedule, spec.dataset, recipe.classes, changed)
        for study in STUDIES.values()
        if spec.arch in study.archs
    ]


def _cifar(variant: Variant, inside: Found) -> list[Family]:
    """The claims of the depth study, and of the tables that look into its runs."""
    setting, command = asked.of_cifar(variant, inside.runs, inside.folders), variant.command()
    tables = ("cifar_depth", *(table for table, runs in RUNS_OF.items() if runs == "cifar_depth"))
    found = {table: Family(table, setting, variant.page(table), command, CIFAR_SEEDS) for table in tables}
    found["layer_responses"] = replace(
        found["layer_responses"],
        command=variant.command("layer_responses"),
        work=lambda spec: (spec, responses(spec)),
    )
    return list(found.values())


def _gradients(variant: GradientVariant, inside: Found) -> Family:
    setting = asked.of_gradients(variant, inside)
    return Family("gradients", setting, variant.name, variant.command(), IMAGENET_SEEDS, lambda spec: (watched(spec),))


def _imagenet(variant: ImageNetVariant, finished: Finished) -> Family:
    setting, command = asked.of_imagenet(variant, finished), variant.command()
    return Family(variant.study.name, setting, variant.name, command, IMAGENET_SEEDS)


def _imagenets(finished: Finished, schedule: Schedule) -> list[Family]:
    return [_imagenet(ImageNetVariant(study, schedule), finished) for study in STUDIES.values()]


WORDS: dict[Word, str] = {
    "holds": "hold", "contradicted": "contradicted", "undecided": "undecided", "not run": "not run",
}  # fmt: skip


def summary(judged: Sequence[Judged]) -> str:
    """`3 hold, 1 contradicted, 20 not run`."""
    counts = Counter(one.word for one in judged)
    return ", ".join(f"{counts[word]} {said}" for word, said in WORDS.items() if counts[word])


def render(finished: Finished, costs: Mapping[str, Cost], folders: Sequence[Path] = ()) -> str:
    """The page in Markdown."""
    return markdown.render(page(finished, costs, folders))


def page(finished: Finished, costs: Mapping[str, Cost], folders: Sequence[Path] = ()) -> Page:
    """The page; `folders` as in `families`."""
    counted, found = exact(costs), families(finished, folders=folders)
    paper = [family for family in found if family.page in TITLES]
    others = [family for family in found if family.page not in TITLES]
    all_of_paper = [*counted, *(one for family in paper for one in family.judged)]
    parts: list[Part] = [
        "The paper's sentences in our own words, each put to the test. *holds*: the runs show it. *contradicted*: they show "
        "the opposite. *undecided*: they show neither, and the note says how many seeds would. *not run*: a net is missing. "
        "[REPRODUCE.md](../REPRODUCE.md#how-to-read-a-claim) has the rule.",
        "## At the paper's schedule",
        f"{len(all_of_paper)} claims: {summary(all_of_paper)}.",
        f"### {TITLES['complexity']}",
        _verdicts(counted, "complexity"),
        _counts(counted, costs),
    ]
    for family in paper:
        parts += _family(family, f"### {TITLES[family.table]}")
    for family in others:
        parts += _family(family, f"## {_heading(family)}")
    values = [_value(one) for one in counted]
    values += [_value(one, family) for family in found for one in family.judged]
    return Page("claims", "Claims of the paper", parts, values)


def _value(one: Judged, family: Family | None = None) -> Value:
    """A claim with its verdict, and the step that it hangs on; counts know no setting."""
    claim, closest = one.claim, one.closest if one.word != "not run" else None
    seeds = [len(one.values(claim.quantities[0], net)) for net in claim.nets] if family else []
    value = Value(short(claim.nets), f"claim {claim.id}", "", verdict=one.word, source=claim.locator)
    if family:
        value = replace(value, schedule=family.setting.schedule, condition=family.page, seeds=min(seeds))
    if closest is None:
        return value
    total = closest.total
    quantity = f"{value.quantity}: {SOURCES[closest.step.quantity].words}"
    value = replace(value, quantity=quantity, measured=float(total.value), published=f"{closest.bound:g}")
    value = replace(value, statistic=f"bound of the step, {closest.step.side}")
    if total.half_width == float("inf"):
        return value
    return replace(value, low=float(total.value - total.half_width), high=float(total.value + total.half_width))


def _heading(family: Family) -> str:
    kind = "The paper's schedule, otherwise" if family.setting.comparable else "Not the paper's runs"
    return f"{kind}: [{family.page}]({family.page}.md)"


def _family(family: Family, heading: str) -> list[Part]:
    """The parts of a page that one family fills."""
    at_paper = family.page in TITLES
    shown = [one for one in family.judged if at_paper or one.word != "not run"]
    left = len(family.judged) - len(shown)
    said = ""
    if not at_paper:
        said = f"{len(family.judged)} claims: {summary(family.judged)}" + (", and those are left out." if left else ".")
    if not family.setting.comparable:
        said = (
            f"At schedule `{family.setting.schedule}`. The paper says nothing of such runs: a verdict here says what they "
            f"show, and no more. {said}"
        )
    return [
        heading,
        said,
        _verdicts(shown, family.page),
        _evidence(shown),
        _to_run(family),
    ]


def address(page: str, one: Judged) -> str:
    """Where the claim stands in report.html, as judged on the runs of a page."""
    return f"claims.{page}.{one.claim.id}"


def _verdicts(judged: Sequence[Judged], page: str = "") -> Table:
    """The verdicts on claims; in report.html each has an address of its own."""
    rows = [
        cells(
            Cell(f"`{one.claim.id}`", anchor=address(page, one)),
            one.claim.locator,
            one.claim.meaning,
            word_cell(one),
            _p(one),
        )
        for one in judged
    ]
    return Table(["claim", "where", "in our words", "verdict", "p, corrected"], rows, (4,), (0, 2, 3, 4))


def _p(one: Judged) -> str:
    if one.claim.exact:
        return "exact"
    if one.p is None:
        return ""
    return "<0.001" if one.p < 0.001 else f"{one.p:.3f}"


def _counts(judged: Sequence[Judged], costs: Mapping[str, Cost]) -> Table:
    """The counts that exact claims rest on; many of them as one number."""
    rows = []
    for one in judged:
        said = []
        for comparison in one.claim.comparisons:
            left, right = counts_of(comparison, costs)
            side = comparison.right
            other = side.title if isinstance(side, Arch) else published.load()[side].net
            if left is not None and right is not None:
                relation = "<" if left < right else "=" if left == right else ">"
                said.append(f"{left:,.0f} {relation} {right:,.0f} ({other})")
        if len(said) > 3:
            said = [f"{sum(' = ' in text for text in said)} of {len(said)} pairs of counts are equal"]
        rows.append([f"`{one.claim.id}`", ", ".join(said) or "missing"])
    return grid(rows, ["claim", "counts"])


def _evidence(judged: Sequence[Judged]) -> Table:
    """The nets that each claim needs, the paper's numbers of them, ours, and the seeds they have."""
    rows = []
    for one in judged:
        claim = one.claim
        paper = [[_paper(quantity, net) for net in claim.nets] for quantity in claim.quantities]
        ours = [[_mean(one.values(quantity, net)) for net in claim.nets] for quantity in claim.quantities]
        seeds = [len(one.values(claim.quantities[0], net)) for net in claim.nets]
        rows.append(
            [
                f"`{claim.id}`",
                "; ".join(SOURCES[quantity].words for quantity in claim.quantities),
                short(claim.nets),
                _lists(paper),
                _lists(ours),
                _seeds(seeds),
                _step(one.closest, several=len(claim.quantities) > 1) if one.closest and one.word != "not run" else "",
            ]
        )
    return grid(rows, ["claim", "of", "nets it needs", "the paper's", "ours", "seeds", "closest step, 95 % interval"])


def _lists(lists: Sequence[Sequence[str]]) -> str:
    """Values of several nets, and of several quantities; nothing where there are none."""
    return "; ".join(", ".join(text or "-" for text in texts) for texts in lists if any(texts))


def _paper(quantity: Quantity, net: Net) -> str:
    id_ = published_id(quantity, net)
    number = published.load().get(id_) if id_ else None
    return "" if number is None else number.printed or f"{number.number:.2f}"


def _mean(values: Sequence[float]) -> str:
    return f"{fmean(values):.2f}" if values else ""


def _seeds(counts: Sequence[int]) -> str:
    if not any(counts):
        return "none"
    return f"{counts[0]} each" if len(counts) > 1 and len(set(counts)) == 1 else ", ".join(map(str, counts))


def short(nets: Sequence[Net]) -> str:
    """`plain-20, 32; ResNet-110, 110 warmup_lr=none`: what a name shares with the one before it is left out."""
    groups: dict[str, list[str]] = {}
    for net in nets:
        kind, rest = name(net).split("-", 1)
        groups.setdefault(kind, []).append(rest)
    return "; ".join(f"{kind}-{', '.join(rests)}" for kind, rests in groups.items())


def _step(tested: Tested, several: bool) -> str:
    """`plain-32 - plain-20: +0.42 (+0.10 to +0.74)`, and the bound where it is not zero."""
    terms = tested.step.terms
    alone = len(terms) == 1
    words = " ".join(
        ("" if i == 0 else "+ " if weight > 0 else "− ") + name(net) for i, (weight, net) in enumerate(terms)
    )
    total, sign = tested.total, "" if alone else "+"
    said = f"{words}: {total.value:{sign}.2f}"
    if total.half_width < float("inf"):
        low, high = total.value - total.half_width, total.value + total.half_width
        said += f" ({low:{sign}.2f} to {high:{sign}.2f})"
    if several:
        said = f"{SOURCES[tested.step.quantity].words}, {said}"
    if tested.bound:
        said += f", against {'>' if tested.step.side == 'above' else '<'} {tested.bound:g}"
    return said


def _lacking(family: Family, one: Judged, net: Net) -> bool:
    """Whether a net has fewer runs than it is asked for, or fewer that were measured where that is done besides."""
    inside = [quantity for quantity in one.claim.quantities if SOURCES[quantity].inside]
    counts = [len(family.setting.of(one.claim).runs(net)), *(len(one.values(quantity, net)) for quantity in inside)]
    return min(counts) < family.seeds


def _to_run(family: Family) -> str:
    """The commands that run what is missing."""
    command = f"{family.command} --seeds {family.seeds}"
    waiting = [one for one in family.judged if one.word in ("not run", "undecided")]
    few = [net for one in waiting for net in one.claim.nets if _lacking(family, one, net)]
    lines = [f"`{command}`"] if any(not net.changes for net in few) else []
    for net in dict.fromkeys(net for net in few if net.changes):
        only = net.arch.name.removeprefix("imagenet-")
        lines.append(f"`{command} --only {only}{overrides.words(net.changes)}`")
    if len(lines) == 1:
        return f"What is missing is run by {lines[0]}."
    return "\n".join(["What is missing is run by", "", *(f"- {line}" for line in lines)]) if lines else ""


def render_terminal(
    finished: Finished, costs: Mapping[str, Cost], schedule: Schedule, folders: Sequence[Path] = ()
) -> str:
    """The claims at one schedule in the columns that fit a terminal, and the commands that run what is missing."""
    found = families(finished, schedule, folders)
    judged = [*exact(costs), *(one for family in found for one in family.judged)]
    missing = [said.replace("`", "") for family in found if (said := _to_run(family))]
    heading = f"At schedule {schedule}, {len(judged)} claims: {summary(judged)}."
    return "\n".join([heading, "", terminal.render(_verdicts(judged)), "", *missing])


def pages(found: Found) -> Iterator[Page]:
    """The page, where nets are counted."""
    if (path := found.measured / "complexity.json").exists():
        yield page(found.runs, complexity.load(path), found.folders)

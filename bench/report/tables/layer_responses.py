"""The page of `--table layer_responses`: Fig. 7 with ours beside it, and how much what the paper leaves open matters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean, median

from bench.files import read_json
from bench.measure.probes import responses_record
from bench.measure.probes.responses_record import CHOICES, OURS, Magnitudes
from bench.report.figures.responses import figure_7
from bench.report.page import Cell, Figure, Manifest, Page, Part, Section, Table, Value, behind, cells, grid
from bench.report.render import terminal
from bench.report.sections import claims as asked
from bench.report.sections import manifest, values
from bench.report.sections.runs import Found, difference, mean_and_spread, provenance, sentences, verdict_cell
from bench.report.sections.titles import SEEDS, titled
from bench.report.sections.titles import measured as section_of
from bench.runs.finished import FinishedRun
from bench.runs.folder import RunFolder
from bench.studies import layer_responses as study
from bench.studies.cifar_depth import choices, deviations
from bench.studies.layer_responses import ARCHS, published_id
from bench.studies.variant import PAPER, Variant, ordered
from bench.verdicts import claims, published
from bench.verdicts.claims import Setting
from bench.verdicts.numbers import MISSING, READING_ERROR, RESPONSE_RESOLUTION, Verdict, judge_responses
from models.arch import Arch

TABLE = "layer_responses"


@dataclass(frozen=True)
class Row:
    """A net with its runs, seeds in order, and what was measured of those of which something was."""

    arch: Arch
    runs: tuple[FinishedRun, ...]
    folders: tuple[RunFolder, ...]
    """Of the measurements."""
    diverged: int

    @cached_property
    def measured(self) -> list[Magnitudes]:
        """What was measured of each run."""
        return [
            responses_record.read(study.responses(run.spec), folder)
            for run, folder in zip(self.runs, self.folders, strict=True)
        ]

    def means(self, choice: str = OURS) -> list[float]:
        """The mean over layers, of each run."""
        return [found.mean(choice) for found in self.measured]

    def curve(self, choice: str = OURS) -> list[float]:
        """The mean over runs, of each layer."""
        return [fmean(values) for values in zip(*(found.std[choice] for found in self.measured), strict=True)]

    def of_layer(self, layer: int) -> list[float]:
        """The response of a layer, counted from 1, of each run."""
        return [float(found.std[OURS][layer - 1]) for found in self.measured]

    def papers(self) -> dict[int, float]:
        """The paper's own value of each layer, counted from 1, as far as it could be read off its figure."""
        return {round(x): y for x, y in published.curves().get(("fig7_orig", self.arch.label), [])}


def rows(found: Found, variant: Variant) -> list[Row]:
    """A row for each net of the figure, and for each other CIFAR net of which some run of this variant was measured."""
    others = {run.spec.arch for run in found.runs.values() if run.spec.arch.family == "cifar"} - {*ARCHS}
    order = sorted((*ARCHS, *others), key=lambda arch: (arch.residual, arch.depth, arch.shortcut or ""))
    all_rows = [_row(found, variant, arch) for arch in order]
    return [row for row in all_rows if row.arch in ARCHS or row.runs]


def _row(found: Found, variant: Variant, arch: Arch) -> Row:
    runs = found.of(variant.spec(arch, 0))
    there = [(run, folder) for run in runs if (folder := found.find(study.responses(run.spec)))]
    diverged = sum(run.result.status == "diverged" for run in runs)
    return Row(arch, tuple(run for run, _ in there), tuple(folder for _, folder in there), diverged)


def _in_one_precision(found: Found, variant: Variant) -> Variant:
    return found.in_one_precision(variant, study.ARCHS, lambda spec: found.find(study.responses(spec)))


def variants(found: Found) -> list[Variant]:
    """The pages for which something is measured."""
    cifar = [run.spec for run in found.runs.values() if run.spec.arch.family == "cifar"]
    return ordered({PAPER, *(Variant.of(spec) for spec in cifar if found.find(study.responses(spec)))})


def judge(row: Row, variant: Variant) -> Verdict:
    """Hold the mean response of our seeds against the one that was read off the figure."""
    ours = row.means()
    if not ours:
        return MISSING
    if not variant.comparable or row.arch not in ARCHS:
        return Verdict("not comparable")
    return judge_responses(published.load()[published_id(row.arch)], ours)


HEADERS = [
    "net", "layers", "paper: mean", "ours: mean", "seeds", "difference [95 %]", "verdict", "paper: first, median, last",
    "ours: first, median, last",
]  # fmt: skip
NUMERIC = (1, 2, 3, 4, 5, 7, 8)
NARROW = [HEADERS.index(name) for name in ("net", "paper: mean", "ours: mean", "seeds", "verdict")]
FIRST = [HEADERS.index(name) for name in ("net", "paper: mean", "ours: mean", "difference [95 %]", "verdict", "seeds")]


def _cells(row: Row, variant: Variant) -> tuple[Cell, ...]:
    ours, papers, verdict = row.means(), row.papers(), judge(row, variant)
    number = published.load()[published_id(row.arch)] if row.arch in ARCHS else None
    found = cells(
        row.arch.title,
        str(row.arch.depth - 1),
        Cell(f"{number.number:.2f}", manifest=manifest.of_paper(number, None)) if number else "not in the paper",
        mean_and_spread(ours) or ("diverged" if row.diverged else "missing"),
        str(len(ours)) if ours else "",
        difference(verdict),
        verdict_cell(verdict),
        _three([papers[layer] for layer in sorted(papers)]),
        _three(row.curve()) if ours else "",
    )
    return behind(found, _manifest(row, variant), (3, 4, 5, 6, 8))


def _three(values: Sequence[float]) -> str:
    return f"{values[0]:.2f}, {median(values):.2f}, {values[-1]:.2f}" if values else ""


def _manifest(row: Row, variant: Variant) -> Manifest:
    """What stands behind the row: the trained nets, and where they were measured."""
    title, again = f"Responses of {row.arch.title}, schedule {variant.schedule}", variant.command(TABLE)
    if not row.runs:
        return manifest.of_nothing(title, f"{again} --only {row.arch.name}", None)
    means = {run.spec.run_id: mean for run, mean in zip(row.runs, row.means(), strict=True)}
    quantities = (("mean response", lambda run: means[run.spec.run_id]),)
    again += f" --only {row.arch.name} --seeds {1 + max(run.spec.seed for run in row.runs)} --force"
    return manifest.of_runs(title, row.runs, quantities, deviations, choices, again)


def table(all_rows: Sequence[Row], variant: Variant) -> Table:
    command = "" if all(row.runs or row.diverged for row in all_rows) else variant.command(TABLE)
    return Table(HEADERS, [_cells(row, variant) for row in all_rows], NUMERIC, NARROW, FIRST, command=command)


def render_terminal(found: Found, variant: Variant) -> str:
    """The columns that fit a terminal."""
    variant = _in_one_precision(found, variant)
    return terminal.render(table(rows(found, variant), variant))


def page(found: Found, variant: Variant) -> Page:
    variant = _in_one_precision(found, variant)
    all_rows = rows(found, variant)
    runs = [run for row in all_rows for run in row.runs]
    return Page(
        variant.page(TABLE),
        titled("CIFAR-10: layer responses", variant),
        [
            "Fig. 7 of the paper: the standard deviation of every 3x3 convolution's output, after batch norm and before the "
            "nonlinearity or the addition, over the test set, in a trained net. " + _how_to_read(variant),
            table(all_rows, variant),
            *([_figure(variant, all_rows)] if runs else []),
            *asked.section(claims.of_setting(claimed(found, variant), TABLE), variant == PAPER),
            *_choices(all_rows, variant),
            _definitions(all_rows),
            *sentences(runs, deviations, choices),
            *provenance(runs),
            *_measurements(all_rows),
        ],
        [value for row in all_rows for value in _values(row, variant)],
    )


def _values(row: Row, variant: Variant) -> list[Value]:
    """The mean response of a net under each choice, and the response of each of its layers."""
    base = Value(row.arch.title, "mean response", "std", **values.setting(variant))
    number = published.load()[published_id(row.arch)] if row.arch in ARCHS else None
    found = [values.judged(values.of_seeds(base, row.means()), number, judge(row, variant))]
    if not row.runs:
        return found
    others = [choice for choice in CHOICES if choice != OURS]
    found += [
        values.of_seeds(replace(base, condition=choice.replace(" ", ", ")), row.means(choice)) for choice in others
    ]
    papers = row.papers()
    for layer in range(1, row.arch.depth):
        value = values.of_seeds(replace(base, quantity=f"response of layer {layer}"), row.of_layer(layer))
        if (theirs := papers.get(layer)) is not None:
            value = replace(value, published=f"{theirs:.12g}", statistic="reading off a figure", source="Fig. 7")
        found.append(value)
    return found


def claimed(found: Found, variant: Variant) -> Setting:
    """What the claims of this table are judged under."""
    return asked.of_cifar(variant, found.runs, found.folders)


def _how_to_read(variant: Variant) -> str:
    if variant.comparable:
        return (
            f"The paper's values were read off its figure, ± {READING_ERROR}. `match` means that the 95 % interval of the "
            f"difference holds 0, and reaches at most {RESPONSE_RESOLUTION:.0%} of the paper's mean either way; `differs` that "
            "it does not hold 0."
        )
    return (
        "**These are not the paper's nets**: schedule or data differ, and every verdict on a value is `not comparable`. What "
        "the paper claims of the values, below, can be asked of these nets all the same."
    )


def _figure(variant: Variant, all_rows: Sequence[Row]) -> Figure:
    paper = variant.dataset == "cifar10"
    caption = "Fig. 7. Layers in their order, and sorted by magnitude. Plain nets dashed, darker is deeper."
    if any(len(row.runs) > 1 for row in all_rows):
        caption += " Where a net has several seeds: their mean, and a band from the lowest to the highest."
    if paper:
        caption += " Faint: the paper's own values, read off its figure."
        caption += "" if variant.comparable else " These are not the paper's nets: the two need not agree."
    shown = [row for row in all_rows if row.runs]
    name = variant.page(TABLE)
    return Figure(
        name, "Standard deviations of layer responses", caption, lambda: figure_7(shown, paper, variant.heading)
    )


def _choices(all_rows: Sequence[Row], variant: Variant) -> list[Part]:
    """The mean response under each choice that the paper leaves open, and how far each is from the paper's curve."""
    shown = [row for row in all_rows if row.runs]
    if not shown:
        return []
    names = [choice.replace(" ", ", ") for choice in CHOICES]
    means = []
    for row in shown:
        found, ours = [fmean(row.means(choice)) for choice in CHOICES], fmean(row.means())
        most = max((mean / ours - 1 for mean in found), key=abs)
        means.append([row.arch.title, *(f"{mean:.2f}" for mean in found), f"{100 * most:+.1f} %"])
    said = "\n".join(
        f"- *{what}*: " + "; ".join(f"`{name}`: {words}" for name, words in named.items()) + "."
        for what, named in study.CHOICES.items()
    )
    parts: list[Part] = [
        "The mean response under each choice. The first column is ours; the last says how far the one that differs most is "
        "from it.",
        grid(means, ["net", *names, "largest change"], range(1, 10)),
        said,
        "With a batch's own statistics and channel by channel, the response's deviation is the gain of batch norm, |γ|, "
        "whatever the images.",
    ]
    compared = [row for row in shown if row.papers()] if variant.dataset == "cifar10" else []
    if compared:
        far = []
        for row in compared:
            distances = [distance(row, choice) for choice in CHOICES]
            near = min(distances)
            far.append([row.arch.title, *(f"**{d:.2f}**" if d == near else f"{d:.2f}" for d in distances)])
        caution = "" if variant.comparable else (
            " These are not the paper's nets, so that it cannot tell which choice the paper took."
        )  # fmt: skip
        parts += [
            "Root-mean-square distance of our curve from the paper's, over layers; the nearest choice of each net is bold."
            + caution,
            grid(far, ["net", *names], range(1, 9)),
        ]
    return [Section("What the paper leaves open, and how much it matters", parts)]


def distance(row: Row, choice: str) -> float:
    """Root mean square over the layers that could be read off the paper's figure."""
    curve = row.curve(choice)
    return math.sqrt(fmean((curve[layer - 1] - value) ** 2 for layer, value in row.papers().items()))


def _definitions(all_rows: Sequence[Row]) -> Section:
    measured = next((found for row in all_rows for found in row.measured), None)
    images = f", {measured.images['test']:,} images" if measured else ""
    return section_of(
        "*Response*: the output of a 3x3 convolution after batch norm (with its gain and offset), before the ReLU or, in a "
        f"block's second convolution, before the addition; on the test set{images}, by the weights of the last iteration, "
        "batch norm with its moving averages.",
        "*Layers*: all 6n+1 convolutions of 3x3, the first one included.",
        f"*Mean*: over layers, of the standard deviation over all values of a layer's response; {SEEDS}. *First, median, "
        "last*: of the layers in their order, in the mean over seeds.",
    )


def _measurements(all_rows: Sequence[Row]) -> list[Section]:
    """By which code the trained nets were looked at, which may be later than their training."""
    lines = []
    for row in all_rows:
        for folder in row.folders:
            facts, result = read_json(folder.provenance), folder.read_measured()
            commit = (facts["code"]["commit"] or "unknown")[:10] + (" + patch" if facts["code"]["patch"] else "")
            lines.append(
                [f"`{folder.run_id}`", result.weights, facts["device"]["name"], f"{result.wall_seconds:.0f}", commit]
            )
    headers = ["measured", "weights", "device", "seconds", "commit"]
    return [Section("Measurements", [grid(lines, headers, (3,))])] if lines else []

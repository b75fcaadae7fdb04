"""The page of `--table constructed_solution`: the deeper net that is a shallower one and identities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from bench.report.figures.chart import GREY, TEST, Axis, Chart, Panel, Series, Style, colour
from bench.report.figures.curves import BOTH, SEEDS_DRAWN, of_seeds, unit_of
from bench.report.page import Cell, Figure, Page, Section, Table, Value, behind, cells
from bench.report.render import terminal
from bench.report.render.markdown import thousands
from bench.report.sections import claims as asked
from bench.report.sections import manifest, values
from bench.report.sections.runs import Found, mean_and_spread, provenance, sentences, verdict_cell
from bench.report.sections.titles import SEEDS, measured, not_theirs, titled
from bench.report.tables.cifar_depth import QUANTITIES, judge, paper_cells
from bench.runs import construction
from bench.runs.derived import Extension
from bench.runs.finished import Finished
from bench.studies import constructed_solution as study
from bench.studies.cifar_depth import PUBLISHED, choices, deviations
from bench.studies.variant import PAPER, Variant, ordered
from bench.verdicts import claims, published
from models.arch import Arch

TABLE = "constructed_solution"


@dataclass(frozen=True)
class Built:
    """A constructed net that was trained on."""

    extension: Finished[Extension]
    facts: dict[str, Any]
    """What it did before it was trained on."""


@dataclass(frozen=True)
class Row:
    """One way to come by a net: its errors, one of each seed, in percent."""

    arch: Arch
    how: str
    name: str
    """What `--only` calls it."""
    runs: tuple[Finished[Any], ...]
    train_errors: tuple[float, ...]
    """Over the whole training set, not augmented."""
    test_errors: tuple[float, ...]
    iterations: tuple[str, ...] = ()
    trained: bool = True
    """By the paper's schedule, so that its test error answers a number of the paper's."""


def built(found: Found, variant: Variant) -> list[Built]:
    """The constructed nets of this variant that are finished, seeds in order."""
    seeds = [run.spec.seed for run in found.of(variant.spec(study.SHALLOW, 0))]
    specs = [extension(variant, seed) for seed in seeds]
    folders = [(spec, folder) for spec in specs if (folder := found.find(spec))]
    return [
        Built(Finished(spec, folder.read_result(), folder), construction.read(folder.construction))
        for spec, folder in folders
    ]


def extension(variant: Variant, seed: int) -> Extension:
    return study.extension(variant.spec(study.SHALLOW, seed), variant.spec(study.DEEP, seed))


def variants(found: Found) -> list[Variant]:
    """The pages for which there is a constructed net, or a shallow and a deep one to compare."""
    shallow, *deep = (
        {Variant.of(run.spec) for run in found.runs.values() if run.spec.arch == arch}
        for arch in (study.SHALLOW, study.DEEP, study.RESIDUAL)
    )
    compared = shallow.intersection(set().union(*deep))
    return ordered({PAPER, *compared, *(variant for variant in shallow if built(found, variant))})


def rows(found: Found, variant: Variant) -> list[Row]:
    """Shallow, constructed, constructed and trained on, found by training, and residual."""
    nets = built(found, variant)
    added = f"{study.SHALLOW.label} and {study.DEEP.depth - study.SHALLOW.depth} layers of identity"
    runs = tuple(one.extension for one in nets)
    lengths = sorted({(run.spec.run.recipe.iterations, run.result.iterations) for run in runs})
    return [
        _trained(study.SHALLOW, found, variant),
        Row(
            study.DEEP,
            f"constructed: {added}",
            extension(variant, 0).name,
            runs,
            tuple(one.facts["train_error"] for one in nets),
            tuple(one.facts["test_error"] for one in nets),
            tuple(dict.fromkeys(thousands(first) for first, _ in lengths)),
            trained=False,
        ),
        Row(
            study.DEEP,
            "constructed, then trained on",
            extension(variant, 0).name,
            runs,
            *_errors(runs),
            tuple(f"{first:,} + {more:,}" for first, more in lengths),
            trained=False,
        ),
        _trained(study.DEEP, found, variant),
        _trained(study.RESIDUAL, found, variant),
    ]


def _trained(arch: Arch, found: Found, variant: Variant) -> Row:
    runs = tuple(found.of(variant.spec(arch, 0)))
    lengths = sorted({run.result.iterations for run in runs})
    return Row(arch, "trained from scratch", arch.name, runs, *_errors(runs), tuple(map(thousands, lengths)))


def _errors(runs: Iterable[Finished[Any]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Training and test errors of those that did not diverge."""
    results = [run.result for run in runs if run.result.status == "done"]
    return (
        tuple(result.train_error_full for result in results if result.train_error_full is not None),
        tuple(result.test_error for result in results if result.test_error is not None),
    )


HEADERS = [
    "net", "how it came about", "training error, %", "test error, %", "paper: test error, %", "verdict", "seeds",
    "iterations",
]  # fmt: skip
NUMERIC = (2, 3, 4, 6, 7)


def _cells(row: Row, variant: Variant) -> tuple[Cell, ...]:
    word = "" if row.test_errors else "diverged" if row.runs else "missing"
    verdict = verdict_cell(judge(row.arch, row.test_errors, variant)) if row.trained else Cell("")
    found = cells(
        row.arch.title,
        row.how,
        Cell(mean_and_spread(row.train_errors) or word, word),
        Cell(mean_and_spread(row.test_errors) or word, word),
        paper_cells(row.arch)[0] if row.trained else "",
        verdict,
        str(len(row.test_errors)) if row.test_errors else "",
        "; ".join(row.iterations),
    )
    title, again = f"{row.arch.title}, {row.how}", f"{variant.command(TABLE)} --only {row.name}"
    if not row.runs:
        return behind(found, manifest.of_nothing(title, again, None), (2, 3, 5))
    again += f" --seeds {1 + max(run.spec.seed for run in row.runs)} --force"
    say = (deviations, choices) if row.trained else (_nothing, _nothing)
    return behind(found, manifest.of_runs(title, row.runs, QUANTITIES, *say, again), (2, 3, *range(5, len(HEADERS))))


def _nothing(spec: object) -> list[str]:
    return []


def table(all_rows: Sequence[Row], variant: Variant) -> Table:
    command = "" if all(row.runs for row in all_rows) else variant.command(TABLE)
    lines = [_cells(row, variant) for row in all_rows]
    return Table(HEADERS, lines, NUMERIC, range(4), range(len(HEADERS)), (0, 1), command)


def render_terminal(found: Found, variant: Variant) -> str:
    """The columns that fit a terminal."""
    variant = found.in_one_precision(variant, (study.DEEP, study.RESIDUAL))
    return terminal.render(table(rows(found, variant), variant))


def page(found: Found, variant: Variant) -> Page:
    """The page of these runs, and of what was constructed from them."""
    variant = found.in_one_precision(variant, (study.DEEP, study.RESIDUAL))
    all_rows, nets = rows(found, variant), built(found, variant)
    trained = [run for row in all_rows if row.trained for run in row.runs]
    return Page(
        variant.page(TABLE),
        titled("The constructed solution", variant),
        [
            'Section 1 of the paper: "There exists a solution by construction to the deeper model: the added layers are '
            'identity mapping, and the other layers are copied from the learned shallower model", so that "a deeper model '
            'should produce no higher training error than its shallower counterpart". Here that net is built and held against '
            "the one that training finds. " + not_theirs(variant),
            table(all_rows, variant),
            *([_figure(variant, all_rows, nets)] if trained else []),
            _exactness(nets),
            _seen(all_rows),
            *asked.section(claims.of_setting(asked.of_cifar(variant, found.runs), TABLE), variant == PAPER),
            _definitions(variant),
            *sentences(trained, deviations, choices),
            *provenance([*trained, *(one.extension for one in nets)]),
        ],
        [value for row in all_rows for value in _values(row, variant)],
    )


def _values(row: Row, variant: Variant) -> list[Value]:
    """The errors of a net that came about in one of these ways."""
    base = Value(row.arch.title, "test error", "%", row.how, **values.setting(variant))
    tested = values.of_seeds(base, row.test_errors)
    if row.trained and (ids := PUBLISHED.get(row.arch.name)):
        tested = values.judged(tested, published.load()[ids.error], judge(row.arch, row.test_errors, variant))
    trained = replace(base, quantity=values.RESULTS["train_error_full"][0])
    return [tested, values.of_seeds(trained, row.train_errors)]


def _figure(variant: Variant, all_rows: Sequence[Row], nets: Sequence[Built]) -> Figure:
    return Figure(
        variant.page(TABLE),
        "Error against iterations, with the constructed net",
        "Training error dashed, test error bold; of more than three seeds the mean and a band. The constructed net (grey) goes "
        f"on where {study.SHALLOW.label} ended, at the thin line; the circle is its test error as constructed.",
        lambda: replace(curves(all_rows, nets), heading=variant.heading),
    )


def curves(all_rows: Sequence[Row], nets: Sequence[Built]) -> Chart:
    """Error against iterations: plain nets left, with the constructed one where the shallow one ended; residual right."""
    trained = [row for row in all_rows if row.trained and row.runs]
    length = max(run.spec.recipe.iterations for row in trained for run in row.runs)
    total = length + max((one.extension.result.iterations for one in nets), default=0)
    unit, name = unit_of(total)
    panels = []
    for residual in (False, True):
        series = []
        for row in (row for row in trained if row.arch.residual == residual):
            goes_on = row.arch == study.SHALLOW and nets
            for field, kind, style in BOTH:
                end = "" if goes_on else row.arch.label
                named = Series(row.arch.label, kind, (), (), colour(row.arch.depth), style, end=end)
                series += of_seeds(row.runs, field, unit, named)
        for number, one in enumerate(nets[:SEEDS_DRAWN] if not residual else ()):
            start, facts = one.extension.spec.run.recipe.iterations, one.facts
            first = {"iteration": 0, "train_error": facts["train_error"], "test_error": facts["test_error"]}
            end, points = "" if number else "trained on", [first, *one.extension.metrics]
            series += _both("constructed", points, start, unit, GREY, end)
            circle = Style(0, marker="circle", order=4)
            series.append(Series("constructed", "as constructed", [start / unit], [facts["test_error"]], GREY, circle))
        title = "residual" if residual else "plain"
        x, y = Axis(f"iterations{name}", 0, total / unit), Axis("error (%)", 0, 100, ticks=range(0, 101, 20))
        panels.append(Panel(title, x, y, series, [length / unit]))
    return Chart(panels)


def _both(label: str, points: Sequence[dict[str, Any]], start: int, unit: float, shade: str, end: str) -> list[Series]:
    """Training and test error, from iteration `start` on."""
    x = [(start + point["iteration"]) / unit for point in points]
    return [
        Series(label, kind, x, [point[field] for point in points], shade, style, end=end if style is TEST else "")
        for field, kind, style in BOTH
    ]


def _exactness(nets: Sequence[Built]) -> str:
    """How exactly the constructed nets are the shallow ones."""
    if not nets:
        return ""
    largest = max(nets, key=lambda one: float(one.facts["logit_difference"])).facts
    images = nets[0].facts["train_images"] + nets[0].facts["test_images"]
    changed = sum(one.facts["predictions_changed"] for one in nets)
    return (
        f"The construction is exact to rounding: over the {images:,} training and test images no logit of a constructed "
        f"net is more than {largest['logit_difference']:.1e} from the shallow net's (the largest is "
        f"{largest['logit_size']:.0f}), and {changed:,} predictions differ."
    )


def _seen(all_rows: Sequence[Row]) -> str:
    """How far training is from the solution that exists."""
    _, constructed, trained_on, scratch, residual = [fmean(e) if (e := row.train_errors) else None for row in all_rows]
    if constructed is None:
        return ""
    pairs = (
        (f"{study.DEEP.label} found by training", scratch),
        ("the constructed net trained on", trained_on),
        (study.RESIDUAL.label, residual),
    )
    said = [f"{name} {error - constructed:+.2f}" for name, error in pairs if error is not None]
    return (
        "In points of training error from the constructed solution, in the mean over the seeds shown: "
        + ", ".join(said)
        + "."
    )


def _definitions(variant: Variant) -> Section:
    more = extension(variant, 0).recipe
    return measured(
        "*Training error*: top-1 error over the whole training set, not augmented, in evaluation mode, by the last weights: a "
        "property of the net, whichever way it came about. The curves are of the images of an epoch, augmented, as the net saw "
        "them while it learnt.",
        "*Test error*: top-1 error on the test images, single view, by the last weights.",
        "*Identity*: the added blocks stand at the end of each stage. Their convolutions pass each channel on; their batch "
        "norm subtracts the mean of its input over the training set and divides by the deviation, and its parameters put both "
        "back, so that it is an identity in training too, to the noise of a batch.",
        f"*Trained on*, by our choice, as if the schedule's last part went on: {more.iterations:,} more iterations at learning "
        f"rate {more.lr:g}, all layers, with fresh momentum.",
        f"{SEEDS}.",
    )

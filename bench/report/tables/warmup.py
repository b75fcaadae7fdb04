"""The page of `--table warmup`: ResNet-110 with and without a low learning rate at the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bench.measure.probes.first_learning import first_below
from bench.report.figures.chart import Axis, Chart, Panel, Series, Style
from bench.report.figures.curves import BOTH, SEEDS_DRAWN, of_seeds, unit_of
from bench.report.page import Cell, Figure, Page, Table, Value, behind, cells
from bench.report.render import terminal
from bench.report.render.markdown import thousands
from bench.report.sections import claims as asked
from bench.report.sections import manifest, values
from bench.report.sections.runs import Found, mean_and_spread, provenance, sentences, verdict_cell
from bench.report.sections.titles import SEEDS, measured, not_theirs, titled
from bench.report.tables.cifar_depth import QUANTITIES, judge, paper_cells
from bench.runs.finished import FinishedRun
from bench.studies import warmup as study
from bench.studies.cifar_depth import PUBLISHED, choices, deviations
from bench.studies.variant import PAPER, Variant, ordered
from bench.verdicts import claims, published
from models.arch import Arch

TABLE = "warmup"
LEVELS = (90.0, 80.0)
"""Percent of training error: guessing ten classes, and where the paper's warm-up ends."""
CLAIMS = ("110-starts-late", "110-ends-alike")
"""Those of cifar_depth that this page is about."""
WARM, COLD = "#1b3a6b", "#e69f00"
"""Dark and light, to be told apart in grey."""


@dataclass(frozen=True)
class Row:
    """A net, started low or not, with its finished runs, seeds in order."""

    arch: Arch
    warm: bool
    runs: tuple[FinishedRun, ...]

    def below(self, level: float) -> list[tuple[int, int] | None]:
        """Of each run, the iterations between which its training error falls below a level; None where it never does."""
        return [first_below(run.metrics, run.spec.recipe.batch, level) for run in self.runs]

    def values(self, name: str) -> list[float]:
        """That field of the result of each run that did not diverge, where it has one."""
        done = (run.result for run in self.runs if run.result.status == "done")
        return [value for result in done if (value := getattr(result, name)) is not None]


def rows(found: Found, variant: Variant) -> list[Row]:
    """Two rows for ResNet-110, and for each other net of which both have been run."""
    others = {run.spec.arch for run in found.runs.values() if run.spec.arch.family == "cifar"} - {*study.ARCHS}
    pairs = [_pair(found, variant, arch) for arch in (*study.ARCHS, *sorted(others, key=lambda arch: arch.name))]
    return [row for pair in pairs if pair[0].arch in study.ARCHS or all(row.runs for row in pair) for row in pair]


def _pair(found: Found, variant: Variant, arch: Arch) -> list[Row]:
    def runs(warm: bool) -> tuple[FinishedRun, ...]:
        return tuple(found.of(study.pair(variant, arch, 0)[warm]))

    return [Row(arch, warm, runs(warm)) for warm in (True, False)]


def variants(found: Found) -> list[Variant]:
    """The pages for which something is finished."""
    return ordered({PAPER, *(page for run in found.runs.values() if (page := study.variant_of(run.spec)))})


HEADERS = [
    "net", "learning rate at the start", "training error leaves 90 %, iterations", "falls below 80 %, iterations",
    "warm-up ended at", "paper: test error, %", "ours: test error, last", "verdict", "training error", "seeds", "iterations",
]  # fmt: skip
NUMERIC = (2, 3, 4, 5, 6, 8, 9, 10)
NARROW = (0, 1, 2, 3, 6, 9)
FIRST, KEYS = (0, 1, 5, 6, 7, 9, 2, 3), (0, 1)


def _cells(row: Row, variant: Variant) -> tuple[Cell, ...]:
    run = study.pair(variant, row.arch, 0)[row.warm]
    recipe, errors = run.recipe, row.values("test_error")
    as_printed = run == variant.spec(row.arch, 0)  # the paper prints the error of one of the two
    rate = f"{recipe.warmup_lr:g}, then {recipe.lr:g}" if recipe.warmup_lr is not None else f"{recipe.lr:g}"
    ended = [thousands(run.result.warmup_ended) for run in row.runs if run.result.warmup_ended is not None]
    word = "" if errors else "diverged" if row.runs else "missing"
    found = cells(
        row.arch.title,
        rate,
        *(_between(row.below(level)) for level in LEVELS),
        ", ".join(ended),
        paper_cells(row.arch)[0] if as_printed else "similar",
        Cell(mean_and_spread(errors) or word, word),
        verdict_cell(judge(row.arch, errors, variant)) if as_printed else "",
        mean_and_spread(row.values("train_error")),
        str(len(errors)) if errors else "",
        " + ".join(thousands(count) for count in sorted({run.result.iterations for run in row.runs})),
    )
    title = f"{row.arch.title} {'with' if row.warm else 'without'} warm-up, schedule {variant.schedule}"
    again = f"{variant.command(TABLE)} --only {row.arch.name}"
    if not row.runs:
        return behind(found, manifest.of_nothing(title, again, None), (6, 7))
    again += f" --seeds {1 + max(run.spec.seed for run in row.runs)} --force"
    shown = manifest.of_runs(title, row.runs, QUANTITIES, deviations, choices, again)
    return behind(found, shown, (2, 3, 4, *range(6, len(HEADERS))))


def _between(found: Sequence[tuple[int, int] | None]) -> str:
    """`391 to 782`; of several seeds that differ, one after the other."""
    said = ["never" if ends is None else f"{ends[0]:,} to {ends[1]:,}" for ends in found]
    return "; ".join(said if len(set(said)) > 1 else said[:1])


def table(all_rows: Sequence[Row], variant: Variant) -> Table:
    command = "" if all(row.runs for row in all_rows) else variant.command(TABLE)
    return Table(HEADERS, [_cells(row, variant) for row in all_rows], NUMERIC, NARROW, FIRST, KEYS, command)


def render_terminal(found: Found, variant: Variant) -> str:
    """The columns that fit a terminal."""
    variant = found.in_one_precision(variant, study.ARCHS)
    return terminal.render(table(rows(found, variant), variant))


def page(found: Found, variant: Variant) -> Page:
    """The page of these runs."""
    variant = found.in_one_precision(variant, study.ARCHS)
    all_rows = rows(found, variant)
    members = [run for row in all_rows for run in row.runs]
    judged = claims.of_setting(asked.of_cifar(variant, found.runs))
    return Page(
        variant.page(TABLE),
        titled("Warm-up: a low learning rate at the start", variant),
        [
            'Section 4.2: for ResNet-110 "the initial learning rate of 0.1 is slightly too large to start converging. So we '
            'use 0.01 to warm up the training until the training error is below 80% (about 400 iterations)". Footnote 5: with '
            "0.1 it starts to converge, below 90 % error, only after several epochs, and ends at a similar accuracy. "
            + not_theirs(variant),
            table(all_rows, variant),
            *([_figure(variant, all_rows)] if members else []),
            _seen(all_rows),
            *asked.section([one for one in judged if one.claim.id in CLAIMS], variant == PAPER),
            measured(
                "*Training error*: over the images between two evaluation points, augmented, as the net saw them while it "
                "learnt.",
                "*Leaves 90 %*, *falls below 80 %*: the evaluation points between which the training error is below that level "
                "for the first time, by more than chance explains: three standard errors of as many guesses. "
                "`--set evaluate_every=50` places the points more closely, on a page of its own.",
                "*Warm-up ended at*: the iteration at which the training error of the last 100 iterations (of `short` and "
                "`smoke`: 6) fell below 80 %.",
                f"*Test error, last*: by the weights of the last iteration. {SEEDS}.",
            ),
            *sentences(members, deviations, choices),
            *provenance(members),
        ],
        [value for row in all_rows for value in _values(row, variant)],
    )


def _values(row: Row, variant: Variant) -> list[Value]:
    """What the page shows of a net that was started low, or not."""
    how = "with warm-up" if row.warm else "at the full rate"
    run, errors = study.pair(variant, row.arch, 0)[row.warm], row.values("test_error")
    base = Value(row.arch.title, "test error", "%", how, **values.setting(variant))
    value = values.of_seeds(base, errors)
    if run == variant.spec(row.arch, 0) and (ids := PUBLISHED.get(row.arch.name)):
        value = values.judged(value, published.load()[ids.error], judge(row.arch, errors, variant))
    found = [value, *values.of_results(base, row.runs)]
    for level in LEVELS:
        ends = [float(last) for between in row.below(level) if between for last in between[1:]]
        of_level = replace(base, quantity=f"training error falls below {level:g} % by", unit="iteration")
        found.append(values.of_seeds(of_level, ends))
    ended = [float(run.result.warmup_ended) for run in row.runs if run.result.warmup_ended is not None]
    return [
        *found,
        *([values.of_seeds(replace(base, quantity="warm-up ended", unit="iteration"), ended)] if ended else []),
    ]


def _figure(variant: Variant, all_rows: Sequence[Row]) -> Figure:
    return Figure(
        variant.page(TABLE),
        "Error against iterations, the beginning enlarged",
        "Training error dashed, test error bold; of more than three seeds the mean, and a band from the lowest to the highest. "
        "Left the beginning of what is on the right. Dotted: 90 % and 80 % error. The thin upright line: where the warm-up "
        "ended.",
        lambda: replace(curves([row for row in all_rows if row.runs]), heading=variant.heading),
    )


def curves(all_rows: Sequence[Row]) -> Chart:
    """Error against iterations, with the warm-up and without: left the first ten points of evaluation, right the whole."""
    recipe = all_rows[0].runs[0].spec.recipe
    ends = {"the beginning": min(10 * recipe.evaluate_every, recipe.iterations // 4), "the whole": recipe.iterations}
    panels = []
    for title, last in ends.items():
        (unit, name), several = unit_of(last), len({row.arch for row in all_rows}) > 1
        series, marks = [], []
        for row in all_rows:
            label = f"{row.arch.label} {'with warm-up' if row.warm else 'at the full rate'}"
            end = ("with warm-up" if row.warm else "at the full rate") + (f", {row.arch.depth}" if several else "")
            shade = WARM if row.warm else COLD
            for field, kind, style in BOTH:
                series += of_seeds(row.runs, field, unit, Series(label, kind, (), (), shade, style, end=end), last)
            ended = (run.result.warmup_ended for run in row.runs[:SEEDS_DRAWN])
            marks += [iteration / unit for iteration in ended if iteration and iteration <= last]
        for level in LEVELS:
            thin = Style(0.8, "dotted", order=0)
            series.append(Series("90 % and 80 %", "90 % and 80 %", [0, last / unit], [level] * 2, "#808080", thin))
        x, y = Axis(f"iterations{name}", 0, last / unit), Axis("error (%)", 0, 100, ticks=range(0, 101, 20))
        panels.append(Panel(title, x, y, series, marks))
    return Chart(panels)


def _seen(all_rows: Sequence[Row]) -> str:
    """What the warm-up changes, in a sentence for each net."""
    said = []
    for warm, cold in zip(all_rows[::2], all_rows[1::2], strict=True):
        errors = [fmean(v) if (v := row.values("test_error")) else None for row in (warm, cold)]
        if errors[0] is not None and errors[1] is not None:
            said.append(
                f"Without the warm-up {warm.arch.title} ends {errors[1] - errors[0]:+.2f} points of test error from where it "
                "ends with it, in the mean over the seeds shown."
            )
    return " ".join(said)

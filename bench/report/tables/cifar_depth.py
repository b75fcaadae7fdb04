"""The page of `--table cifar_depth`: Table 6 with ours beside it, and Fig. 6 redrawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import get_args

from bench.report.figures import curves, points
from bench.report.figures.chart import Chart
from bench.report.page import Cell, Figure, Manifest, Page, Part, Section, Table, Value, behind, cells
from bench.report.render import terminal
from bench.report.render.markdown import thousands
from bench.report.sections import change, manifest, point_by_point, third_party, values
from bench.report.sections import claims as asked
from bench.report.sections.runs import (
    MATCH,
    NOT_THEIRS,
    SAMPLING,
    Found,
    difference,
    mean_and_spread,
    other_images,
    provenance,
    sentences,
    verdict_cell,
)
from bench.runs.datasets import CIFAR10
from bench.runs.finished import FinishedRun
from bench.runs.spec import Precision, Schedule
from bench.studies import cifar_depth as study
from bench.studies import warmup
from bench.studies.cifar_depth import ARCHS, CITED, PUBLISHED, choices, deviations
from bench.studies.variant import PAPER, Variant, ordered
from bench.verdicts import claims, published
from bench.verdicts.numbers import MISSING, Verdict, judge_bound, judge_errors
from bench.verdicts.spread import Spread, known
from models.arch import Arch


@dataclass(frozen=True)
class Row:
    """A net with its finished runs of one precision, seeds in order."""

    arch: Arch
    runs: tuple[FinishedRun, ...]
    diverged: tuple[FinishedRun, ...]
    verdict: Verdict
    best: Verdict | None = None
    """On the paper's best of five, where it prints one."""
    precision: Precision = "fp32"

    @property
    def title(self) -> str:
        """`ResNet-20`, or `ResNet-20, bf16`: for where there is no column for it."""
        return self.arch.title + ("" if self.precision == "fp32" else f", {self.precision}")

    def values(self, name: str) -> list[float]:
        """That field of each run's result, where it has one."""
        return [value for run in self.runs if (value := getattr(run.result, name)) is not None]


def rows(finished: Mapping[str, FinishedRun], variant: Variant) -> list[Row]:
    """A row for each net of the study, and for each other CIFAR net that has runs of this variant.

    A net that was run in several precisions has a row for each.
    """
    found: dict[tuple[Arch, Precision], list[FinishedRun]] = {}
    for run in finished.values():
        spec = run.spec
        if spec.arch.family == "cifar" and spec.same_but_seed(variant.spec(spec.arch, 0, spec.recipe.precision)):
            found.setdefault((spec.arch, spec.recipe.precision), []).append(run)
    for arch in {*ARCHS} - {arch for arch, _ in found}:
        found[arch, "fp32"] = []
    order = sorted(
        found, key=lambda key: (key[0].residual, key[0].depth, key[0].shortcut or "", PRECISIONS.index(key[1]))
    )
    ours = {key: _errors(found[key]) for key in order} if variant.comparable else {}
    return [
        _row(
            *key,
            sorted(found[key], key=lambda run: run.spec.seed),
            variant,
            known({str(other): errors for other, errors in ours.items() if other != key}),
        )
        for key in order
    ]


def _errors(runs: Sequence[FinishedRun]) -> list[float]:
    """Last test errors of the runs that are done."""
    errors = (run.result.test_error for run in runs if run.result.status == "done")
    return [error for error in errors if error is not None]


def one_each(all_rows: Sequence[Row]) -> list[Row]:
    """Of each net the row with most seeds; of rows that have as many, the first."""
    found: dict[Arch, Row] = {}
    for row in all_rows:
        if row.arch not in found or len(row.runs) > len(found[row.arch].runs):
            found[row.arch] = row
    return list(found.values())


def _row(arch: Arch, precision: Precision, runs: list[FinishedRun], variant: Variant, seeds: Spread) -> Row:
    """`seeds` is what fewer than three runs are taken to spread by: that of all other nets."""
    done = tuple(run for run in runs if run.result.status == "done")
    diverged = tuple(run for run in runs if run.result.status == "diverged")
    errors = _errors(done)
    best = (
        judge_best(arch, errors, variant, seeds) if arch.name in PUBLISHED and PUBLISHED[arch.name].best_of_5 else None
    )
    return Row(arch, done, diverged, judge(arch, errors, variant, seeds), best, precision)


def judge(arch: Arch, errors: Sequence[float], variant: Variant, seeds: Spread | None = None) -> Verdict:
    """Hold the last iterate's test errors of a net against the paper's number for it."""
    if not errors:
        return MISSING
    if not variant.comparable or arch.name not in PUBLISHED:
        return Verdict("not comparable")
    ids, numbers = PUBLISHED[arch.name], published.load()
    number = numbers[ids.error]
    if number.statistic == "bound":
        return judge_bound(number, errors)
    return judge_errors(number, errors, numbers[ids.spread].number if ids.spread else None, seeds)


def judge_best(arch: Arch, errors: Sequence[float], variant: Variant, seeds: Spread | None = None) -> Verdict:
    """Hold the same errors against the best of five that the paper prints for the net."""
    if not errors:
        return MISSING
    return judge_errors(_best(arch), errors, seeds=seeds) if variant.comparable else Verdict("not comparable")


def _best(arch: Arch) -> published.PublishedNumber:
    name = PUBLISHED[arch.name].best_of_5
    assert name
    return published.load()[name]


PRECISIONS: tuple[Precision, ...] = get_args(Precision)
HEADERS = [
    "net", "parameters", "paper: test error, %", "its statistic", "ours: test error, last", "precision", "seeds",
    "95 % of other images", "best on test", "training error", "difference [95 %]", "verdict", "iterations",
]  # fmt: skip
NUMERIC = (1, 2, 4, 6, 7, 8, 9, 10, 12)
NARROW = ("net", "paper: test error, %", "ours: test error, last", "training error", "precision", "seeds", "verdict")
FIRST = (
    "net", "paper: test error, %", "ours: test error, last", "difference [95 %]", "verdict", "seeds", "precision",
    "training error",
)  # fmt: skip
KEYS = ("net", "precision")


def _cells(row: Row, variant: Variant, logs: Mapping[str, str], note: str = "") -> tuple[Cell, ...]:
    """`note` is a footnote on the precision."""
    ours, verdict = Cell(mean_and_spread(row.values("test_error"))), verdict_cell(row.verdict)
    if not row.runs:
        word = "diverged" if row.diverged else "missing"
        log = _log(row.arch, variant, logs)
        ours = Cell(word, note=f"No result yet; the end of its log says why: `{log}`." if log else "")
        verdict = Cell(word, word, row.verdict.note)
    elif row.diverged:
        ours = replace(ours, note=f"{len(row.diverged)} more seeds diverged and are not in the mean.")
    found = cells(
        row.arch.title,
        Cell(thousands(_parameters(row.arch)), manifest=COUNTED),
        *paper_cells(row.arch),
        ours,
        Cell(row.precision if row.runs or row.diverged else "", note=note if row.runs else ""),
        str(len(row.runs)) if row.runs else "",
        other_images(row.values("test_error"), row.runs[0].result.test_images) if row.runs else "",
        mean_and_spread(row.values("test_error_best")),
        mean_and_spread(row.values("train_error")),
        difference(row.verdict),
        verdict,
        " + ".join(thousands(count) for count in sorted({run.result.iterations for run in row.runs})),
    )
    return behind(found, _manifest(row, variant, logs), range(4, len(HEADERS)))


COUNTED = Manifest(
    "Parameters",
    lambda: [
        "Counted in closed form from the architecture. [The table of counts](complexity.md) holds the same against fvcore.",
        manifest.anew("python bench/run.py --table complexity"),
    ],
)

QUANTITIES: manifest.Quantities = (
    ("test error, last", lambda run: run.result.test_error),
    ("best on test", lambda run: run.result.test_error_best),
    ("training error", lambda run: run.result.train_error),
    ("training error, whole set, not augmented", lambda run: run.result.train_error_full),
)


def _manifest(row: Row, variant: Variant, logs: Mapping[str, str]) -> Manifest:
    """What stands behind the row."""
    title, runs = f"{row.title}, schedule {variant.schedule}", (*row.runs, *row.diverged)
    command = _command(row, variant)
    if not runs:
        return manifest.of_nothing(title, f"{command} --only {row.arch.name}", _log(row.arch, variant, logs))
    again = f"{command} --only {row.arch.name} --seeds {1 + max(run.spec.seed for run in runs)} --force"
    return manifest.of_runs(title, runs, QUANTITIES, deviations, choices, again)


def _command(row: Row, variant: Variant) -> str:
    """The command that runs the nets of a row."""
    if row.precision == "fp32":
        return variant.command()
    return replace(variant, changes=tuple(sorted((*variant.changes, ("precision", row.precision))))).command()


def _log(arch: Arch, variant: Variant, logs: Mapping[str, str]) -> str | None:
    """Path of the log of a run of the net that was started and has no result."""
    for run_id, path in logs.items():
        seed = re.fullmatch(rf"{arch.name}-.*s(\d+)-[0-9a-f]+", run_id)
        if seed and run_id in {
            variant.spec(arch, int(seed[1]), each).run_id for each in PRECISIONS
        }:  # of this page, and not of another schedule
            return path
    return None


BEST_NOTE = (
    "The median that our runs predict for the best of five; the interval is that prediction's. The paper's two numbers are of "
    "the same five runs, so that the two verdicts go together."
)


def _best_cells(row: Row, variant: Variant, logs: Mapping[str, str]) -> tuple[Cell, ...]:
    """The second line of a net whose best of five the paper prints too."""
    number, verdict = _best(row.arch), row.best
    assert verdict
    ours = Cell("" if row.runs else "missing")
    if verdict.difference is not None:
        ours = Cell(f"{number.number + verdict.difference:.2f}", note=BEST_NOTE)
    shown: dict[str, str | Cell] = {
        "net": f"{row.arch.title}, best of 5",
        "precision": row.precision if row.runs else "",
        "paper: test error, %": Cell(number.printed, manifest=manifest.of_paper(number, third_party.beside(number.id))),
        "its statistic": number.statistic,
        "ours: test error, last": ours,
        "difference [95 %]": difference(verdict),
        "verdict": verdict_cell(verdict),
    }
    found = cells(*(shown.get(name, "") for name in HEADERS))
    return behind(found, _manifest(row, variant, logs), range(4, len(HEADERS)))


def _parameters(arch: Arch) -> int:
    from bench.measure.counts.closed_form import count

    return count(arch).parameters


def paper_cells(arch: Arch) -> list[Cell]:
    """What the paper prints of the net's test error, and which statistic that is."""
    if arch.name not in PUBLISHED:
        return [Cell(""), Cell("not in the paper")]
    ids, numbers = PUBLISHED[arch.name], published.load()
    number = numbers[ids.error]
    text = number.printed or (number.value if number.statistic == "bound" else f"{number.number:.2f}")
    statistic = f"read off {number.locator.split(',')[0]}" if not number.printed else number.statistic
    if ids.spread:
        text = f"{text} ± {numbers[ids.spread].printed}"
    return [Cell(text, manifest=manifest.of_paper(number, third_party.beside(ids.error))), Cell(statistic)]


def table(
    all_rows: Sequence[Row], variant: Variant, logs: Mapping[str, str], notes: Mapping[Precision, str] | None = None
) -> Table:
    """Table 6 with ours beside it.

    `logs`: run id -> log of a run that was started and has no result. `notes`: a footnote on a precision.
    """
    narrow, first, keys = ([HEADERS.index(name) for name in names] for names in (NARROW, FIRST, KEYS))
    lines = []
    for row in all_rows:  # one line a net, and one more for a best of five
        note = (notes or {}).get(row.precision, "")
        lines += [_cells(row, variant, logs, note), *([_best_cells(row, variant, logs)] if row.best else [])]
    command = "" if all(row.runs or row.diverged for row in all_rows) else variant.command()
    return Table(HEADERS, lines, NUMERIC, narrow, first, keys, command)


def variants(found: Found) -> list[Variant]:
    """The pages for which something is finished, without runs that the table warmup alone shows."""
    specs = [run.spec for run in found.runs.values() if run.spec.arch.family == "cifar"]
    return ordered({Variant.of(spec) for spec in specs if not warmup.variant_of(spec)})


def render_terminal(found: Found, variant: Variant) -> str:
    """The columns that fit a terminal."""
    return terminal.render(table(rows(found.runs, variant), variant, {}))


TITLES: dict[Schedule, str] = {
    "paper": "CIFAR-10: error against depth",
    "short": "CIFAR-10: error against depth, 1/16 of the schedule",
    "smoke": "Error against depth, the smoke schedule",
}


def page(found: Found, variant: Variant) -> Page:
    """The page."""
    finished, logs = found.runs, found.logs
    all_rows = rows(finished, variant)
    runs = [run for row in all_rows for run in (*row.runs, *row.diverged)]
    title = TITLES[variant.schedule]
    if variant.dataset != "cifar10":
        title += f" on {variant.dataset}"
    if variant.changes:
        title += ", " + ", ".join(f"`{name}={value}`" for name, value in variant.changes)
    return Page(
        variant.name,
        title,
        [
            "Table 6, Fig. 6 and Fig. 1 of the paper. " + _how_to_read(variant),
            table(all_rows, variant, logs, _on_precision(finished, variant, all_rows)),
            third_party.WHERE if variant.dataset == "cifar10" else "",
            *(_figures(variant, one_each(all_rows)) if any(row.runs for row in all_rows) else []),
            *(point_by_point.section(all_rows) if variant.comparable else []),
            *_change(finished, variant, all_rows),
            *asked.section(claims.of_setting(asked.of_cifar(variant, finished)), variant == PAPER),
            _definitions(variant),
            *sentences(runs, deviations, choices),
            *provenance(runs),
        ],
        list(dict.fromkeys(value for row in all_rows for value in _values(row, variant))),
    )


def _values(row: Row, variant: Variant) -> list[Value]:
    """What the page shows of a net."""
    numbers, ids = published.load(), PUBLISHED.get(row.arch.name)
    base = Value(row.arch.title, "test error", "%", **values.setting(variant, row.precision))
    errors = row.values("test_error")
    found = [values.judged(values.of_seeds(base, errors), numbers[ids.error] if ids else None, row.verdict)]
    if row.best and row.best.difference is not None:
        number = _best(row.arch)
        best = replace(base, quantity="test error, best of 5", seeds=len(errors))
        best = replace(best, measured=number.number + row.best.difference)
        found.append(values.judged(best, number, row.best))
    parameters = Value(row.arch.title, "parameters", "1", measured=_parameters(row.arch))
    return [*found, *values.of_results(base, row.runs), parameters]


def _change(finished: Mapping[str, FinishedRun], variant: Variant, all_rows: Sequence[Row]) -> list[Part]:
    """Its runs beside those of the same nets without the fields that `--set` changed, and in single precision."""
    parts = _precisions_compared(all_rows, variant)
    if not variant.changes:
        return parts
    usual = replace(variant, changes=())
    without = {(row.arch, row.precision): row for row in rows(finished, usual)}
    errors = {
        row.title: (row.values("test_error"), without[row.arch, row.precision].values("test_error"))
        for row in all_rows
        if (row.arch, row.precision) in without
    }
    return [*change.section("What the change does", errors, f"Without it: [{usual.name}]({usual.name}.md)."), *parts]


def _precisions_compared(all_rows: Sequence[Row], variant: Variant) -> list[Part]:
    """Runs of other precisions beside those in single precision, where a net has both."""
    single = {row.arch: row.values("test_error") for row in all_rows if row.precision == "fp32"}
    errors = {
        row.title: (row.values("test_error"), single[row.arch])
        for row in all_rows
        if row.precision != "fp32" and row.arch in single
    }
    return change.section("What precision changes", errors, "Without it: in fp32, on this page.")


def _on_precision(
    finished: Mapping[str, FinishedRun], variant: Variant, all_rows: Sequence[Row]
) -> dict[Precision, str]:
    """Of each precision beside fp32 that has runs here, the effect that was measured at `short`."""
    notes: dict[Precision, str] = {}
    if variant.schedule == "short" or not any(row.runs for row in all_rows if row.precision != "fp32"):
        return notes
    short = rows(finished, replace(variant, schedule="short"))
    single = {row.arch: row.values("test_error") for row in short if row.precision == "fp32"}
    for row in short:
        if row.precision != "fp32" and row.runs and single.get(row.arch):
            effect = change.effect(row.values("test_error"), single[row.arch])
            said = f"At 1/16 of the schedule {row.arch.title} in {row.precision} differs from fp32 by {effect}"
            notes.setdefault(row.precision, f"{said} points of test error (95 % interval).")
    return notes


def _how_to_read(variant: Variant) -> str:
    if variant.comparable:
        cited = [published.load()[f"T6/{net}/test_error{'_best' if net == 'Highway-19' else ''}"] for net in CITED]
        others = ", ".join(f"{number.net} {number.printed}" for number in cited)
        return f"{MATCH} The paper's table also cites {others}; they are not re-run here."
    return NOT_THEIRS


def _figures(variant: Variant, all_rows: Sequence[Row]) -> list[Figure | str]:
    """Error against depth, Fig. 6, Fig. 1 and ours against the paper's."""
    cifar10, name, said = variant.dataset == "cifar10", variant.name, variant.heading

    def figure(part: str, alt: str, caption: str, draw: Callable[[], Chart]) -> Figure:
        return Figure(f"{name}{part}", alt, caption, lambda: replace(draw(), heading=said))

    bars = _interval(all_rows)
    top = 20 if cifar10 and variant.schedule == "paper" else 100
    drawn: list[Figure | str] = [
        figure(
            ".depth",
            "Test error against depth",
            "Test error against depth, last iterate, mean over seeds. " + bars + _hollow(variant),
            lambda: points.against_depth(
                _points(all_rows, cifar10), third_party.others() if variant.comparable else ()
            ),
        ),
        _depth(all_rows),
        figure(
            "",
            "Error against iterations",
            "Fig. 6. " + _caption(variant, all_rows),
            lambda: curves.figure_6(all_rows, cifar10, top),
        ),
    ]
    if {20, 56} <= {row.arch.depth for row in all_rows if row.runs and not row.arch.residual}:
        drawn.append(
            figure(
                ".fig1",
                "Training and test error of plain-20 and plain-56",
                "Fig. 1: plain nets of 20 and 56 layers." + _of_paper(variant, "Fig. 1"),
                lambda: curves.figure_1(all_rows, cifar10, top),
            )
        )
    if cifar10 and points.several(_points(all_rows, True)):
        drawn.append(
            figure(
                ".against",
                "Published against ours",
                "Test error, the paper's against ours; on the line they are the same. " + bars + _not_theirs(variant),
                lambda: Chart([points.against_published("", "%", _points(all_rows, True))]),
            )
        )
    return drawn


def _interval(all_rows: Sequence[Row]) -> str:
    """What the bars are."""
    if max(len(row.runs) for row in all_rows) < 3:
        return "No bars, since no net has three seeds."
    return "Bars, where a net has three seeds: a further seed falls in them in 95 % of cases."


def _points(all_rows: Sequence[Row], paper: bool) -> list[points.Point]:
    """The rows as points; the paper's beside them where the images are its own."""
    return [
        points.Point(
            row.arch.title,
            row.arch.depth,
            row.arch.residual,
            points.value(row.values("test_error")),
            _paper_value(row.arch) if paper else None,
            row.verdict.word,
        )
        for row in all_rows
    ]


def _paper_value(arch: Arch) -> points.Value | None:
    """The paper's number for a net; None where it prints a bound, or nothing."""
    ids, numbers = PUBLISHED.get(arch.name), published.load()
    if ids is None or numbers[ids.error].statistic == "bound":
        return None
    return points.Value(numbers[ids.error].number)


def _hollow(variant: Variant) -> str:
    return f" Hollow: the paper's.{_not_theirs(variant)}" if variant.dataset == "cifar10" else ""


def _not_theirs(variant: Variant) -> str:
    """A word of warning where a figure shows the paper's numbers beside those of other runs than its."""
    return "" if variant.comparable else " These are not the paper's runs: the two need not agree."


def _caption(variant: Variant, all_rows: Sequence[Row]) -> str:
    """What a reader needs to read the curves."""
    caption = "Training error dashed, test error bold."
    most = max(len(row.runs) for row in all_rows)
    if most > curves.SEEDS_APART:
        caption += (
            f" Where a net has more than {curves.SEEDS_APART} seeds: the mean and a band from the lowest to the highest"
        )
        caption += f", of the first {curves.SEEDS_DRAWN} seeds." if most > curves.SEEDS_DRAWN else "."
    return caption + _of_paper(variant, "Fig. 6")


def _of_paper(variant: Variant, figure: str) -> str:
    """What the faint curves are."""
    if variant.dataset != "cifar10":
        return ""
    length = thousands(study.PAPER.iterations)
    scaled = "" if variant.schedule == "paper" else f", its {length} iterations drawn over the length of this schedule"
    return f" Faint: the paper's own curves, read off {figure}{scaled}."


def _depth(all_rows: Sequence[Row]) -> str:
    """What depth does to each family, from the shallowest to the deepest net that both families have."""
    means = {(row.arch.residual, row.arch.depth): fmean(v) for row in all_rows if (v := row.values("test_error"))}
    depths = sorted(depth for residual, depth in means if residual and (False, depth) in means)
    if len(depths) < 2:
        return ""
    low, high = depths[0], depths[-1]
    plain, residual = (means[kind, high] - means[kind, low] for kind in (False, True))
    return (
        f"From {low} to {high} layers the test error changes by {plain:+.2f} points without shortcuts and by "
        f"{residual:+.2f} points with them, in the mean over the seeds shown."
    )


def _sampling_of_paper() -> str:
    number = published.load()["T6/ResNet-20/test_error"]
    leaves = other_images([number.number], CIFAR10.test)
    return f" At the paper's {number.printed} %, {thousands(CIFAR10.test)} images leave {leaves}."


def _definitions(variant: Variant) -> Section:
    lines = [
        "- *Test error, last*: top-1 error on the test images, single view, by the weights of the last iteration. "
        "It is what the paper reports.",
        "- *Best on test*: the lowest test error over the evaluation points. It is chosen on the test set and flatters.",
        "- *Training error*: over the images between the last two evaluation points, augmented, as the net saw them "
        "while it learnt. The paper does not say how it measured its own.",
        "- ± is the standard deviation over seeds (n-1); *difference* is ours minus the paper's.",
        f"- *Other images*: {SAMPLING}" + (_sampling_of_paper() if variant.dataset == "cifar10" else ""),
    ]
    return Section("What is measured", ["\n".join(lines)])

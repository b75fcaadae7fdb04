"""What the pages of Tables 2, 3 and 4 share: ours beside the paper's, each under its table's protocol, and Fig. 4 redrawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bench.errors import UserError
from bench.measure.counts.estimate import Estimator
from bench.report.figures import curves, points
from bench.report.figures.chart import Chart
from bench.report.page import Cell, Figure, Manifest, Page, Part, Section, Table, Value, behind, cells, grid
from bench.report.render import terminal
from bench.report.render.markdown import thousands
from bench.report.sections import claims as asked
from bench.report.sections import manifest, third_party, values
from bench.report.sections.runs import (
    MATCH,
    SAMPLING,
    Found,
    difference,
    mean_and_spread,
    other_images,
    provenance,
    sentences,
    verdict_cell,
)
from bench.runs.datasets import IMAGENET
from bench.runs.finished import FinishedRun
from bench.runs.scores import ENSEMBLE, Evaluation, evaluations
from bench.studies.imagenet import Study, choices, deviations
from bench.studies.variant import ImageNetVariant
from bench.verdicts import claims, published
from bench.verdicts.numbers import MISSING, Verdict, judge_errors
from models.arch import Arch, parse_arch

GPUS = (1, 8, 32)


@dataclass(frozen=True)
class Row:
    """A net with its finished runs, seeds in order."""

    arch: Arch
    runs: tuple[FinishedRun, ...]

    def errors(self, protocol: str, top: int) -> list[float]:
        """Percent, of each run that was tested under the protocol."""
        found = [run.evaluation.get(protocol) for run in self.runs]
        return [error for score in found if score and (error := score.top1 if top == 1 else score.top5) is not None]

    def images(self, protocol: str) -> int:
        """Test images, of a row that has errors under the protocol."""
        return next(score.images for run in self.runs if (score := run.evaluation.get(protocol)))


def rows(finished: Mapping[str, FinishedRun], variant: ImageNetVariant) -> list[Row]:
    """A row for each net of the table."""
    found: dict[Arch, list[FinishedRun]] = {arch: [] for arch in variant.study.archs}
    wanted = {spec.arch: spec.recipe for spec in variant.specs()}
    for run in finished.values():
        spec = run.spec
        if spec.arch in found and spec.dataset == variant.dataset and spec.recipe == wanted[spec.arch]:
            found[spec.arch].append(run)
    return [Row(arch, tuple(sorted(of, key=lambda run: run.spec.seed))) for arch, of in found.items()]


def judge(row: Row, variant: ImageNetVariant, top: int) -> Verdict:
    """Hold the errors of a row against the paper's, under the table's protocol."""
    errors = row.errors(variant.study.protocol, top)
    if not errors:
        return MISSING
    if not variant.comparable:
        return Verdict("not comparable")
    number = _number(variant.study, row.arch, top)
    return judge_errors(number, errors) if number else Verdict("not comparable")


def _number(study: Study, arch: Arch, top: int) -> published.PublishedNumber | None:
    return published.load().get(study.published_id(arch, f"top{top}_error"))


def headers(study: Study) -> list[str]:
    found = ["net"]
    for top in (1, 5) if study.top5 else (1,):
        of = f"top-{top}: " if study.top5 else ""
        found += [
            f"paper: top-{top}, {study.protocol}, %",
            f"ours: top-{top}, {study.protocol}",
            f"{of}95 % of other images",
            f"{of}difference [95 %]",
            "verdict",
        ]
    return [*found, "seeds", "ours: top-1, 1-crop", "training error", "iterations"]


def _cells(row: Row, variant: ImageNetVariant) -> tuple[Cell, ...]:
    found: list[str | Cell] = [row.arch.title]
    for top in (1, 5) if variant.study.top5 else (1,):
        number, verdict = _number(variant.study, row.arch, top), judge(row, variant, top)
        errors, protocol = row.errors(variant.study.protocol, top), variant.study.protocol
        found += [
            _printed(number),
            mean_and_spread(errors) or "missing",
            other_images(errors, row.images(protocol)) if errors else "",
            difference(verdict),
            verdict_cell(verdict),
        ]
    training = [run.result.train_error for run in row.runs if run.result.train_error is not None]
    whole = cells(
        *found,
        str(len(row.runs)) if row.runs else "",
        mean_and_spread(row.errors("1-crop", 1)),
        mean_and_spread(training),
        " + ".join(thousands(count) for count in sorted({run.result.iterations for run in row.runs})),
    )
    ours = [i for i, name in enumerate(headers(variant.study)) if i and not name.startswith("paper")]
    return behind(whole, _manifest(row, variant), ours)


def _printed(number: published.PublishedNumber | None) -> Cell:
    if number is None:
        return Cell("")
    return Cell(number.printed, manifest=manifest.of_paper(number, third_party.beside(number.id)))


def _manifest(row: Row, variant: ImageNetVariant) -> Manifest:
    """What stands behind the row."""
    title, again = f"{row.arch.title}, schedule {variant.schedule}", f"{variant.command()} --only {row.arch.name}"
    if not row.runs:
        return manifest.of_nothing(title, again, None)
    quantities: list[tuple[str, Callable[[FinishedRun], float | None]]] = [
        ("training error", lambda run: run.result.train_error)
    ]
    for protocol in dict.fromkeys(("1-crop", variant.study.protocol)):
        quantities += [(f"top-{top}, {protocol}", partial(_tested, protocol=protocol, top=top)) for top in (1, 5)]
    again += f" --seeds {1 + max(run.spec.seed for run in row.runs)} --force"
    return manifest.of_runs(title, row.runs, quantities, deviations, choices, again)


def _tested(run: FinishedRun, protocol: str, top: int) -> float | None:
    """The error of one run under a protocol."""
    score = run.evaluation.get(protocol)
    return None if score is None else score.top1 if top == 1 else score.top5


def table(all_rows: Sequence[Row], variant: ImageNetVariant) -> Table:
    """The paper's table with ours beside it."""
    names = headers(variant.study)
    numeric = [i for i, name in enumerate(names) if i and name != "verdict"]
    narrow = [i for i in range(names.index("seeds")) if not names[i].endswith("95 % of other images")]
    lines, command = (
        [_cells(row, variant) for row in all_rows],
        "" if all(row.runs for row in all_rows) else variant.command(),
    )
    return Table(names, lines, numeric, narrow, _first(names), command=command)


def _first(names: Sequence[str]) -> list[int]:
    """The columns that a page shows first. Where the paper has top-1 and top-5, differences stand among the details."""
    both = names.count("verdict") > 1
    later = {"iterations", *(("ours: top-1, 1-crop", "training error") if both else ())}
    apart = ("95 % of other images", *(("difference [95 %]",) if both else ()))
    return [i for i, name in enumerate(names) if name not in later and not name.endswith(apart)]


def variants(study: Study, found: Found) -> list[ImageNetVariant]:
    """The pages of a table: the paper's schedule first, then each other for which a run is finished."""
    specs = [run.spec for run in found.runs.values() if run.spec.arch in study.archs]
    paper = ImageNetVariant(study, "paper")
    others = {ImageNetVariant.of(study, spec) for spec in specs} - {paper}
    return [paper, *sorted(others, key=lambda variant: variant.name)]


def render_terminal(found: Found, variant: ImageNetVariant) -> str:
    """The columns that fit a terminal."""
    return terminal.render(table(rows(found.runs, variant), variant))


def page(found: Found, variant: ImageNetVariant) -> Page:
    """The page, with tests of weights that were trained elsewhere and of several runs together."""
    finished, tests = found.runs, evaluations(*reversed(found.folders))
    others = [each for each in tests if each.note != ENSEMBLE]
    ensembles = [each for each in tests if each.note == ENSEMBLE]
    all_rows, study = rows(finished, variant), variant.study
    members = [run for row in all_rows for run in row.runs]
    title = study.heading
    if variant.schedule != "paper":
        title += f", schedule {variant.schedule}"
    if variant.changes:
        title += ", " + ", ".join(f"`{name}={value}`" for name, value in variant.changes)
    return Page(
        variant.name,
        title,
        [
            f"{study.title.split(' (')[-1].rstrip(')')} of the paper, tested by {study.protocol}. "
            + _how_to_read(variant),
            table(all_rows, variant),
            _sampling(variant),
            _cited(study),
            *asked.section(claims.of_setting(asked.of_imagenet(variant, finished)), variant.comparable),
            third_party.WHERE if variant.dataset == "imagenet" and study.protocol == "10-crop" else "",
            *(_ensembles(ensembles) if study.protocol == "multi-scale" else []),
            *(_figures(variant, all_rows) if members else []),
            *_elsewhere(others),
            *(_cost(finished, variant) if variant.comparable else []),
            *sentences(members, deviations, choices),
            *_skipped(members),
            *provenance(members),
        ],
        [value for row in all_rows for value in _values(row, variant)],
    )


def _values(row: Row, variant: ImageNetVariant) -> list[Value]:
    """What the page shows of a net: the paper's number under its own protocol, and ours under every one."""
    found = []
    protocols = dict.fromkeys((variant.study.protocol, *(name for run in row.runs for name in run.evaluation)))
    for protocol in protocols:
        for top in (1, 5) if variant.study.top5 else (1,):
            value = Value(row.arch.title, f"top-{top} error", "%", protocol, **values.setting(variant))
            value = values.of_seeds(value, row.errors(protocol, top))
            if protocol == variant.study.protocol:
                value = values.judged(value, _number(variant.study, row.arch, top), judge(row, variant, top))
            found.append(value)
    base = Value(row.arch.title, "", "%", **values.setting(variant))
    return [*found, *values.of_results(base, row.runs)]


def _skipped(runs_shown: Sequence[FinishedRun]) -> list[Part]:
    """The images that runs left out because nothing could decode them."""
    lines = []
    for run in runs_shown:
        if found := run.provenance.get("skipped_images"):
            counts = " and ".join(f"{count} of {split}" for split, count in found.items() if count)
            lines.append(f"- `{run.spec.run_id}`: {counts}")
    return [Section("Images left out because they cannot be decoded", ["\n".join(lines)])] if lines else []


def _how_to_read(variant: ImageNetVariant) -> str:
    if variant.comparable:
        return f"{MATCH} The three protocols are never mixed: 1-crop stands beside for comparison with other projects."
    return (
        "**These are not the paper's runs**: the schedule or the images differ, so that every verdict is `not comparable`. "
        "The paper's numbers stand beside them for orientation."
    )


def _sampling(variant: ImageNetVariant) -> str:
    """What the number of test images leaves open, said of the paper's own numbers where the images are its."""
    text = f"The paper's are of one run each. *Difference*: ours minus the paper's. *Other images*: {SAMPLING}"
    if variant.dataset != "imagenet":
        return text
    tops = (1, 5) if variant.study.top5 else (1,)
    numbers = [number for top in tops if (number := _number(variant.study, variant.study.archs[-1], top))]
    leaves = " and ".join(f"{other_images([number.number], IMAGENET.test)} at {number.printed} %" for number in numbers)
    return f"{text} {thousands(IMAGENET.test)} images leave {leaves}."


def _cited(study: Study) -> str:
    """The rows that the paper cites."""
    if not study.cited:
        return ""
    numbers = published.load()
    said = []
    for row in study.cited:
        printed = [numbers[f"{study.published}/{row}/top{top}_error"].printed for top in (1, 5)]
        said.append(f"{row.replace('_', ' ')} {' / '.join(printed)}")
    return f"The paper's table also cites, top-1 / top-5: {', '.join(said)}. They are not re-run here."


def _ensembles(ensembles: Sequence[Evaluation]) -> list[Part]:
    """Table 5's ensemble: the scores of several finished runs, averaged."""
    number = published.load()["T5/ResNet_(ILSVRC15)/top5_error"]
    lines = [["the paper's six nets", number.printed, "test server", ""]]
    for found in ensembles:
        score = found.scores["multi-scale"]
        error = score.top5
        lines.append(
            [found.name, "" if error is None else f"{error:.2f}", "validation images", thousands(score.images)]
        )
    if not ensembles:
        lines.append(["ours", "missing", "validation images", ""])
    return [
        grid(lines, ["ensemble (Table 5)", "top-5 error, %", "tested on", "images"], (1, 3)),
        "The paper's 3.57 is of six nets of different depth on the test server, whose labels nobody has: `not "
        "comparable` with validation images. `--ensemble` averages the scores of all finished runs of this table.",
    ]


def _figures(variant: ImageNetVariant, all_rows: Sequence[Row]) -> list[Figure]:
    """Fig. 4 of the table that it belongs to, and ours against the paper's."""
    theirs, heading, drawn = variant.dataset == "imagenet", _heading(variant), []
    bottom, top = (20, 60) if variant.comparable else (0, 100)
    if variant.study.published == "T2":
        scaled = (
            "" if variant.schedule == "paper" else ", its 600,000 iterations drawn over the length of this schedule"
        )
        faint = f" Faint: the paper's own curves, read off Fig. 4{scaled}." if theirs else ""
        drawn.append(
            Figure(
                variant.name,
                "Error against iterations",
                "Fig. 4. Training error dashed, validation error (1-crop) bold." + faint,
                lambda: Chart(curves.figure_4(all_rows, theirs, bottom, top).panels, heading),
            )
        )
    if theirs and sum(bool(row.errors(variant.study.protocol, 1)) for row in all_rows) > 1:
        said = "" if variant.comparable else " These are not the paper's runs: the two need not agree."
        drawn.append(
            Figure(
                f"{variant.name}.against",
                "Published against ours",
                f"Errors by {variant.study.protocol}, the paper's against ours; on the line they are the same." + said,
                lambda: _against(variant, all_rows),
            )
        )
    return drawn


def _against(variant: ImageNetVariant, all_rows: Sequence[Row]) -> Chart:
    panels = []
    for top in (1, 5) if variant.study.top5 else (1,):
        found = []
        for row in all_rows:
            number, ours = _number(variant.study, row.arch, top), points.value(row.errors(variant.study.protocol, top))
            paper = points.Value(number.number) if number else None
            word = judge(row, variant, top).word
            found.append(points.Point(row.arch.title, row.arch.depth, row.arch.residual, ours, paper, word))
        panels.append(points.against_published(f"top-{top} error, {variant.study.protocol}", "%", found))
    return Chart(panels, _heading(variant))


def _heading(variant: ImageNetVariant) -> str:
    """What separates these runs from the paper's, in a line; nothing where they may be held against it."""
    if variant.comparable:
        return ""
    iterations = variant.specs()[0].recipe.iterations
    said = [f"{iterations:,} iterations, not the paper's 600,000"] if variant.schedule != "paper" else []
    said += [f"images: {variant.dataset}"] if variant.dataset != "imagenet" else []
    return "; ".join([*said, *(f"{name}={value}" for name, value in variant.changes)])


def _elsewhere(others: Sequence[Evaluation]) -> list[Part]:
    """Weights that were trained elsewhere, under the protocols here."""
    lines = []
    for found in others:
        for protocol, score in found.scores.items():
            low, high = score.top1_interval
            top5 = score.top5
            lines.append(
                [
                    found.name,
                    found.arch,
                    protocol,
                    f"{score.top1:.2f}",
                    f"{low:.2f} to {high:.2f}",
                    "" if top5 is None else f"{top5:.2f}",
                    thousands(score.images),
                    found.note,
                ]
            )
    names = ["weights", "net", "protocol", "top-1 error, %", "95 % of other images", "top-5 error, %", "images", "note"]
    said = "Trained by other recipes, so `not comparable` with the paper; tested here."
    return [Section("Weights from elsewhere", [said, grid(lines, names, (3, 4, 5, 6))])] if lines else []


def _cost(finished: Mapping[str, FinishedRun], variant: ImageNetVariant) -> list[Part]:
    """GPU-hours of each row, from measured speeds where there are some."""
    estimator = Estimator("cuda", [run for run in finished.values() if run.spec.arch.family == "imagenet"])
    lines, sources = [], dict[str, None]()
    for spec in variant.specs():
        estimate = estimator(spec)
        sources[estimate.source] = None
        lines.append([spec.arch.title, *(f"{estimate.hours / gpus:,.0f}" for gpus in GPUS)])
    hours = grid(lines, ["one run", *(f"hours on {gpus} GPU{'s' if gpus > 1 else ''}" for gpus in GPUS)], (1, 2, 3))
    said = f"GPU-hours {'; '.join(sources)}; divided by the number of GPUs, as if nothing were lost between them."
    return [Section("Cost", [hours, said])]


def arch_of(name: str) -> Arch:
    """The ImageNet net of a name. Raises UserError."""
    try:
        arch = parse_arch(name)
    except ValueError as error:
        raise UserError(f"--arch {error}") from error
    if arch.family != "imagenet":
        raise UserError(f"--arch {name} is no ImageNet net: try imagenet-resnet-50-B-stride3x3")
    return arch

"""The pages of Tables 2, 3 and 4: ours beside the paper's, each under the protocol of its table, and Fig. 4 redrawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench import changes
from bench.changes import Changes
from bench.errors import UserError
from bench.measure.estimate import Estimator
from bench.report import published
from bench.report.markdown import Footnotes, page, table, terminal_table, thousands
from bench.report.runs import difference, mean_and_spread, net, provenance, sentences
from bench.report.verdict import MISSING, Verdict, judge_errors
from bench.spec import Arch, RunSpec, Schedule, parse_arch
from bench.store import Evaluation, FinishedRun
from bench.studies.imagenet import Study, choices, deviations, runs

GPUS = (1, 8, 32)


@dataclass(frozen=True)
class Variant:
    """What separates one page of a table from another: the schedule and the images."""

    study: Study
    schedule: Schedule
    dataset: str = "imagenet"
    classes: int = 1000
    changes: Changes = ()
    """Fields of the recipe that are not what the study has."""

    @property
    def name(self) -> str:
        parts = [self.study.name]
        parts += [self.schedule] if self.schedule != "paper" else []
        parts += [self.dataset] if self.dataset != "imagenet" else []
        return ".".join([*parts, *(f"{name}={value}" for name, value in self.changes)])

    @property
    def comparable(self) -> bool:
        """Whether its errors may be held against the paper's."""
        return self.schedule == "paper" and self.dataset == "imagenet" and changes.comparable(self.changes)

    def specs(self, seeds: int = 1) -> tuple[RunSpec, ...]:
        found = runs(self.study, self.schedule, seeds, self.dataset, self.classes)
        return tuple(replace(spec, recipe=changes.apply(spec.recipe, self.changes)) for spec in found)


@dataclass(frozen=True)
class Row:
    """A net with its finished runs, seeds in order."""

    arch: Arch
    runs: tuple[FinishedRun, ...]

    def errors(self, protocol: str, top: int) -> list[float]:
        """Percent, of each run that was tested under the protocol."""
        found = [run.evaluation.get(protocol) for run in self.runs]
        return [error for score in found if score and (error := score.top1 if top == 1 else score.top5) is not None]


def rows(finished: dict[str, FinishedRun], variant: Variant) -> list[Row]:
    """A row for each net of the table."""
    found: dict[Arch, list[FinishedRun]] = {arch: [] for arch in variant.study.archs}
    wanted = {spec.arch: spec.recipe for spec in variant.specs()}
    for run in finished.values():
        spec = run.spec
        if spec.arch in found and spec.dataset == variant.dataset and spec.recipe == wanted[spec.arch]:
            found[spec.arch].append(run)
    return [Row(arch, tuple(sorted(of, key=lambda run: run.spec.seed))) for arch, of in found.items()]


def judge(row: Row, variant: Variant, top: int) -> Verdict:
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
        found += [
            f"paper: top-{top}, {study.protocol}, %",
            f"ours: top-{top}, {study.protocol}",
            "difference",
            "verdict",
        ]
    return [*found, "seeds", "ours: top-1, 1-crop", "training error", "iterations"]


def _cells(row: Row, variant: Variant, notes: Footnotes | None) -> list[str]:
    cells = [net(row.arch)]
    for top in (1, 5) if variant.study.top5 else (1,):
        number, verdict = _number(variant.study, row.arch, top), judge(row, variant, top)
        cells += [
            number.printed if number else "",
            mean_and_spread(row.errors(variant.study.protocol, top)) or "missing",
            difference(verdict),
            verdict.word + (notes.mark(verdict.note) if notes else ""),
        ]
    training = [run.result.train_error for run in row.runs if run.result.train_error is not None]
    return [
        *cells,
        str(len(row.runs)) if row.runs else "",
        mean_and_spread(row.errors("1-crop", 1)),
        mean_and_spread(training),
        " + ".join(thousands(count) for count in sorted({run.result.iterations for run in row.runs})),
    ]


def render_terminal(finished: dict[str, FinishedRun], variant: Variant) -> str:
    cells = [_cells(row, variant, None) for row in rows(finished, variant)]
    width = 9 if variant.study.top5 else 5
    numeric = [i for i in range(1, width) if i % 4]
    return terminal_table([row[:width] for row in cells], headers(variant.study)[:width], numeric)


def render(
    finished: dict[str, FinishedRun],
    variant: Variant,
    others: Sequence[Evaluation],
    ensembles: Sequence[Evaluation] = (),
) -> str:
    """The page. `others` are tests of weights that were trained elsewhere, `ensembles` of several runs together."""
    all_rows, notes, study = rows(finished, variant), Footnotes(), variant.study
    names = headers(study)
    numeric = [i for i, name in enumerate(names) if i and name != "verdict"]
    members = [run for row in all_rows for run in row.runs]
    title = study.heading
    if variant.schedule != "paper":
        title += f", schedule {variant.schedule}"
    if variant.changes:
        title += ", " + ", ".join(f"`{name}={value}`" for name, value in variant.changes)
    return page(
        f"# {title}",
        f"{study.title.split(' (')[-1].rstrip(')')} of the paper, tested by {study.protocol}. " + _how_to_read(variant),
        table([_cells(row, variant, notes) for row in all_rows], names, numeric),
        notes.render(),
        _to_fill(all_rows, variant),
        _cited(study),
        _ensembles(variant, ensembles) if study.protocol == "multi-scale" else "",
        _figure(variant) if members and study.published == "T2" else "",
        _elsewhere(others, variant),
        _cost(finished, variant) if variant.comparable else "",
        sentences(members, deviations, choices),
        _skipped(members),
        provenance(members),
    )


def _skipped(runs_shown: Sequence[FinishedRun]) -> str:
    """The images that runs left out because nothing could decode them."""
    lines = []
    for run in runs_shown:
        if found := run.provenance.get("skipped_images"):
            counts = " and ".join(f"{count} of {split}" for split, count in found.items() if count)
            lines.append(f"- `{run.spec.run_id}`: {counts}")
    return "\n".join(["**Images left out because they cannot be decoded**", "", *lines]) if lines else ""


def _how_to_read(variant: Variant) -> str:
    if variant.comparable:
        return (
            "`match` means that the paper's number lies within the 95 % prediction interval of ours (REPRODUCE.md has the "
            "rule). The three protocols are never mixed: 1-crop stands beside for comparison with other projects."
        )
    return (
        "**These are not the paper's runs**: the schedule or the images differ, so that every verdict is `not comparable`. "
        "The paper's numbers stand beside them for orientation."
    )


def _to_fill(all_rows: Sequence[Row], variant: Variant) -> str:
    if all(row.runs for row in all_rows):
        return ""
    words = f"python bench/run.py --table {variant.study.name}"
    words += f" --schedule {variant.schedule}" if variant.schedule != "paper" else ""
    words += " --dataset imagefolder" if variant.dataset != "imagenet" else ""
    words += changes.words(variant.changes)
    return f"What is missing is filled by `{words} --cluster slurm --data DIR`, one row alone with `--only`."


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


def _ensembles(variant: Variant, ensembles: Sequence[Evaluation]) -> str:
    """Table 5's ensemble: the scores of several finished runs, averaged."""
    number = published.load()["T5/ResNet_(ILSVRC15)/top5_error"]
    cells = [["the paper's six nets", number.printed, "test server", ""]]
    for found in ensembles:
        score = found.scores["multi-scale"]
        error = score.top5
        cells.append(
            [found.name, "" if error is None else f"{error:.2f}", "validation images", thousands(score.images)]
        )
    if not ensembles:
        cells.append(["ours", "missing", "validation images", ""])
    text = table(cells, ["ensemble (Table 5)", "top-5 error, %", "tested on", "images"], (1, 3))
    return (
        f"{text}\n\nThe paper's 3.57 is of six nets of different depth on the test server, whose labels nobody has: `not "
        "comparable` with validation images. `--ensemble` averages the scores of all finished runs of this table."
    )


def _figure(variant: Variant) -> str:
    faint = " Faint: the paper's own curves, read off Fig. 4." if variant.dataset == "imagenet" else ""
    return (
        f"![Error against iterations](figures/{variant.name}.svg)\n\nTraining error dashed, validation error (1-crop) bold."
        + faint
    )


def _elsewhere(others: Sequence[Evaluation], variant: Variant) -> str:
    """Weights that were trained elsewhere, under the protocols here."""
    if not others:
        return ""
    cells = []
    for found in others:
        for protocol, score in found.scores.items():
            low, high = score.top1_interval
            top5 = score.top5
            cells.append(
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
    return (
        "**Weights from elsewhere**\n\nTrained by other recipes, so `not comparable` with the paper; tested here.\n\n"
        + table(cells, names, (3, 4, 5, 6))
    )


def _cost(finished: dict[str, FinishedRun], variant: Variant) -> str:
    """GPU-hours of each row, from measured speeds where there are some."""
    estimator = Estimator("cuda", finished.values())
    cells, sources = [], dict[str, None]()
    for spec in variant.specs():
        estimate = estimator(spec)
        sources[estimate.source] = None
        cells.append([net(spec.arch), *(f"{estimate.hours / gpus:,.0f}" for gpus in GPUS)])
    text = table(cells, ["one run", *(f"hours on {gpus} GPU{'s' if gpus > 1 else ''}" for gpus in GPUS)], (1, 2, 3))
    return (
        f"**Cost**\n\n{text}\n\nGPU-hours {'; '.join(sources)}; divided by the number of GPUs, as if nothing were lost between "
        "them."
    )


def arch_of(name: str) -> Arch:
    """The ImageNet net of a name. Raises UserError."""
    try:
        arch = parse_arch(name)
    except ValueError as error:
        raise UserError(f"--arch {error}") from error
    if arch.family != "imagenet":
        raise UserError(f"--arch {name} is no ImageNet net: try imagenet-resnet-50-B-stride3x3")
    return arch

"""The first table of README.md: every net of Table 6, the paper's error, and ours at the paper's length and at `short`."""

from __future__ import annotations

from collections.abc import Mapping

from bench.report.render.markdown import table
from bench.report.sections.runs import difference, mean_and_spread
from bench.report.tables.cifar_depth import Row, one_each, paper_cells, rows
from bench.runs.finished import FinishedRun
from bench.runs.spec import RunSpec
from bench.studies.cifar_depth import ARCHS
from bench.studies.variant import PAPER, Variant
from models.arch import Arch

SHORT = Variant("short", "cifar10", "all")
HEADERS = [
    "net", "paper: test error, %", "ours, %", "precision", "seeds", "difference [95 %]", "verdict",
    "1/16: training error, %", "1/16: test error, %", "1/16: seeds",
]  # fmt: skip
NUMERIC = (1, 2, 4, 5, 7, 8, 9)
NOT_MEASURED = "not measured"


def render(finished: dict[str, FinishedRun]) -> str:
    """The table, and a line for each net whose verdict rests on more than the paper's recipe and its own runs."""
    short, whole = _by_net(finished, SHORT), {v: _by_net(finished, v) for v in of_the_papers_length(finished)}
    lines, notes = list[list[str]](), dict[str, list[str]]()
    for arch in sorted(ARCHS, key=lambda arch: (arch.residual, arch.depth)):
        variant, row = next(
            ((v, found[arch]) for v, found in whole.items() if found[arch].runs), (PAPER, whole[PAPER][arch])
        )
        judged = [difference(row.verdict), row.verdict.text] if row.runs else ["", ""]
        error, seeds = _errors(row, "test_error")
        ours = [error, row.precision if row.runs else "", seeds, *judged]
        lines.append([arch.title, paper_cells(arch)[0].text, *ours, *_errors(short[arch], "train_error", "test_error")])
        said = f"{_page(variant)}. " if variant.changes else ""
        if row.runs and (said := f"{said}{row.verdict.note}".strip()):
            notes.setdefault(said, []).append(arch.title)
    return "\n\n".join([table(lines, HEADERS, NUMERIC), *(f"*{', '.join(of)}: {said}*" for said, of in notes.items())])


def of_the_papers_length(finished: Mapping[str, FinishedRun]) -> list[Variant]:
    """The paper's recipe, and then what else may be held against its numbers."""
    specs = (run.spec for run in finished.values())
    found = {Variant.of(spec) for spec in specs if isinstance(spec, RunSpec) and spec.arch.family == "cifar"}
    return [PAPER, *sorted((v for v in found - {PAPER} if v.comparable), key=lambda variant: variant.name)]


def _by_net(finished: dict[str, FinishedRun], variant: Variant) -> dict[Arch, Row]:
    return {row.arch: row for row in one_each(rows(finished, variant))}


def _errors(row: Row, *names: str) -> list[str]:
    """These errors of the row's runs, and the number of runs."""
    if not row.runs:
        return ["diverged" if row.diverged else NOT_MEASURED, *[""] * len(names)]
    return [*(mean_and_spread(row.values(name)) for name in names), str(len(row.runs))]


def _page(variant: Variant) -> str:
    words = ", ".join(f"{name}={value}" for name, value in variant.changes) or "the paper's recipe"
    return f"[{words}](tables/{variant.name}.md)"

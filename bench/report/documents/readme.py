"""The answer in README.md: every net of Table 6, the paper's error, and ours at the paper's length and at `short`."""

from __future__ import annotations

from collections import Counter
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
    "net", "paper: test error, %", "ours, %", "seeds", "difference [95 %]", "verdict", "1/16: test error, %", "1/16: seeds",
]  # fmt: skip
NUMERIC = (1, 2, 3, 4, 6, 7)
NOT_MEASURED = "not measured"


def render(finished: dict[str, FinishedRun]) -> str:
    """The answer in a sentence, the table, and a line for each net whose verdict has a note or another recipe."""
    short, whole = _by_net(finished, SHORT), {v: _by_net(finished, v) for v in of_the_papers_length(finished)}
    lines, notes, words = list[list[str]](), dict[str, list[str]](), Counter[str]()
    for arch in sorted(ARCHS, key=lambda arch: (arch.residual, arch.depth)):
        variant, row = next(
            ((v, found[arch]) for v, found in whole.items() if found[arch].runs), (PAPER, whole[PAPER][arch])
        )
        judged = [difference(row.verdict), row.verdict.text] if row.runs else ["", ""]
        ours = [*_errors(row), *judged]
        words.update([row.verdict.word] if row.runs else [])
        lines.append([arch.title, paper_cells(arch)[0].text, *ours, *_errors(short[arch])])
        said = f"{_page(variant)}. " if variant.changes else ""
        if row.runs and (said := f"{said}{row.verdict.note}".strip()):
            notes.setdefault(said, []).append(arch.title)
    counted = ", ".join(f"{count} {word}" for word, count in words.items()) or "none yet"
    answer = f"**{words.total()} of {len(ARCHS)} nets of Table 6 are measured at full length. Verdicts: {counted}.**"
    return "\n\n".join(
        [answer, table(lines, HEADERS, NUMERIC), *(f"*{', '.join(of)}: {said}*" for said, of in notes.items())]
    )


def of_the_papers_length(finished: Mapping[str, FinishedRun]) -> list[Variant]:
    """The paper's recipe, and then what else may be held against its numbers."""
    specs = (run.spec for run in finished.values())
    found = {Variant.of(spec) for spec in specs if isinstance(spec, RunSpec) and spec.arch.family == "cifar"}
    return [PAPER, *sorted((v for v in found - {PAPER} if v.comparable), key=lambda variant: variant.name)]


def _by_net(finished: dict[str, FinishedRun], variant: Variant) -> dict[Arch, Row]:
    return {row.arch: row for row in one_each(rows(finished, variant))}


def _errors(row: Row) -> list[str]:
    """Test error of the row's runs, with the precision where it is not single, and the number of runs."""
    if not row.runs:
        return ["diverged" if row.diverged else NOT_MEASURED, ""]
    precision = "" if row.precision == "fp32" else f" ({row.precision})"
    return [f"{mean_and_spread(row.values('test_error'))}{precision}", str(len(row.runs))]


def _page(variant: Variant) -> str:
    words = ", ".join(f"{name}={value}" for name, value in variant.changes) or "the paper's recipe"
    return f"[{words}](tables/{variant.name}.md)"

"""The first screen of report.html: whether Deep Residual Learning reproduces, and what that rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from bench.measure.counts.fvcore_count import Cost
from bench.report.documents.readme import of_the_papers_length
from bench.report.page import Cell, Figure, Page, Table
from bench.report.render.report import Answer, Claimed, Score
from bench.report.sections.runs import Found
from bench.report.tables import cifar_depth
from bench.report.tables import claims as page_of_claims
from bench.studies.variant import PAPER, Variant
from bench.verdicts.claims import Judged, Word, exact

COLUMNS = {
    "net": "net",
    "paper: test error, %": "paper, %",
    "ours: test error, last": "ours, %",
    "difference [95 %]": "difference [95 %]",
    "verdict": "verdict",
}
"""Columns of cifar_depth's table that the answer shows -> what it calls them."""
NOT_RUN = "not measured"
AGREES, DIFFERS = {"match", "consistent", "better"}, {"worse", "differs", "diverged"}


def answer(found: Found, pages: Iterable[Page], costs: Mapping[str, Cost] | None) -> Answer:
    """The answer; without `costs`, no claim is on the scoreboard."""
    table, scores = table_6(found), scoreboard(found, costs) if costs is not None else []
    words = Counter(cell.word for row in table.rows for cell in row if cell.word and cell.word != "missing")
    claims = {word: len(scores[0].claims[word]) for word in get_args(Word)} if scores else {}
    missing = sum(any(cell.word == "missing" for cell in row) for row in table.rows)
    return Answer(_said(words, claims, missing), _facts(table, words, claims), table, _figure_6(pages), scores)


def table_6(found: Found) -> Table:
    """Table 6: of each net the row of the paper's length that has runs, in the columns that a first reader needs."""
    variants = of_the_papers_length(found.runs)
    rows = {variant: cifar_depth.one_each(cifar_depth.rows(found.runs, variant)) for variant in variants}
    lines = []
    for paper in rows[PAPER]:
        variant, row = next(
            ((v, row) for v in variants for row in rows[v] if row.arch == paper.arch and row.runs), (PAPER, paper)
        )
        lines += _picked(cifar_depth.table([row], variant, found.logs), variant)
    numeric = [i for i, name in enumerate(COLUMNS) if name not in ("net", "verdict")]
    return Table([*COLUMNS.values()], lines, numeric)


def _picked(table: Table, variant: Variant) -> list[list[Cell]]:
    """Those columns of each row, without the notes that its page has; another recipe than the paper's is named."""
    at = [[*table.headers].index(name) for name in COLUMNS]
    note = ", ".join(f"{name}={value}" for name, value in variant.changes)
    lines = []
    for row in table.rows:
        cells = [replace(row[i], note="") for i in at]
        if note:
            cells[0] = replace(cells[0], note=f"With {note}: [its page]({variant.name}.md).")
        if cells[2].text == "missing":
            cells[2] = replace(cells[2], text="")
        lines.append(cells)
    return lines


def scoreboard(found: Found, costs: Mapping[str, Cost]) -> list[Score]:
    """The claims by verdict: at the paper's schedule, and those asked of runs at `short`."""
    counted = [("complexity", one) for one in exact(costs)]
    judged = [(f.page, one) for f in page_of_claims.families(found.runs, folders=found.folders) for one in f.judged]
    paper = [(page, one) for page, one in judged if page in page_of_claims.TITLES]
    short = [(page, one) for page, one in judged if page.endswith(".short") and one.word != "not run"]
    scores = [_score("at full length", [*counted, *paper])]
    return [*scores, _score("short runs", short)] if short else scores


def _score(title: str, judged: Sequence[tuple[str, Judged]]) -> Score:
    by_word: dict[str, list[Claimed]] = {word: [] for word in get_args(Word)}
    for page, one in judged:
        by_word[one.word].append(Claimed(one.claim.id, one.claim.meaning, page_of_claims.address(page, one)))
    return Score(title, by_word)


def _figure_6(pages: Iterable[Page]) -> Figure | None:
    """Fig. 6 of the paper's length if there are runs, else of the first page that has it."""
    figures = {part.name: part for page in pages for part in page.parts if isinstance(part, Figure)}
    wanted = ("cifar_depth", "cifar_depth.short", "cifar_depth.smoke")
    return next((figures[name] for name in wanted if name in figures), None)


def _said(words: Mapping[str, int], claims: Mapping[Word, int], missing: int) -> str:
    """The answer in a few words, from the verdicts on Table 6 and on the claims."""
    agree, differ = (sum(words[word] for word in some if word in words) for some in (AGREES, DIFFERS))
    if not words:
        return "Not known yet: no net of Table 6 was trained at the paper's length."
    if differ and agree:
        return "Only in part, so far." if missing else "Only in part."
    if differ:
        return "No, so far." if missing else "No."
    if not agree:
        return "Not decided yet: more seeds are needed."
    if missing:
        return "So far, yes, but most of it is not measured yet." if missing > agree else "So far, yes."
    return "Yes." if not claims.get("contradicted") else "The errors do; some claims do not."


def _facts(table: Table, words: Mapping[str, int], claims: Mapping[Word, int]) -> str:
    judged = sum(words.values())
    of = ", ".join(f"{count} {word}" for word, count in words.items())
    facts = [
        f"{judged} of {len(table.rows)} numbers of Table 6 are measured at the paper's length"
        + (f": {of}." if of else ".")
    ]
    if claims:
        counts = ", ".join(f"{count} {page_of_claims.WORDS[word]}" for word, count in claims.items() if count)
        facts.append(f"Of {sum(claims.values())} claims of the paper: {counts}.")
    return " ".join(facts)

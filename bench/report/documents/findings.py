"""The claims that committed runs have judged, as a part of docs/findings.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.report.render.markdown import table
from bench.report.tables.claims import families
from bench.runs.finished import FinishedRun

HEADERS = ["claim", "in our words", "runs", "verdict"]


def render(finished: dict[str, FinishedRun], folders: Sequence[Path]) -> str:
    """A row for each claim and setting that is not `not run`. `folders`: those with measurements of the runs' nets."""
    rows = [
        [f"`{judged.claim.id}`", judged.claim.meaning, f"[{family.page}](../tables/{family.page}.md)", judged.word]
        for family in families(finished, folders=folders)
        for judged in family.judged
        if judged.word != "not run"
    ]
    return table(rows, HEADERS) if rows else "No claim has been judged yet."

"""Documents outside of tables/ that are generated, or a part of which is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.errors import UserError
from bench.runs.finished import FinishedRun, finished_runs
from bench.runs.provenance import ROOT

README, GUIDE, TUTORIAL = ROOT / "README.md", ROOT / "REPRODUCE.md", ROOT / "docs" / "tutorial.md"
FINDINGS = ROOT / "docs" / "findings.md"
REFERENCE = ROOT / "docs" / "reference"


def render(measured: Path) -> dict[Path, str]:
    """Each document with the text that it should have.

    Raises UserError where one has lost the markers of its part.
    """
    from bench.command import reference
    from bench.report.documents import findings, readme, reproduce, tutorial
    from bench.report.render.markdown import with_part

    finished, found = finished_runs(measured), dict[Path, str]()
    parts: tuple[tuple[Path, str, Callable[[dict[str, FinishedRun]], str]], ...] = (
        (README, "numbers", readme.render),
        (GUIDE, "cost", reproduce.render),
        (TUTORIAL, "verdict", tutorial.render),
        (FINDINGS, "claims", partial(findings.render, folders=(measured,))),
    )
    for document, name, part in parts:
        try:
            found[document] = with_part(document.read_text(encoding="utf-8"), name, part(finished))
        except UserError as error:
            raise UserError(f"{document}: {error}") from None
    return {**found, **{REFERENCE / name: text for name, text in reference.pages().items()}}

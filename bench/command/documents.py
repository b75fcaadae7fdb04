"""Documents outside of tables/ that are generated, or a part of which is."""

from __future__ import annotations

from pathlib import Path

from bench.errors import UserError
from bench.runs.finished import finished_runs
from bench.runs.provenance import ROOT

README, GUIDE, TUTORIAL = ROOT / "README.md", ROOT / "REPRODUCE.md", ROOT / "docs" / "tutorial.md"
REFERENCE = ROOT / "docs" / "reference"


def render(measured: Path) -> dict[Path, str]:
    """Each document with the text that it should have.

    Raises UserError where one has lost the markers of its part.
    """
    from bench.command import reference
    from bench.report.documents import readme, reproduce, tutorial
    from bench.report.render.markdown import with_part

    finished, found = finished_runs(measured), dict[Path, str]()
    parts = (
        (README, "numbers", readme.render), (GUIDE, "cost", reproduce.render), (TUTORIAL, "verdict", tutorial.render),
    )  # fmt: skip
    for document, name, part in parts:
        try:
            found[document] = with_part(document.read_text(encoding="utf-8"), name, part(finished))
        except UserError as error:
            raise UserError(f"{document}: {error}") from None
    return {**found, **{REFERENCE / name: text for name, text in reference.pages().items()}}

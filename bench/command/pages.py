"""Pages and figures as files. What is committed comes from tables/measured alone, and `write` writes all of it.

What a table shows is said in bench/command/tables.py. `--publish` calls `write` to write it and `--check` to compare, so that
a table needs no check of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bench import studies
from bench.command import plan
from bench.errors import UserError
from bench.files import write_bytes, write_text
from bench.runs.derived import Extension, GradientRun, Responses, SurfacePart
from bench.runs.finished import finished_runs, without_damaged
from bench.runs.provenance import ROOT
from bench.runs.spec import RunSpec, Spec

if TYPE_CHECKING:
    from bench.report.page import Page

MEASURED = ROOT / "tables" / "measured"
README, GUIDE = ROOT / "README.md", ROOT / "REPRODUCE.md"


def put(page: Page, tables: Path) -> list[Path]:
    """Write a page and its figures; returns their paths."""
    from bench.report.figures import drawing
    from bench.report.render import markdown

    text = markdown.render(page)
    drawn = {
        path: data
        for part in page.figures
        for path, data in drawing.save(part.draw(), tables / "figures" / part.name).items()
    }
    for path, data in drawn.items():
        write_bytes(path, data)
    write_text(tables / f"{page.name}.md", text)  # last: whatever is damaged has been found by now
    return [tables / f"{page.name}.md", *drawn]


def write(names: Iterable[str], measured: Path, tables: Path) -> list[Path]:
    """Write all that is committed of these tables; returns the paths."""
    from bench.command import tables as contents

    def make() -> list[Path]:
        material = contents.Material(finished_runs(measured), measured, measured, {})
        return [path for page in contents.pages(names, material) for path in put(page, tables)]

    return without_damaged(make)


def present(tables: Path) -> set[tuple[str, int, int]]:
    """The pages in a folder, each as it is now: one that is written anew is another."""
    return {(path.name, path.stat().st_ino, path.stat().st_mtime_ns) for path in tables.glob("*.md")}


def write_report(results: Path, tables: Path) -> Path:
    """Write report.html from all that is finished, of whichever table; returns its path."""
    from bench.command import tables as contents
    from bench.report.render import html

    def make() -> None:
        finished, logs = plan.load(results, MEASURED), plan.all_unfinished_logs(results)
        pages = contents.pages(studies.TABLES, contents.Material(finished, MEASURED, results, logs))
        write_text(tables / "report.html", html.render(pages, drawn_before(pages, tables, ROOT / "tables")))

    without_damaged(make)
    return tables / "report.html"


def drawn_before(pages: Iterable[Page], *folders: Path) -> dict[str, Path]:
    """Picture -> its file, where the page beside it says what this one says: to draw them all takes longer than the rest.

    `put` writes a page after its figures, and `--check` holds those that are committed.
    """
    from bench.report.page import Picture
    from bench.report.render import markdown

    found: dict[str, Path] = {}
    for page in pages:
        pictures = [part for part in page.figures if isinstance(part, Picture)]
        text = markdown.render(page).encode() if pictures else b""
        for folder in folders:
            written = folder / f"{page.name}.md"
            if pictures and written.is_file() and written.read_bytes() == text:
                files = {picture.name: folder / "figures" / f"{picture.name}.svg" for picture in pictures}
                found |= {name: file for name, file in files.items() if file.exists()}
                break
    return found


def documents(measured: Path) -> dict[Path, str]:
    """Documents outside of tables/ of which a part is generated, with the text that they should have.

    Raises UserError where one has lost the markers of its part.
    """
    from bench.report.documents import readme, reproduce
    from bench.report.render.markdown import with_part

    finished, documents = finished_runs(measured), dict[Path, str]()
    for document, name, render in ((README, "numbers", readme.render), (GUIDE, "cost", reproduce.render)):
        try:
            documents[document] = with_part(document.read_text(), name, render(finished))
        except UserError as error:
            raise UserError(f"{document}: {error}") from None
    return documents


def shown_by(spec: Spec) -> list[str]:
    """The tables on whose pages a run stands, or what is done with its net."""
    if isinstance(spec, Extension):
        return ["constructed_solution"]
    if isinstance(spec, SurfacePart):
        return ["loss_surface"]
    if isinstance(spec, Responses):
        return ["layer_responses"]
    if isinstance(spec, GradientRun):
        return ["gradients"]
    if not isinstance(spec, RunSpec):
        return []
    named = ["cifar_depth"] if spec.arch.family == "cifar" else []
    return named + [name for name, study in studies.imagenet.STUDIES.items() if spec.arch in study.archs]

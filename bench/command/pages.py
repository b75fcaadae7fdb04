"""Pages and figures as files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.files import write_bytes, write_text
from bench.runs.provenance import ROOT

if TYPE_CHECKING:
    from bench.report.page import Page

MEASURED = ROOT / "tables" / "measured"


def put(page: Page, tables: Path) -> list[Path]:
    """Write a page, its values and its figures; returns their paths."""
    from bench.report.figures import drawing
    from bench.report.render import csv, markdown

    text, values = markdown.render(page), csv.render([page])
    drawn = {
        path: data
        for part in page.figures
        for path, data in drawing.save(part.draw(), tables / "figures" / part.name, source=source(page)).items()
    }
    for path, data in drawn.items():
        write_bytes(path, data)
    write_text(tables / f"{page.name}.csv", values)
    write_text(tables / f"{page.name}.md", text)  # last: whatever is damaged has been found by now
    return [tables / f"{page.name}.md", tables / f"{page.name}.csv", *drawn]


IMAGES = {"cifar10": "CIFAR-10", "imagenet": "ImageNet", "digits": "handwritten digits (scikit-learn)"}


def source(page: Page) -> str:
    """What stands in each figure: the data sets, and the page that it is from."""
    names = dict.fromkeys(value.dataset for value in page.values if value.dataset)
    return "; ".join([*(IMAGES.get(name, name) for name in names), f"resnet-bench, tables/{page.name}.md"])


def show(page: Page, tables: Path, text: str) -> None:
    """Write a page and print what of it fits a terminal."""
    written = put(page, tables)
    print(text)
    print("wrote " + ", ".join(map(str, written)))


def present(tables: Path) -> set[tuple[str, int, int]]:
    """The pages in a folder, each as it is now: one that is rewritten is another."""
    return {(path.name, path.stat().st_ino, path.stat().st_mtime_ns) for path in tables.glob("*.md")}


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

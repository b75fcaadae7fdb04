"""All pages as one file that opens without a server or a network: tables, curves, and a manifest behind each cell."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from bench.errors import UserError
from bench.report.figures import interactive
from bench.report.figures.chart import Style
from bench.report.page import Figure, Manifest, Page, Patch, Picture, Table
from bench.report.render.markdown import Footnotes
from bench.verdicts.numbers import Word

TEMPLATES = Path(__file__).parent / "templates"
PATCHES = 20
PATCH_CHARACTERS = 50_000
"""The file stays under 5 MB: more patches than these, and longer ones, are only named. Runs keep theirs whole."""


def render(pages: Sequence[Page], drawn: Mapping[str, Path] | None = None) -> str:
    """The report. `drawn`: name of a picture -> the SVG in which it is drawn already; the others are drawn.

    Raises UserError where the records of a run are damaged.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    markdown = _Markdown({page.name for page in pages})
    environment.filters.update(md=markdown.blocks, line=markdown.line, slug=slug, kind=lambda part: type(part).__name__)
    return environment.get_template("report.html").render(
        pages=pages,
        book=Book(),
        words=get_args(Word),
        tally=tally,
        charts=charts,
        embedded=lambda picture: embedded(picture, (drawn or {}).get(picture.name)),
        library=_trusted(interactive.library()),
        style=_trusted((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=_trusted((TEMPLATES / "report.js").read_text(encoding="utf-8")),
    )


@dataclass
class Book:
    """What is told once and asked for in several places."""

    manifests: list[Manifest] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)

    def manifest(self, manifest: Manifest) -> str:
        """The id under which a manifest stands."""
        if manifest not in self.manifests:
            self.manifests.append(manifest)
        return f"m{self.manifests.index(manifest)}"

    def patch(self, patch: Patch) -> str:
        """The id under which a patch stands, whoever has it."""
        texts = [known.text for known in self.patches]
        if patch.text not in texts:
            self.patches.append(patch)
            texts.append(patch.text)
        return f"p{texts.index(patch.text)}"

    def shown(self, patch: Patch) -> str:
        """As much of a patch as the file has room for."""
        if self.patches.index(patch) >= PATCHES:
            return "One of too many to show; provenance.json in the folder of the run has it."
        rest = len(patch.text) - PATCH_CHARACTERS
        more = f"\n... and {rest:,} characters more: provenance.json in the folder of the run has all."
        return patch.text[:PATCH_CHARACTERS] + (more if rest > 0 else "")

    def notes(self) -> Notes:
        """Footnotes of a new page."""
        return Notes()


@dataclass
class Notes(Footnotes):
    """Footnotes of a page, by number."""

    told: set[str] = field(default_factory=set)

    def number(self, text: str) -> int:
        self.mark(text)
        return self.texts.index(text) + 1

    def of(self, table: Table) -> list[tuple[int, str]]:
        """The notes that a table is the first to have, in order."""
        texts = {cell.note for row in table.rows for cell in row if cell.note} - self.told
        self.told |= texts
        return sorted((self.number(text), text) for text in texts)


def tally(page: Page) -> dict[str, int]:
    """How often each verdict is given on a page. Claims have words of their own, and a verdict's colours alone."""
    given = [cell.word for table in page.tables for row in table.rows for cell in row if cell.text == cell.word]
    return {word: given.count(word) for word in get_args(Word) if word in given}


def slug(text: str) -> str:
    """A text as an id, or as a class."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def charts(figure: Figure) -> dict[str, Any]:
    """What the template needs of a figure."""
    chart = figure.draw()
    return {
        "heading": chart.heading,
        "panels": interactive.values(chart),
        "square": all(panel.identity for panel in chart.panels),
        "nets": chart.nets,
        "kinds": {kind: _sample(style) for kind, style in chart.kinds.items()},
    }


def embedded(picture: Picture, file: Path | None) -> dict[str, Any]:
    """What the template needs of a picture, read from a file if there is one: an address that holds it, and its shape."""
    from base64 import b64encode

    if file:
        svg = file.read_bytes()
    else:
        from bench.report.figures.drawing import save

        (svg,) = save(picture.draw(), Path(picture.name), ["svg"]).values()
    if not (size := re.search(rb'<svg [^>]*\bwidth="([0-9.]+)pt" height="([0-9.]+)pt"', svg)):
        raise UserError(f"{file} is no figure of this harness: remove it and give the same command again")
    wide, high = map(float, size.groups())
    return {"tall": high > 1.2 * wide, "address": f"data:image/svg+xml;base64,{b64encode(svg).decode()}"}


MARKS = {
    "circle": "●○", "square": "■□", "diamond": "◆◇", "triangle": "▲△", "inverted_triangle": "▼▽", "x": "××", "": "  ",
}  # fmt: skip
"""Marker -> filled, hollow."""


def _sample(style: Style) -> dict[str, Any]:
    """How a kind looks, beside its switch."""
    line = f"{style.width:.1f}px {style.dash} currentcolor"
    return {"mark": MARKS[style.marker][not style.filled].strip(), "line": line, "opacity": style.opacity}


def _trusted(text: str) -> Any:
    """Our own files and Bokeh's, which stand in the page as they are."""
    from markupsafe import Markup

    return Markup(text)


_SCROLL = '<div class="scroll" role="region" aria-label="table" tabindex="0">'


class _Markdown:
    """Markdown to HTML; what looks like HTML in it stays text. Tables scroll on a phone, as those of the template do."""

    def __init__(self, pages: Collection[str]) -> None:
        from markdown_it import MarkdownIt

        self.pages = pages
        self.parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        for rule, html in (("table_open", f"{_SCROLL}<table>"), ("table_close", "</table></div>")):
            self.parser.add_render_rule(rule, lambda *_, html=html: html)

    def blocks(self, text: str) -> Any:
        """Of whole paragraphs. Headings go one level down, under that of their page."""
        tokens = self.parser.parse(text)
        for token in tokens:
            if token.type in ("heading_open", "heading_close"):
                token.tag = f"h{int(token.tag[1]) + 1}"
            if token.type == "th_open":
                token.attrSet("scope", "col")
            for each in token.children or ():
                name = str(each.attrGet("href") or "").removesuffix(".md")
                if each.type == "link_open" and name in self.pages:  # a page of this report
                    each.attrSet("href", f"#{slug(name)}")
        return _trusted(self.parser.renderer.render(tokens, self.parser.options, {}))

    def line(self, text: str) -> Any:
        """Of a text within a line."""
        return _trusted(self.parser.renderInline(text))

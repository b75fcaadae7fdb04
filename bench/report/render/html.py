"""All pages as one file that opens without a server or a network: tables, curves, and a manifest behind each cell."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.report.figures import interactive
from bench.report.figures.chart import Style
from bench.report.page import Cell, Figure, Manifest, Page, Patch, Picture, Table
from bench.report.render.layout import laid_out
from bench.report.render.markdown import Footnotes
from bench.report.render.report import Report, Runs

if TYPE_CHECKING:
    from markdown_it.token import Token

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = (
    "vendor/tablesort-5.6.0.min.js",
    "vendor/ufuzzy-1.0.19.min.js",
    "chart.js",
    "tables.js",
    "sheets.js",
    "runs.js",
    "search.js",
    "report.js",
)
"""In the order in which the browser runs them."""
PATCHES = 20
PATCH_CHARACTERS = 50_000
"""The file stays under 5 MB: more patches than these, and longer ones, are only named. Runs keep theirs whole."""


def render(report: Report, drawn: Mapping[str, Path] | None = None) -> str:
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
    ids = {id_ for chunk in report.runs.chunks for id_ in chunk}
    markdown = _Markdown({page.name for page in report.pages} | {line.name for line in report.missing}, ids)
    environment.filters.update(md=markdown.blocks, line=markdown.line, slug=slug, command=command)
    environment.filters.update(kind=lambda part: type(part).__name__)
    environment.globals.update(
        charts=charts,
        laid_out=laid_out,
        padding=padding,
        verdict_columns=verdict_columns,
        anchors=Anchors(),
        switch=switch,
        embedded=lambda picture: embedded(picture, (drawn or {}).get(picture.name)),
    )
    return environment.get_template("report.html").render(
        report=report,
        book=Book(),
        packed=packed,
        run_files=run_files(report.runs),
        run_pads=padding(_numbers(report.runs)),
        style=_file("report.css"),
        scripts=[_file(name) for name in SCRIPTS],
    )


def packed(value: Any) -> str:
    """A value as JSON, compressed, in base64: what the browser unpacks where it is asked for."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def run_files(runs: Runs) -> dict[str, Any]:
    """Id of a script element -> what it holds of the runs: a list of all, what several share, and the records in parts."""
    listed = [[group.title, *group.numbers, group.ids] for group in runs.groups]
    where = {id_: number for number, chunk in enumerate(runs.chunks) for id_ in chunk}
    chunks = {f"runs-{number}": chunk for number, chunk in enumerate(runs.chunks)}
    return {"runs-list": {"groups": listed, "chunk": where}, "runs-shared": runs.shared, **chunks}


def _numbers(runs: Runs) -> Table:
    """The groups of runs as a table."""
    rows = [[Cell(text) for text in (group.title, *group.numbers)] for group in runs.groups]
    return Table(("runs of", "runs", "test error, %"), rows, (1, 2))


NUMBER = re.compile(r"[<>~−+-]?[\d,]+")


def padding(table: Table) -> list[list[str]]:
    """What each cell lacks to the right for its decimal point to stand under the others of its column, by row and column.

    A browser shows it invisibly: `8.37` beside `8.75 ± 0.12` lacks ` ± 0.12`.
    """
    found = [[""] * len(row) for row in table.rows]
    for column in table.numeric:
        rests = {}
        for number, row in enumerate(table.rows):
            if column < len(row) and (match := NUMBER.match(row[column].text)):
                rests[number] = row[column].text[match.end() :]
        longest = max(rests.values(), key=len, default="")
        for number, rest in rests.items():
            found[number][column] = longest[len(rest) :]
    return found


def verdict_columns(table: Table) -> set[int]:
    """The columns that hold verdicts: they stay in sight where a table is wider than the window."""
    return {i for i, header in enumerate(table.headers) if header == "verdict"}


@dataclass
class Anchors:
    """Addresses of rows, each given once."""

    given: set[str] = field(default_factory=set)

    def of(self, page: str, headers: Sequence[str], cell: Cell) -> str:
        """The address of a row: the one that it has, or of a net's first row on a page; nothing for other rows."""
        address = cell.anchor or (f"{page}.{slug(cell.text)}" if headers[0] == "net" and page else "")
        if not address or address in self.given:
            return ""
        self.given.add(address)
        return address


SCHEDULES = {"": "paper's length", "short": "short runs", "smoke": "smoke runs"}


def switch(page: Page) -> str:
    """What the switch between the pages of a view calls a page."""
    parts = page.name.split(".")[1:]
    first = SCHEDULES.get(parts[0] if parts else "", "")
    return ", ".join([first, *parts[1:]] if first and parts else parts or [first])


@dataclass
class Book:
    """What is told once and asked for in several places."""

    manifests: list[Manifest] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    charts: set[str] = field(default_factory=set)

    def first(self, name: str) -> bool:
        """Whether a chart is shown for the first time: its values stand there, once."""
        known = name in self.charts
        self.charts.add(name)
        return not known

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
    """What the template needs of a picture, read from a file if there is one: the SVG, packed, and its shape."""
    if file:
        svg = file.read_bytes()
    else:
        from bench.report.figures.drawing import save

        (svg,) = save(picture.draw(), Path(picture.name), ["svg"]).values()
    if not (size := re.search(rb'<svg [^>]*\bwidth="([0-9.]+)pt" height="([0-9.]+)pt"', svg)):
        raise UserError(f"{file} is no figure of this harness: remove it and give the same command again")
    wide, high = map(float, size.groups())
    return {"tall": high > 1.2 * wide, "wide": round(wide), "high": round(high), "svg": packed(svg.decode())}


MARKS = {
    "circle": "●○", "square": "■□", "diamond": "◆◇", "triangle": "▲△", "inverted_triangle": "▼▽", "x": "××", "": "  ",
}  # fmt: skip
"""Marker -> filled, hollow."""


def _sample(style: Style) -> dict[str, Any]:
    """How a kind looks, beside its switch."""
    line = f"{style.width:.1f}px {style.dash} currentcolor"
    return {"mark": MARKS[style.marker][not style.filled].strip(), "line": line, "opacity": style.opacity}


def _trusted(text: str) -> Any:
    """Our own files, and those of others in templates/vendor, which stand in the page as they are."""
    from markupsafe import Markup

    return Markup(text)


def _file(name: str) -> Any:
    return _trusted((TEMPLATES / name).read_text(encoding="utf-8"))


_SCROLL = '<div class="scroll" role="region" aria-label="table">'


class _Markdown:
    """Markdown to HTML; what looks like HTML in it stays text. Pages and runs of the report become links within it."""

    def __init__(self, pages: Collection[str], runs: Collection[str]) -> None:
        from markdown_it import MarkdownIt

        self.pages, self.runs = pages, runs
        self.parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        for rule, html in (("table_open", f"{_SCROLL}<table>"), ("table_close", "</table></div>")):
            self.parser.add_render_rule(rule, lambda *_, html=html: html)
        self.parser.add_render_rule("code_inline", lambda _, tokens, at, *__: self._code(tokens[at].content))

    def _code(self, text: str) -> str:
        """Code within a line; the id of a run leads to it, and a command can be copied."""
        from markupsafe import escape

        if text in self.runs:
            return f'<a href="#run/{escape(text)}"><code>{escape(text)}</code></a>'
        return str(command(text)) if text.partition(" ")[0] in COMMANDS else f"<code>{escape(text)}</code>"

    def blocks(self, text: str) -> Any:
        """Of whole paragraphs."""
        return self._rendered(self.parser.parse(text))

    def line(self, text: str) -> Any:
        """Of a text within a line."""
        return self._rendered(self.parser.parseInline(text))

    def _rendered(self, tokens: list[Token]) -> Any:
        for token in tokens:
            if token.type == "th_open":
                token.attrSet("scope", "col")
            for each in token.children or ():
                name = str(each.attrGet("href") or "").removesuffix(".md")
                if each.type == "link_open" and name in self.pages:  # a page of this report
                    each.attrSet("href", f"#{name}")
        return _trusted(self.parser.renderer.render(tokens, self.parser.options, {}))


COMMANDS = ("python", "make")
"""First words of what can be copied."""


def command(text: str) -> Any:
    """A command that breaks between its words alone, and that a button copies."""
    from markupsafe import Markup

    words = Markup(" ").join(Markup("<span>{}</span>").format(word) for word in text.split(" "))
    return Markup('<code class="command">{}</code>').format(words)

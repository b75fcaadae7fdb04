"""What the docs say can be typed is typed at the real parser; links lead somewhere. Markdown is read by a Markdown parser."""

from __future__ import annotations

import ast
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import ROOT
from markdown_it import MarkdownIt
from markdown_it.token import Token
from test_architecture import ROOMS

from bench.command.options import FIELDS, Options
from bench.command.parse import parse
from bench.command.subcommands import COMMANDS as COMMANDS_OF_THE_PARSER
from bench.command.tables import TABLES
from bench.errors import UserError

PAGES = [
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "tables").glob("*.md"), *(ROOT / "docs").glob("**/*.md")]
    if ".smoke" not in path.name
]
COMMAND = "python bench/run.py"


def tokens(text: str) -> Iterator[Token]:
    """Every token of a page, those inside of paragraphs too."""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield token
        yield from token.children or ()


def commands(text: str) -> list[str]:
    """Lines of code blocks, and code within a sentence, that call the command."""
    found = []
    for token in tokens(text):
        if token.type in ("fence", "code_block"):
            found += [line for line in token.content.splitlines() if "bench/run.py" in line]
        elif token.type == "code_inline" and "bench/run.py " in token.content:
            found.append(token.content)
    return found


COMMANDS = [(path.name, command) for path in PAGES for command in commands(path.read_text())]


def words(line: str) -> list[str]:
    parts = shlex.split(line.split(" #")[0].removeprefix("$ "))
    return parts[parts.index("bench/run.py") + 1 :]


def understood(line: str) -> Options | None:
    """The options of a command line, after planning the runs that it asks for. Raises UserError."""
    if words(line) == ["--help"]:
        return None
    options = parse(words(line))
    for name in options.table:
        if not (name.startswith("imagenet") and (options.dataset == "imagefolder" or options.schedule == "smoke")):
            TABLES[name].plan(options)  # but for those that need the images, to count their classes
    return options


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_commands_in_the_docs_are_understood(page: str, line: str) -> None:
    understood(line)


def test_there_are_commands_and_wrong_ones_are_refused() -> None:
    by_page = Counter(page for page, _ in COMMANDS)
    assert by_page["README.md"] >= 3
    assert by_page["REPRODUCE.md"] >= 20
    guides = [path.name for path in PAGES if path.parent.name == "how-to"]
    assert all(by_page[name] for name in guides)
    assert sum(by_page[name] for name in guides) >= 40
    for wrong in ("--table cifar_dept", "--table cifar_depth --only 'vgg*'", "--table cifar_depth --set bn_groups=64"):
        (line,) = commands(f"A sentence with `{COMMAND} {wrong}` in it.")
        with pytest.raises(UserError):
            understood(line)
    assert commands(f"```sh\n{COMMAND} --tabel x  # words\n```\n\n    {COMMAND} --help\n") == [
        f"{COMMAND} --tabel x  # words",
        f"{COMMAND} --help",
    ]


def test_every_mention_of_the_command_is_seen() -> None:
    """No mention of it stands outside of code, where no test would read it."""
    for path in PAGES:
        text = re.sub(r"<!--.*?-->", "", path.read_text(), flags=re.DOTALL)
        seen = sum(command.count(COMMAND) for command in commands(text))
        assert text.count(f"{COMMAND} ") == seen, path.name


OTHERS = {"--against", "--seconds", "--minutes", "--dest"}
"""Options of other programs that the docs name."""


def test_options_that_the_docs_name_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    for page in ("--help", "--help-more", "--help-slurm", *COMMANDS_OF_THE_PARSER):
        with pytest.raises(SystemExit):
            parse([page] if page.startswith("-") else [page, "--help"])
    known = set(re.findall(r"--[a-z][\w-]*", capsys.readouterr().out)) | OTHERS
    known |= {field.name for field in FIELDS.values()}  # flags that became commands, which go on working
    assert len(known) > 30
    for path in PAGES:
        code = [t.content for t in tokens(path.read_text()) if t.type == "code_inline"]
        named = {option for text in code for option in re.findall(r"(?:^|\s)(--[a-z][\w-]*)", text)}
        assert named <= known, path.name


def test_the_makefile_has_the_targets_that_the_docs_name() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {target for page in PAGES for target in re.findall(r"(?:^|`)make ([\w-]+)", page.read_text(), re.MULTILINE)}
    assert {"demo", "test"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


class Targets(HTMLParser):
    """Where the HTML within a page leads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("href", "src")]


def targets(text: str) -> list[str]:
    """Every link and image of a page."""
    found: list[str] = []
    for token in tokens(text):
        if token.type in ("link_open", "image"):
            found.append(str(token.attrs.get("href", token.attrs.get("src", ""))))
        elif token.type in ("html_block", "html_inline"):
            html = Targets()
            html.feed(token.content)
            found += html.found
    return found


@cache
def anchors(path: Path) -> frozenset[str]:
    """The names that GitHub gives to the headings of a page: lower case, no punctuation, hyphens; a second one is `-1`."""
    found: Counter[str] = Counter()
    names = set()
    nodes = list(tokens(path.read_text()))
    for token, inside in pairwise(nodes):
        if token.type == "heading_open":
            text = "".join(t.content for t in inside.children or () if t.type in ("text", "code_inline"))
            name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            names.add(f"{name}-{found[name]}" if found[name] else name)
            found[name] += 1
    return frozenset(names)


def broken(page: Path, target: str) -> str | None:
    """What is wrong with a link; None where nothing is. Where it leads elsewhere only its form is looked at."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        place = parts.path if parts.scheme == "mailto" else parts.netloc
        fine = parts.scheme in ("https", "http", "mailto") and re.fullmatch(r"\S+\.\S+", place)
        return None if fine else "no address"
    to = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not to.exists():
        return "no such file"
    if not to.is_relative_to(ROOT):
        return "outside of the checkout"
    if parts.fragment and (to.suffix != ".md" or parts.fragment not in anchors(to)):
        return "no such heading"
    return None if target else "empty"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    faults = {target: fault for target in targets(page.read_text()) if (fault := broken(page, target))}
    assert faults == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](tables/cifar_depth.md)", None),
        ("[a](tables/nowhere.md)", "no such file"),
        ("![a](tables/figures/nowhere.png)", "no such file"),
        ("[a][b]\n\n[b]: tables/nowhere.md", "no such file"),
        ('<a href="nowhere.md">a</a>', "no such file"),
        ('<img src="tables/figures/nowhere.png">', "no such file"),
        ("[a](REPRODUCE.md#how-to-read-a-verdict)", None),
        ("[a](REPRODUCE.md#how-to-read-a-verdikt)", "no such heading"),
        ("[a](#non-goals)", None),
        ("[a](#goals)", "no such heading"),
        ("[a](../somewhere)", "no such file"),
        ("[a](..)", "outside of the checkout"),
        ("[a]()", "empty"),
        ("[a](https://arxiv.org/abs/1512.03385)", None),
        ("[a](https:/arxiv.org)", "no address"),
        ("[a](httpx://arxiv.org)", "no address"),
        ("`[a](nowhere.md)`", "no link"),
    ],
)
def test_a_link_that_leads_nowhere_is_seen(text: str, fault: str | None) -> None:
    found = targets(text)
    assert [broken(ROOT / "README.md", target) for target in found] == ([] if fault == "no link" else [fault])


OURS = re.compile(r"(?:bench|models|slurm|tests|docs|tables)/[\w./-]+")


def steps(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """Of each row of a table: the names of code in it, and the files of code."""
    row: list[str] = []
    for token in tokens(text):
        if token.type == "tr_open":
            row = []
        elif token.type == "code_inline":
            row.append(token.content)
        elif token.type == "tr_close":
            files = [code for code in row if OURS.fullmatch(code) and code.endswith(".py")]
            yield [code for code in row if re.fullmatch(r"[A-Za-z_][\w.]*", code)], files


@cache
def defined(file: str) -> frozenset[str]:
    """The functions, classes, methods and constants that a file defines."""
    found = set()
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(found)


def unknown(text: str) -> list[str]:
    """What a page names of the code and is not there: files anywhere in it, and names in the rows of its tables."""
    codes = [token.content for token in tokens(text) if token.type == "code_inline"]
    found = [code for code in codes if OURS.fullmatch(code) and not (ROOT / code).exists()]
    for names, files in steps(text):
        known = frozenset().union(*(defined(file) for file in files if (ROOT / file).exists()))
        found += [f"{name} of {', '.join(files)}" for name in names if files and name not in known | FILES_OF_A_RUN]
    return found


FILES_OF_A_RUN = {"result.json"}


def test_the_code_that_the_architecture_names_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert unknown(text) == []
    assert sum(bool(files) for _, files in steps(text)) > 40
    assert unknown("| `train` | `bench/training/loop.py` |\n|---|---|\n") == []
    wrong = "`bench/no.py`\n\n| a | b |\n|---|---|\n| `trains`, `train` | `bench/training/loop.py` |\n"
    assert unknown(wrong) == ["bench/no.py", "trains of bench/training/loop.py"]


def test_the_architecture_has_the_rooms_in_their_order() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = [match[1] for match in re.finditer(r"^\| `([\w/.]+)` \|", text.split("## Nouns")[0], re.MULTILINE)]
    assert [room.removesuffix(".py").replace("/", ".") for room in rooms] == [*ROOMS, "slurm"]

"""The docs read well: short sentences, in the field's words. What they show as output is output."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, quantiles

import pytest
from conftest import ROOT
from markdown_it import MarkdownIt

DOCS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
GUIDES = [ROOT / "README.md", ROOT / "REPRODUCE.md", *(p for p in DOCS if p.is_relative_to(ROOT / "docs"))]
MEAN, P90 = 16, 26
"""Words of a sentence: of all sentences of a page in the mean, and of nine in ten at most."""
OUT = {
    r"errs?|erred": "has a higher error",
    "anew": "again",
    r"(?:held|hold|holds) [\w ]*against": "compared with",
    "told": "reported",
    "said of": "of",
    "what is done with": "measurement",
    "elsewhere": "the place",
    "inside": "in",
    r"cannot be(?=[.;,:]|$)": "the allowed range",
}
"""Word or phrase that is ruled out -> what to write."""
RULED_OUT = re.compile(rf"\b(?:{'|'.join(OUT)})\b", re.IGNORECASE | re.MULTILINE)


def paragraphs(text: str) -> Iterator[str]:
    """The prose of a page: code, tables and headings left out; code within a sentence is a word."""
    heading = table = False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        heading = token.type == "heading_open" or (heading and token.type != "heading_close")
        table = token.type == "table_open" or (table and token.type != "table_close")
        if token.type == "inline" and not heading and not table:
            words = {"code_inline": "code", "softbreak": " "}
            parts = [words.get(part.type, part.content) for part in token.children or () if part.type != "image"]
            if text := "".join(parts).strip():
                yield text


def sentences(text: str) -> list[str]:
    """A sentence ends at . ! or ?, or where its paragraph ends."""
    found = (one for paragraph in paragraphs(text) for one in re.split(r"(?<=[.!?])[\"')*]*\s+", paragraph))
    return [one for one in found if re.search(r"\w", one)]


def lengths(text: str) -> list[int]:
    """The words of each sentence."""
    return [len(re.findall(r"\S*\w\S*", one)) for one in sentences(text)]


def test_sentences_are_found_and_counted() -> None:
    text = "# A heading\n\nOne two, `code of three` four. Is it 3.5 %?\n\n| a | b |\n|---|---|\n| c | d |\n\n- Six\n  words"
    assert sentences(f"{text}\n\n```sh\nmore words\n```\n") == ["One two, code four.", "Is it 3.5 %?", "Six words"]
    assert lengths(text) == [4, 3, 2]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_sentences_are_short(page: Path) -> None:
    words = lengths(page.read_text())
    mean, p90 = fmean(words), quantiles(words, n=10)[-1] if len(words) > 1 else words[0]
    longest = sorted(sentences(page.read_text()), key=lambda one: -len(one.split()))[:3]
    assert (mean <= MEAN, p90 <= P90) == (True, True), f"mean {mean:.1f}, p90 {p90:.1f} words; {longest}"


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_words_that_are_ruled_out_are_absent(page: Path) -> None:
    assert [found[0] for text in paragraphs(page.read_text()) for found in RULED_OUT.finditer(text)] == []


def test_words_that_are_ruled_out_are_seen() -> None:
    wrong = (
        "It errs, held it against one, told anew: it cannot be. Look inside, or elsewhere, said of what is done with it"
    )
    assert len(RULED_OUT.findall(wrong)) == len(OUT)
    assert RULED_OUT.findall("An error of a threshold is untold; it cannot be read") == []


def blocks(text: str, language: str) -> list[str]:
    """The blocks of code of that language."""
    return [token.content for token in MarkdownIt().parse(text) if token.type == "fence" and token.info == language]


@pytest.mark.parametrize("page", ["verdicts.md", "claims.md"])
def test_worked_examples_give_what_they_show(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    examples = blocks((ROOT / "docs" / "reference" / page).read_text(), "python")
    assert examples
    for number, example in enumerate(examples):
        test = doctest.DocTestParser().get_doctest(example, {}, f"{page} {number}", page, 0)
        said: list[str] = []
        assert doctest.DocTestRunner().run(test, out=said.append).failed == 0, "".join(said)


def shape(line: str) -> str:
    """An output without its numbers and hashes, which differ from machine to machine."""
    return re.sub(r"\s+", " ", re.sub(r"\d[\d.,]*", "#", re.sub(r"-s(\d+)-[0-9a-f]{8}", r"-s\1-HASH", line))).strip()


@pytest.mark.slow
def test_the_tutorial_shows_what_a_person_sees(tmp_path: Path) -> None:
    """Its commands are typed in their order, and each line of output that it shows is one of theirs."""
    typed, seen = [], []
    for token in MarkdownIt().parse((ROOT / "docs" / "tutorial.md").read_text()):
        if token.type != "fence" or re.search(r"git clone|bench/run.py report", token.content):
            continue  # the table that `report` prints is generated
        if token.info == "":
            shown = [shape(line) for line in token.content.splitlines()]
            if typed:
                output = {shape(line) for line in seen}
                assert [line for line in shown if line not in output] == [], "\n".join(seen)
        else:
            script = token.content.removeprefix("python bench/run.py ").split()
            command = [str(ROOT / "bench" / "run.py"), *script] if token.info == "sh" else ["-c", token.content]
            places = ["--results", "results", "--tables", "tables"] if token.info == "sh" else []
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(
                [sys.executable, *command, *places], cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            typed.append(token.content)
            seen = (done.stdout + done.stderr).splitlines()
    assert len(typed) == 3

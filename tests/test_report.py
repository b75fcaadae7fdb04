"""One table, three ways to read it: Markdown, a terminal, HTML (whose test in a browser is test_html.py)."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

from conftest import ROOT, Command

from bench.report import markdown, terminal
from bench.report.page import Cell, Page, Section, Table, cells, grid

ESCAPE = "\x1b["


def in_a_terminal(words: list[str], **environment: str) -> str:
    """What a process prints where standard output is a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    terminal = {"TERM": "xterm", "COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, stdout=theirs, env={**clean, **terminal, **environment})
    os.close(theirs)
    said = b""
    while True:
        try:
            some = os.read(ours, 1 << 16)
        except OSError:  # the end of a terminal, on Linux
            break
        if not some:
            break
        said += some
    os.close(ours)
    assert process.wait(60) == 0
    return said.decode()


TABLE = f"""
from pathlib import Path
from bench.report import complexity
print(complexity.render_terminal(complexity.load(Path({str(ROOT)!r}, "tables/measured/complexity.json"))))
"""
ALONE = [sys.executable, "-c", TABLE]


def test_a_terminal_gets_colour_and_a_pipe_plain_text(command: Command) -> None:
    report = ("--table", "complexity", "--report")
    plain, coloured = command(*report).stdout, in_a_terminal(command.arguments(*report))
    assert ESCAPE not in plain
    assert f"{ESCAPE}32mmatch" in coloured
    assert f"{ESCAPE}31mdiffers" in coloured
    rows = [line for line in plain.splitlines() if line.startswith("ResNet-152 B ")]
    assert [line.split()[1:] for line in rows] == [["B", "60,192,808", "11,282,415,616", "11.3e9", "match", "agrees"]]


def test_no_color_is_respected() -> None:
    assert f"{ESCAPE}32m" in in_a_terminal(ALONE)
    assert f"{ESCAPE}32m" not in in_a_terminal(ALONE, NO_COLOR="1")


def test_a_narrow_terminal_breaks_words_and_no_numbers() -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", in_a_terminal(ALONE, COLUMNS="40"))
    assert "138,357,544" in shown
    assert "15,470,264,320" in shown
    assert "…" not in shown


def test_words_without_a_colour_are_dim_and_all_are_printed() -> None:
    table = Table(["net", "verdict"], [cells("a", Cell("some new word", "some new word"))])
    assert terminal.render(table).splitlines()[-1].split() == ["a", "some", "new", "word"]


def test_footnotes_follow_the_table_that_has_them() -> None:
    first = Table(
        ["net", "verdict"], [cells("a", Cell("differs", note="why")), cells("b", Cell("differs", note="why"))]
    )
    second = Table(["net", "verdict"], [cells("c", Cell("differs", note="why")), cells("d", Cell("x", note="other"))])
    text = markdown.render(
        Page("name", "Title", [first, "", "Words.", second, Section("More", [grid([["1"]], ["n"])])])
    )
    blocks = text.split("\n\n")
    assert blocks[1] == "# Title"
    assert blocks[2].count("differs[^1]") == 2
    assert blocks[3:5] == ["[^1]: why", "Words."]
    assert "differs[^1]" in blocks[5]
    assert blocks[6:8] == ["[^2]: other", "**More**"]

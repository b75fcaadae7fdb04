"""What the docs say can be typed is typed at the real parser; links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT

from bench.errors import UserError
from bench.options import parse

PAGES = [
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "tables").glob("*.md"), *(ROOT / "docs").glob("*.md")]
    if ".smoke" not in path.name
]
COMMANDS = [
    (path.name, line)
    for path in PAGES
    for block in re.findall(r"```(?:sh|bash|console)?\n(.*?)```", path.read_text(), re.DOTALL)
    for line in block.splitlines()
    if "bench/run.py" in line
] + [
    (path.name, command)
    for path in PAGES
    for command in re.findall(r"`(python bench/run\.py [^`]+)`", path.read_text())
]


def words(line: str) -> list[str]:
    parts = shlex.split(line.split("#")[0].removeprefix("$ "))
    return parts[parts.index("bench/run.py") + 1 :]


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_commands_in_the_docs_are_understood(page: str, line: str) -> None:
    if words(line) != ["--help"]:
        parse(words(line))


def test_there_are_commands_and_a_wrong_one_is_refused() -> None:
    assert len(COMMANDS) >= 5
    with pytest.raises(UserError):
        parse(words("python bench/run.py --table cifar_dept"))


def test_the_makefile_has_the_targets_that_the_docs_name() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {target for page in PAGES for target in re.findall(r"(?:^|`)make ([\w-]+)", page.read_text(), re.MULTILINE)}
    assert {"demo", "test"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target

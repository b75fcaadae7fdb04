"""Committed pages, as a reader of tables/ meets them: the answer first, few columns, links to what else was measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT

from bench.command.tables import TABLES
from bench.report.documents import index, siblings, views
from bench.report.page import Cell, Page, Section, Table, cells
from bench.report.render import markdown
from bench.report.render.layout import DETAILS, MOST, NOT_MEASURED, laid_out

FOLDER = ROOT / "tables"
PAGES = sorted(
    path.stem for path in FOLDER.glob("*.md") if not re.search(r"\.smoke|=", path.name) and path.stem != index.NAME
)


def tables_of(text: str) -> list[list[list[str]]]:
    """The tables of a page, each as rows of cells, the headers first."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        found.append([rows[0], *rows[2:]])
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_begins_with_what_is_measured_and_names_its_siblings(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text()
    headers, *rows = tables_of(text)[0]
    assert len(headers) <= MOST
    missing = ["missing" in row for row in rows]
    assert all(missing) or not any(missing)
    if any(missing):
        assert re.search(r"Nothing is measured yet. Run `python bench/run.py --table \w+[^`]*`", text)
    (also,) = re.findall(r"^Also measured: (.*)$", text, re.M)
    linked = re.findall(r"\]\((\S+)\.md\)", also)
    assert {*linked} - {index.NAME} <= {*PAGES} - {name}
    assert index.NAME in linked
    of_its_table = {
        other for other in PAGES if other != name and views.table_of(other_page(other)) == name.split(".")[0]
    }
    assert {other for other in of_its_table if "Nothing is measured yet" not in read(other)} <= {*linked}
    title = text.splitlines()[2]
    assert "sixteenth" not in title
    assert "paper's iterations" not in title
    if name.endswith(".short"):
        assert re.search(r"\b1/\d+ of the schedule", title)


def read(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text()


def other_page(name: str) -> Page:
    return Page(name, name, [])


def test_the_index_names_every_page() -> None:
    linked = re.findall(r"\]\((\S+)\.md\)", (FOLDER / f"{index.NAME}.md").read_text())
    assert sorted(linked) == PAGES


def test_siblings_and_questions_are_of_tables() -> None:
    assert {name for group in siblings.GROUPS for name in group} <= {*TABLES}
    assert {name for tables in views.QUESTIONS.values() for name in tables} <= {*TABLES}


def wide(*rows: tuple[str, str], command: str = "python bench/run.py --table t") -> Page:
    """A page with a table of ten columns; a row is a net and its error."""
    headers = ["net", "verdict", "error", "empty", *(f"c{i}" for i in range(5)), "paper"]
    lines = [
        cells(net, Cell(error if error == "missing" else "match", "missing" if error == "missing" else "match"), error)
        + cells("", *(["x" if error != "missing" else ""] * 5), Cell("9.9"))
        for net, error in rows
    ]
    table = Table(headers, lines, (2, 9), (), (0, 9, 2, 1), (0,), command)
    return Page("t", "T", ["Words.", table, "After it.", Section("Claims", ["..."])])


def test_a_wide_table_is_divided_and_loses_nothing() -> None:
    parts = laid_out(wide(("a", "8.1"), ("b", "missing"), ("c", "8.3"), ("d", "missing")).parts)
    words, first, line, after, details, missing, _claims = parts
    assert isinstance(first, Table)
    assert isinstance(details, Section)
    assert isinstance(missing, Section)
    assert [*first.headers] == ["net", "paper", "error", "verdict"]
    assert [[cell.text for cell in row] for row in first.rows] == [
        ["a", "9.9", "8.1", "match"],
        ["c", "9.9", "8.3", "match"],
    ]
    assert [*first.numeric] == [1, 2]
    assert line == "Not measured: b, d. Run `python bench/run.py --table t`, or one row with `--only`."
    assert [details.heading, missing.heading] == [DETAILS, NOT_MEASURED]
    (rest,), (rows,) = details.parts, missing.parts
    assert isinstance(rest, Table)
    assert isinstance(rows, Table)
    assert [*rest.headers] == ["net", *(f"c{i}" for i in range(5))]
    assert [[cell.text for cell in row] for row in rows.rows] == [[net, "missing", "missing", "9.9"] for net in "bd"]
    assert (words, after) == ("Words.", "After it.")


def test_a_table_without_any_result_keeps_its_rows_and_one_with_all_has_no_command() -> None:
    empty = markdown.render(wide(("a", "missing")))
    assert "Nothing is measured yet. Run `python bench/run.py --table t`" in empty
    assert tables_of(empty)[0] == [["net", "paper", "error", "verdict"], ["a", "9.9", "missing", "missing"]]
    full = markdown.render(wide(("a", "8.1"), command=""))
    assert "Run `" not in full


def test_a_sweep_does_not_fill_a_page_with_links(tmp_path: Path) -> None:
    found = siblings.line(other_page("cifar_depth"), [other_page(f"cifar_depth.lr={i}") for i in range(40)])
    assert found.count("](cifar_depth.lr=") == siblings.MOST
    assert f"{40 - siblings.MOST} more" in found

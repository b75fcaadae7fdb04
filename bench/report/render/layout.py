"""How a page lays out its tables in Markdown and HTML: what is measured first, in a few columns; the rest below."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from bench.report.page import Cell, Part, Section, Table

MOST = 8
"""Columns of the first table of a page."""
NAMED = 12
"""Rows without result that the line names: the nets of Table 6. All stand below."""
MISSING = "missing"
"""Text and word of a cell without result."""
DETAILS, NOT_MEASURED = "Details", "Not measured"


def laid_out(parts: Sequence[Part]) -> list[Part]:
    """The parts of a page, with each table divided.

    Where it stood: the rows that have a result, in the table's first columns, then the names of the others in one line with
    the command that runs them. Before the next table, section or heading: the other columns, and the other rows.
    """
    found: list[Part] = []
    later: list[Part] = []
    for part in parts:
        if isinstance(part, Section | Table) or (isinstance(part, str) and part.startswith("#")):
            found += later
            later = []
        if isinstance(part, Table):
            first, later = _divided(part)
            found += first
        else:
            found.append(part)
    return [*found, *later]


def _divided(table: Table) -> tuple[list[Part], list[Part]]:
    """What stands where the table stood, and what follows later."""
    if not table.first and not table.command:
        return [table], []
    every = range(len(table.headers))
    missing = [row for row in table.rows if table.command and is_missing(row)]
    measured = [row for row in table.rows if not any(row is other for other in missing)]
    rows, columns = measured or table.rows, table.first or every
    first: list[Part] = [_part(table, columns, rows), _line(table, missing, bool(measured))]
    rest = [i for i in every if i not in columns and _told(i, rows)]
    later: list[Part] = []
    if rest:
        keys = [i for i in table.keys if i in columns]
        later.append(Section(DETAILS, [_part(table, [*keys, *rest], rows)]))
    if missing and measured:
        later.append(Section(NOT_MEASURED, [_part(table, every, missing)]))
    return first, later


def is_missing(row: Sequence[Cell]) -> bool:
    """Whether a row has no result: a cell says so, and no cell has another verdict."""
    return any(cell.text == MISSING for cell in row) and {cell.word for cell in row} <= {"", MISSING}


def _told(column: int, rows: Collection[Sequence[Cell]]) -> bool:
    return any(row[column].text for row in rows)


def _part(table: Table, columns: Sequence[int], rows: Sequence[Sequence[Cell]]) -> Table:
    """These columns of these rows, without columns that are empty."""
    shown = [i for i in columns if _told(i, rows)]
    return replace(
        table,
        headers=[table.headers[i] for i in shown],
        rows=[[row[i] for i in shown] for row in rows],
        numeric=[new for new, old in enumerate(shown) if old in table.numeric],
        narrow=(),
        first=(),
    )


def _line(table: Table, missing: Sequence[Sequence[Cell]], measured: bool) -> str:
    """`Not measured: plain-32, plain-44. Run ...`; nothing where nothing lacks."""
    if not table.command:
        return ""
    names = [", ".join(filter(None, (row[i].text for i in table.keys))) for row in missing]
    between = "; " if any("," in name for name in names) else ", "
    more = f"{between}{len(names) - NAMED} more" if len(names) > NAMED else ""
    said = f"Not measured: {between.join(names[:NAMED])}{more}" if missing else "Some of it is not measured"
    return f"{said if measured else 'Nothing is measured yet'}. Run `{table.command}`, or one row with `--only`."

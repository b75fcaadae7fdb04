"""A table in a terminal: in colour where it is one, plain text where it is a pipe or a file."""

from __future__ import annotations

import io
import sys

from bench.report.page import Cell, Table

COLOURS = {
    "match": "green",
    "consistent": "green",
    "better": "cyan",
    "worse": "red",
    "differs": "red",
    "undecided": "yellow",
}
"""Of verdicts. The words stand there too; others, such as `missing`, are dim."""
WIDE = 1000


def render(table: Table) -> str:
    """The columns that fit a terminal. NO_COLOR and a dumb terminal are respected; a pipe gets whole lines."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = table.narrow or range(len(table.headers))
    grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for i in shown:
        texts = [table.headers[i], *(_plain(cells[i]) for cells in table.rows)]
        width = max(len(word) for text in texts for word in ["", *text.split()])  # between words lines break
        grid.add_column(Text(table.headers[i]), justify="right" if i in table.numeric else "left", min_width=width)
    for cells in table.rows:
        colours = [COLOURS.get(cell.word, "dim") if cell.word else "" for cell in cells]
        grid.add_row(*(Text(_plain(cells[i]), style=colours[i]) for i in shown))
    said, terminal = io.StringIO(), sys.stdout.isatty()
    Console(file=said, force_terminal=terminal or None, width=None if terminal else WIDE).print(grid, crop=False)
    text = said.getvalue() if terminal else said.getvalue().replace("─", "-")
    return "\n".join(line.rstrip() for line in text.splitlines())


def _plain(cell: Cell) -> str:
    """The text without Markdown's marks of code."""
    return cell.text.replace("`", "")

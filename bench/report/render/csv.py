"""The values behind pages as tidy CSV: one value a line, the same columns in every file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import fields

from bench.report.page import Page, Value

COLUMNS = ("table", *(field.name for field in fields(Value)))
DIGITS = 12
"""Significant digits of a number: a double has 16, and the last ones depend on the processor."""


def render(pages: Iterable[Page]) -> str:
    """The text of a CSV file (RFC 4180, but for lines that end with a line feed), with a line of column names first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for page in pages:
        writer.writerows((page.name, *(_text(getattr(value, name)) for name in COLUMNS[1:])) for value in page.values)
    return text.getvalue()


def _text(value: str | float | None) -> str:
    return "" if value is None else f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)

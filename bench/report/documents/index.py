"""tables/README.md: every page by the question that it answers, with what it has measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bench.report.documents.views import OTHERS, QUESTIONS, is_empty, table_of, unfilled
from bench.report.page import Page, Part, grid

NAME = "README"
HEADERS = ["page", "measured", "verdicts", "values"]


def page(pages: Iterable[Page]) -> Page:
    """The index of these pages."""
    made = list(pages)
    named = {table for tables in QUESTIONS.values() for table in tables}
    parts: list[Part] = [
        "Each page has its values beside it as CSV, one value a line, not rounded. Figures are in [figures](figures). "
        "`python bench/run.py publish --table all` writes all of it from [measured](measured) and [published](published)."
    ]
    for title, tables in QUESTIONS.items():
        shown = [each for table in tables for each in made if table_of(each) == table]
        parts += [f"## {title}", grid([_row(each) for each in shown], HEADERS)] if shown else []
    if others := [each for each in made if table_of(each) not in named]:
        parts += [f"## {OTHERS}", grid([_row(each) for each in others], HEADERS)]
    return Page(NAME, "Tables and figures", parts)


def _row(each: Page) -> list[str]:
    lacking, rows = unfilled(each)
    rows = rows if lacking else sum(len(table.rows) for table in each.tables)
    measured = "nothing yet" if is_empty(each) else f"{rows - lacking} of {rows} rows" if lacking else f"{rows} rows"
    words = Counter(cell.text for table in each.tables for row in table.rows for cell in row if cell.word)
    verdicts = ", ".join(f"{count} {word}" for word, count in words.items() if word != "missing")
    return [f"[{each.title}]({each.name}.md)", measured, verdicts, f"[CSV]({each.name}.csv)"]

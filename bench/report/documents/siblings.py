"""Which pages a page names as measured too: its table at other settings, and tables of the same nets or the same subject."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report.documents.views import is_empty, table_of
from bench.report.page import Page

GROUPS: tuple[tuple[str, ...], ...] = (
    (
        "cifar_depth", "warmup", "layer_responses", "gradients", "loss_surface", "constructed_solution", "complexity",
        "third_party",
    ),
    ("imagenet_plain_vs_residual", "imagenet_shortcuts", "imagenet_multiscale", "complexity", "third_party"),
    ("throughput", "loading", "harness"),
    ("claims", "calibration", "third_party"),
)  # fmt: skip
"""Tables of the same nets, and tables on the same subject."""
OF_ALL = ("complexity", "third_party")
"""Tables with one page, which belongs to nets at whatever settings."""
MOST = 12
"""Links in a line: a sweep over a field of the recipe has a page for each value."""


def related(table: str) -> list[str]:
    """The tables of whose pages a page of this one may name some, its own first."""
    return list(dict.fromkeys([table, *(name for group in GROUPS if table in group for name in group)]))


def line(page: Page, pages: Iterable[Page]) -> str:
    """Links to those of the pages that have measurements: of the same table, and of related tables at the same settings.

    `pages`: those of `related` tables.
    """
    table, settings = table_of(page), _settings(page)
    near = [
        other
        for other in pages
        if (table_of(other) in (table, *OF_ALL) or _settings(other) == settings) and other.name != page.name
    ]
    found = [f"[{other.title}]({other.name}.md)" for other in near if not is_empty(other)]
    more = f"; {len(found) - MOST} more" if len(found) > MOST else ""
    return (
        f"Also measured: {'; '.join(found[:MOST])}{more}. [All pages](README.md)."
        if found
        else "[All pages](README.md)."
    )


def _settings(page: Page) -> str:
    """What separates a page from others of its table: `short` of `cifar_depth.short`."""
    return page.name.partition(".")[2]

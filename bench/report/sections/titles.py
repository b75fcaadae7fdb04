"""What pages of tables that look inside CIFAR nets have in common."""

from __future__ import annotations

from bench.report.page import Section
from bench.report.sections.runs import NOT_THEIRS
from bench.studies.variant import Variant

SEEDS = "± is the standard deviation over seeds (n-1)"


def titled(words: str, variant: Variant) -> str:
    """A title that says what separates a page from that of the paper's runs."""
    words += {"paper": "", "short": ", 1/16 of the schedule", "smoke": ", the smoke schedule"}[variant.schedule]
    words += f" on {variant.dataset}" if variant.dataset != "cifar10" else ""
    changed = [f"`selection={variant.selection}`"] if variant.selection != "all" else []
    return ", ".join([words, *changed, *(f"`{name}={value}`" for name, value in variant.changes)])


def not_theirs(variant: Variant) -> str:
    """What a reader of runs that are not the paper's must know first."""
    return "" if variant.comparable else NOT_THEIRS


def measured(*lines: str) -> Section:
    """What the columns are."""
    return Section("What is measured", ["\n".join(f"- {line}" for line in lines)])

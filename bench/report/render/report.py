"""What report.html shows, before it is HTML: the answer, views by question, what is not measured, and the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.report.page import Figure, Page, Table


@dataclass(frozen=True)
class Claimed:
    """A claim of the paper on the scoreboard."""

    id: str
    meaning: str
    address: str
    """Of its evidence in the report, without the `#`."""


@dataclass(frozen=True)
class Score:
    """The claims that were judged on runs of one length, by verdict."""

    title: str
    claims: Mapping[str, Sequence[Claimed]]
    """Verdict -> its claims; every verdict is there."""


@dataclass(frozen=True)
class Missing:
    """A page with rows that no run fills, and the command that fills them."""

    name: str
    """Of the page."""
    title: str
    what: str
    """`10 of 12 rows`, or `all 4 rows`."""
    command: str
    page: bool
    """Whether the report shows the page: one without any measurement is a line alone."""


@dataclass(frozen=True)
class Answer:
    """Whether the paper reproduces, in one screen."""

    said: str
    """The answer in a few words."""
    facts: str
    """What it rests on, in Markdown."""
    table: Table
    figure: Figure | None
    scores: Sequence[Score]


@dataclass(frozen=True)
class View:
    """What the side bar has a line for: a table, one page for each schedule that has measurements."""

    name: str
    title: str
    pages: Sequence[Page]


@dataclass(frozen=True)
class Question:
    """A group of views."""

    title: str
    views: Sequence[View]


@dataclass(frozen=True)
class RunGroup:
    """Runs that differ in their seed alone."""

    title: str
    ids: Sequence[str]
    numbers: Sequence[str]
    """The number of runs, and the mean and spread of their error."""


@dataclass(frozen=True)
class Runs:
    """The runs behind the report: groups, and what is known of single runs, as JSON has it."""

    groups: Sequence[RunGroup] = ()
    shared: Sequence[Any] = ()
    """Specs and provenances that several runs have: a run names them by their place."""
    chunks: Sequence[Mapping[str, Any]] = ()
    """Run id -> its details, in parts that are unpacked one by one."""


@dataclass(frozen=True)
class Report:
    """All that report.html shows."""

    answer: Answer | None
    questions: Sequence[Question]
    missing: Sequence[Missing] = ()
    runs: Runs = field(default_factory=Runs)

    @property
    def pages(self) -> list[Page]:
        """Every page that is shown, in order."""
        return [page for question in self.questions for view in question.views for page in view.pages]

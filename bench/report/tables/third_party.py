"""The page of `--table third_party`: what other people's reproductions report, beside the paper, each with its protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.report.figures import points
from bench.report.figures.chart import Chart
from bench.report.page import Cell, Figure, Page, Part, Table, Value, cells
from bench.report.render import markdown, terminal
from bench.report.sections.runs import Found
from bench.report.sections.third_party import OTHER, SAME, depth_of, error_text, others
from bench.verdicts import published
from bench.verdicts.reported import Reported, load

HEADERS = ["net", "paper, %", "theirs, %", "who", "protocol", "protocol is", "other than in the paper", "note"]


def table(some: Sequence[Reported]) -> Table:
    """A line a number: the paper's beside it, and whether the two may be compared."""
    return Table(HEADERS, [_cells(number) for number in some], (1, 2), narrow=(0, 1, 2, 3, 5))


def _cells(number: Reported) -> tuple[Cell, ...]:
    paper = published.load().get(number.paper)
    printed = (paper.printed or f"{paper.number:.2f}") if paper else ""
    word = "" if not paper else OTHER if number.departs else SAME
    return cells(
        f"{number.net} {number.top}".strip(), printed, error_text(number), number.who, number.protocol, Cell(word, word),
        number.departs, number.note,
    )  # fmt: skip


def render_terminal(found: Found) -> str:
    """The columns that fit a terminal."""
    return terminal.render(table(_ordered()))


def render() -> str:
    """The page in Markdown."""
    return markdown.render(page())


def _ordered() -> list[Reported]:
    """CIFAR-10 first; plain nets before residual ones, from shallow to deep."""
    return sorted(load(), key=lambda n: (n.top != "", n.net.startswith("ResNet"), depth_of(n), n.top, n.error))


def page() -> Page:
    order = _ordered()
    return Page(
        "third_party",
        "Other people's reproductions",
        [
            "None of these numbers was measured here, and none gets a verdict. Each stands beside the number of the paper that "
            f"it answers. `{SAME}`: nothing is known to differ. `{OTHER}`: the last columns say what does, and a number that "
            "is lower for such a reason says nothing about the paper. Plain nets: the paper's number is read off Fig. 6.",
            "## CIFAR-10 (Table 6, Fig. 6)",
            Figure(
                "third_party",
                "Test error against depth, the paper's and other people's",
                "Test error on CIFAR-10. Hollow, with a dashed line: the paper's. Others stand apart by protocol.",
                lambda: Chart(points.against_depth([*of_paper()], others()).panels),
            ),
            table([number for number in order if not number.top]),
            "## ImageNet (Tables 2 and 3)",
            table([number for number in order if number.top]),
            *_sources(),
        ],
        [_value(number) for number in order],
    )


def _value(number: Reported) -> Value:
    """What somebody reports, beside the paper's number; it gets no verdict."""
    paper = published.load().get(number.paper)
    return Value(
        number.net,
        f"{number.top} error".strip() if number.top else "test error",
        "%",
        "; ".join(filter(None, (number.protocol, number.departs))),
        dataset="imagenet" if number.top else "cifar10",
        published=(paper.printed or paper.value) if paper else "",
        statistic=paper.statistic if paper else "",
        measured=number.error,
        spread=float(number.spread) if number.spread else None,
        difference=number.error - paper.number if paper else None,
        source=number.source,
    )


def pages(found: Found) -> Iterator[Page]:
    """The one page: it needs no run."""
    yield page()


def of_paper() -> list[points.Point]:
    """The paper's own test errors on CIFAR-10."""
    found = {number.paper: number for number in load() if not number.top}
    return [
        points.Point(
            number.net.split(",")[0],
            depth_of(number),
            number.net.startswith("ResNet"),
            None,
            points.Value(published.load()[paper].number),
        )
        for paper, number in found.items()
    ]


def _sources() -> list[Part]:
    """Where each stands, once."""
    sources = dict.fromkeys(number.source for number in load())
    return [
        "## Sources",
        "\n".join(f"- {source.replace(' : ', ': `', 1)}`" if " : " in source else f"- {source}" for source in sources),
    ]

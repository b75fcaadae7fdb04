"""The page of `--table complexity`, and the regression check of CI."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench.files import read_as, write_json
from bench.measure.counts.fvcore_count import Cost, image_side
from bench.report.figures import points
from bench.report.figures.chart import Chart
from bench.report.page import Cell, Figure, Manifest, Page, Part, Table, Value, behind, cells, grid
from bench.report.render import markdown, terminal
from bench.report.render.markdown import thousands
from bench.report.sections import claims as asked
from bench.report.sections import manifest, values
from bench.report.sections.runs import Found
from bench.studies.complexity import ARCHS, KNOWN_DIFFERENCES, PUBLISHED_FLOPS, PUBLISHED_PARAMETERS
from bench.verdicts import claims, published
from bench.verdicts.numbers import Verdict, judge_exact
from models.arch import Arch, parse_arch

FORMAT = 2

Made = dict[str, str]
"""What counted: commit, and package -> version."""


def save(path: Path, costs: dict[str, Cost], by: Made | None = None) -> None:
    """Keep counts, and what made them."""
    write_json(path, {"format": FORMAT, "made": by or {}, "nets": {name: asdict(cost) for name, cost in costs.items()}})


def load(path: Path) -> dict[str, Cost]:
    """The committed counts by net. Raises UserError where the file is missing, damaged or of another version."""
    return _read(path).nets


def made(path: Path) -> Made:
    """What made the committed counts. Raises UserError as `load` does."""
    return _read(path).made


@dataclass(frozen=True)
class Counted:
    """What complexity.json holds."""

    made: Made
    nets: dict[str, Cost]


def _read(path: Path) -> Counted:
    return read_as(Counted, path, FORMAT, "write it again with --table complexity --publish")


@dataclass(frozen=True)
class Row:
    arch: Arch
    cost: Cost
    flops: Verdict | None
    parameters: Verdict | None


def rows(costs: dict[str, Cost]) -> list[Row]:
    """One row a net, in the order of the study, with its verdicts."""
    return [
        Row(
            arch=arch,
            cost=cost,
            flops=_verdict(arch.name, PUBLISHED_FLOPS, cost.multiply_adds),
            parameters=_verdict(arch.name, PUBLISHED_PARAMETERS, cost.parameters),
        )
        for arch in ARCHS
        if (cost := costs.get(arch.name)) is not None
    ]


def _verdict(name: str, ids: dict[str, str], count: int) -> Verdict | None:
    return judge_exact(published.load()[ids[name]], count) if name in ids else None


def regressions(counted: dict[str, Cost], committed: dict[str, Cost]) -> list[str]:
    """What the check has to say: a line for each count that changed and each disagreement beyond the known ones."""
    lines = []
    for name in sorted(counted.keys() | committed.keys()):
        new, old = counted.get(name), committed.get(name)
        if new is None or old is None:
            lines.append(f"{name}: {'not counted any more' if new is None else 'not in the committed counts'}")
            continue
        for quantity in ("parameters", "multiply_adds", "conv_multiply_adds", "fvcore_total"):
            expected, found = getattr(old, quantity), getattr(new, quantity)
            if expected != found:
                lines.append(f"{name}: {quantity}: expected {expected:,}, found {found:,}")
        if not new.closed_form:
            lines.append(f"{name}: fvcore and the closed form disagree: found {_closed_form(name, new)}")
    for row in rows(counted):
        for quantity, verdict, ids in (
            ("multiply_adds", row.flops, PUBLISHED_FLOPS),
            ("parameters", row.parameters, PUBLISHED_PARAMETERS),
        ):
            if verdict and verdict.word != "match" and (row.arch.name, quantity) not in KNOWN_DIFFERENCES:
                number = published.load()[ids[row.arch.name]]
                lines.append(
                    f"{row.arch.name}: {quantity}: expected {number.printed} ({number.locator}), "
                    f"found {getattr(row.cost, quantity):,}"
                )
    return lines


def _closed_form(name: str, cost: Cost) -> str:
    from bench.measure.counts.closed_form import count

    other = count(parse_arch(name))
    return (
        f"{cost.parameters:,} and {other.parameters:,} parameters, "
        f"{cost.multiply_adds:,} and {other.multiply_adds:,} multiply-adds"
    )


HEADERS = [
    "net",
    "parameters",
    "paper",
    "verdict",
    "multiply-adds",
    "paper",
    "verdict",
    "convolutions alone",
    "fvcore total",
    "closed form",
]
NUMERIC = (1, 2, 4, 5, 7, 8)


def _cells(row: Row, by: Made) -> tuple[Cell, ...]:
    name, cost = row.arch.name, row.cost

    def of_paper(ids: dict[str, str]) -> Cell:
        number = published.load().get(ids.get(name, ""))
        return Cell(number.printed, manifest=manifest.of_paper(number, None)) if number else Cell("")

    def word(verdict: Verdict | None, quantity: str) -> str | Cell:
        return Cell(verdict.word, verdict.word, KNOWN_DIFFERENCES.get((name, quantity), "")) if verdict else ""

    found = cells(
        display(row.arch),
        thousands(cost.parameters),
        of_paper(PUBLISHED_PARAMETERS),
        word(row.parameters, "parameters"),
        thousands(cost.multiply_adds),
        of_paper(PUBLISHED_FLOPS),
        word(row.flops, "multiply_adds"),
        thousands(cost.conv_multiply_adds),
        thousands(cost.fvcore_total),
        "agrees" if cost.closed_form else "DISAGREES",
    )
    return behind(found, _manifest(row, by), [i for i, header in enumerate(HEADERS) if i and header != "paper"])


def _manifest(row: Row, by: Made) -> Manifest:
    """What stands behind the row: how it was counted, and by what."""
    cost, side = row.cost, image_side(row.arch)

    def parts() -> list[Part]:
        lines = [
            f"- {thousands(cost.parameters)} parameters, summed over the net's own tensors",
            f"- {thousands(cost.conv_multiply_adds)} multiply-adds of convolutions and "
            f"{thousands(cost.multiply_adds - cost.conv_multiply_adds)} of fully connected layers, counted by fvcore on a "
            f"forward pass of one image of {side}x{side}, in evaluation mode",
            f"- {thousands(cost.fvcore_total)} with all else that fvcore counts: batch norm and average pooling",
            f"- the closed form, written from the paper, {'agrees in all' if cost.closed_form else 'disagrees'}",
            f"- by {', '.join(f'{name} {version}' for name, version in by.items()) or 'what is not on record'}",
        ]
        return ["No run: these counts are exact.", manifest.anew(COMMAND), "\n".join(lines)]

    return Manifest(display(row.arch), parts)


COMMAND = "python bench/run.py --table complexity"


def display(arch: Arch) -> str:
    """`ResNet-34 B`; `ResNet-50 B, stride in 3x3`."""
    option = f" {arch.shortcut}" if arch.residual else ""
    return arch.label + option + (", stride in 3x3" if arch.stride_in == "3x3" else "")


def table(some: Sequence[Row], by: Made) -> Table:
    first = (*range(7), HEADERS.index("closed form"))
    return Table(HEADERS, [_cells(row, by) for row in some], NUMERIC, first, first)


def render_terminal(costs: dict[str, Cost]) -> str:
    return terminal.render(table(rows(costs), {}))


def render(costs: dict[str, Cost]) -> str:
    """The page in Markdown."""
    return markdown.render(page(costs))


def page(costs: dict[str, Cost], by: Made | None = None) -> Page:
    """The page; `by` is what made the counts."""
    counted = rows(costs)
    return Page(
        "complexity",
        "Parameters and multiply-adds",
        [
            "Counted by fvcore on a forward pass of one image, and a second time in closed form from the architecture alone. "
            "`match` means that the count rounds to the digits that the paper prints.",
            "## 224x224 (Table 1, Fig. 3, section 4.1)",
            table([row for row in counted if row.arch.family != "cifar"], by or {}),
            "## CIFAR-10, 32x32 (Table 6)",
            table([row for row in counted if row.arch.family == "cifar"], by or {}),
            _equal_cost(costs),
            Figure(
                "complexity.against",
                "Published against counted",
                "What the paper prints against what is counted; on the line they are the same.",
                lambda: _against(counted),
            ),
            *asked.section(claims.exact(costs), whole=True),
            *_conventions(costs),
        ],
        [value for row in counted for value in _values(row)],
    )


def _values(row: Row) -> list[Value]:
    """The counts of a net, those that the paper prints in its own unit too."""
    found = []
    for quantity, count, verdict, ids in (
        ("parameters", row.cost.parameters, row.parameters, PUBLISHED_PARAMETERS),
        ("multiply-adds", row.cost.multiply_adds, row.flops, PUBLISHED_FLOPS),
        ("multiply-adds, convolutions alone", row.cost.conv_multiply_adds, None, {}),
        ("fvcore total", row.cost.fvcore_total, None, {}),
    ):
        value = Value(display(row.arch), quantity, "1", measured=count)
        if verdict and verdict.difference is not None:
            number = published.load()[ids[row.arch.name]]
            scale = float(number.unit.split()[0])
            value = replace(values.judged(value, number, verdict), published=f"{number.number * scale:.12g}")
            value = replace(value, difference=verdict.difference * scale)
        found.append(value)
    return found


def _against(counted: Sequence[Row]) -> Chart:
    panels = []
    for title, name, unit, ids in (
        ("parameters", "parameters", 1e6, PUBLISHED_PARAMETERS),
        ("multiply-adds", "multiply_adds", 1e9, PUBLISHED_FLOPS),
    ):
        found = []
        for row in counted:
            verdict = row.parameters if name == "parameters" else row.flops
            if verdict:
                number = published.load()[ids[row.arch.name]]
                paper = points.Value(number.number * float(number.unit.split()[0]) / unit)
                ours = points.Value(getattr(row.cost, name) / unit)
                found.append(
                    points.Point(display(row.arch), row.arch.depth, row.arch.residual, ours, paper, verdict.word)
                )
        panels.append(points.against_published(title, f"{unit:.0e}".replace("e+0", "e"), found))
    return Chart(panels)


def _equal_cost(costs: dict[str, Cost]) -> str:
    """Section 3.3: under option A a residual net has its plain net's parameters and multiply-adds."""
    pairs = [
        (plain, residual)
        for arch in ARCHS
        if arch.shortcut == "A"
        and (residual := costs.get(arch.name))
        and (plain := costs.get(Arch(arch.family, arch.depth).name))
    ]
    equal = sum((a.parameters, a.multiply_adds) == (b.parameters, b.multiply_adds) for a, b in pairs)
    return (
        f"Plain and residual (option A) nets have the same parameters and multiply-adds in {equal} of {len(pairs)} pairs: "
        "the shortcut is free (section 3.3)."
    )


def _conventions(costs: dict[str, Cost]) -> list[Part]:
    """The three counts in circulation under the name of FLOPs, side by side."""
    lines = []
    for depth in (50, 101, 152):
        paper = costs.get(Arch("imagenet", depth, "B").name)
        later = costs.get(Arch("imagenet", depth, "B", "3x3").name)
        if paper and later:
            counts = (paper.multiply_adds, paper.fvcore_total, later.multiply_adds, later.fvcore_total)
            lines.append([f"ResNet-{depth}", *(f"{count / 1e9:.3f}" for count in counts)])
    headers = ["1e9", "paper: conv + fc", "with batch norm", "stride in 3x3", "stride in 3x3, with batch norm"]
    return [
        "## Three conventions in circulation",
        "The paper's FLOPs are multiply-adds of convolutions and fully connected layers (section 3.3). fvcore's total adds "
        "two operations an element for batch norm and one for average pooling. Later libraries move a bottleneck's stride "
        "from the first 1x1 to the 3x3 convolution (v1.5). Compare within a column only; a floating-point operation count "
        "is about twice any of them.",
        grid(lines, headers, (1, 2, 3, 4)),
    ]


def pages(found: Found) -> Iterator[Page]:
    """The page of what is committed; none where nothing is."""
    if (path := found.measured / "complexity.json").exists():
        yield page(load(path), made(path))

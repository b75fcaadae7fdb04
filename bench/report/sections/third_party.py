"""What other people's reproductions report, where pages refer to it."""

from __future__ import annotations

from bench.report.figures import points
from bench.report.page import Table, grid
from bench.verdicts.reported import Reported, load

SAME, OTHER = "same protocol", "another protocol"
WHERE = "What others report stands beside the paper's in [a table of its own](third_party.md), each with its protocol."


def beside(paper: str) -> Table | None:
    """What others report where the paper prints the number of that id; None where nobody does."""
    found = [number for number in load() if number.paper == paper]
    names = ["theirs, %", "who", "protocol", "other than in the paper", "note"]
    return grid([[error_text(n), n.who, n.protocol, n.departs, n.note] for n in found], names, (0,)) if found else None


def error_text(number: Reported) -> str:
    """`8.30 ± 0.16`, in percent."""
    return f"{number.error:.2f}" + (f" ± {number.spread}" if number.spread else "")


def depth_of(number: Reported) -> int:
    """Layers of the net."""
    return int(number.net.split()[0].rstrip(",").split("-")[1])


def others() -> list[points.Point]:
    """Other people's test errors on CIFAR-10; the verdict says whether the protocol is the paper's."""
    return [
        points.Point(
            f"{number.net}, {number.who}",
            depth_of(number),
            number.net.startswith("ResNet"),
            points.Value(number.error),
            None,
            OTHER if number.departs else SAME,
        )
        for number in load()
        if not number.top
    ]

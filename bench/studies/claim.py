"""What a claim is: a sentence of the paper in our own words, and what must hold of the runs of which nets.

Nothing here computes: `bench/verdicts/claims.py` judges. A claim of several steps holds where every step holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from bench.runs.spec import Schedule
from models.arch import Arch

Quantity = Literal[
    "test_error", "train_error", "train_error_full", "top1_10crop", "top5_10crop", "top1_multiscale", "top5_multiscale",
    "epochs_to_start", "epochs_to_55", "layer_response", "gradient_ratio", "signal_ratio",
]  # fmt: skip
"""What is compared; `bench/verdicts/quantities.py` says how a run gives it."""


@dataclass(frozen=True)
class Net:
    """A net of a study, with the fields of its recipe that the claim sets otherwise."""

    arch: Arch
    changes: tuple[tuple[str, str], ...] = ()
    """As `--set` takes them, sorted by field: (("warmup_lr", "none"),)."""
    words: str = ""
    """What the changes mean: `without warm-up`."""


@dataclass(frozen=True)
class Step:
    """One direction: the weighted sum of the nets' means, over seeds, lies on one side of a bound."""

    quantity: Quantity
    terms: tuple[tuple[int, Net], ...]
    side: Literal["above", "below"] = "above"
    bound: float | str = 0.0
    """A number, or the id of a published one."""


@dataclass(frozen=True)
class Comparison:
    """One exact relation between counts of two nets, or of a net and a published count; no chance in it."""

    quantity: Literal["parameters", "multiply_adds"]
    left: Arch
    relation: Literal["<", "="]
    right: Arch | str
    """A net, or the id of a published number."""


@dataclass(frozen=True)
class Claim:
    """One sentence of the paper. It holds where all of its steps hold."""

    id: str
    table: str
    """Holm's correction is over the claims of a table."""
    locator: str
    meaning: str
    """In our own words."""
    steps: tuple[Step, ...] | tuple[Comparison, ...]
    size: str | None = None
    """Id of the published size of the first step's sum. The direction is the claim; the size is said beside it."""
    only_at: Schedule | None = None
    """None: asked of every schedule that has runs."""
    remark: str = ""
    """How the sentence was read, where it can be read in more than one way."""

    @property
    def exact(self) -> bool:
        return isinstance(self.steps[0], Comparison)

    @property
    def tests(self) -> tuple[Step, ...]:
        """The steps of a claim over runs; none of an exact one."""
        return tuple(step for step in self.steps if isinstance(step, Step))

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The steps of an exact claim; none of one over runs."""
        return tuple(step for step in self.steps if isinstance(step, Comparison))

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        return tuple(dict.fromkeys(step.quantity for step in self.tests))

    @property
    def nets(self) -> tuple[Net, ...]:
        """The nets whose runs it needs: plain ones first, shallow ones first."""
        found = dict.fromkeys(net for step in self.tests for _, net in step.terms)
        return tuple(sorted(found, key=lambda net: (net.arch.residual, net.arch.depth, net.arch.name, net.changes)))


def less(quantity: Quantity, low: Net, high: Net) -> tuple[Step, ...]:
    """The mean of `low` is below that of `high`."""
    return (Step(quantity, ((1, high), (-1, low))),)


def increasing(quantity: Quantity, *nets: Net) -> tuple[Step, ...]:
    """Each net's mean is above the one before it."""
    return tuple(step for low, high in pairwise(nets) for step in less(quantity, low, high))


def below(quantity: Quantity, net: Net, bound: float | str) -> tuple[Step, ...]:
    return (Step(quantity, ((1, net),), "below", bound),)


def above(quantity: Quantity, net: Net, bound: float | str) -> tuple[Step, ...]:
    return (Step(quantity, ((1, net),), "above", bound),)


def not_above(quantity: Quantity, net: Net, other: Net, within: float) -> tuple[Step, ...]:
    """The mean of `net` is no more than `within` above that of `other`."""
    return (Step(quantity, ((1, net), (-1, other)), "below", within),)


def alike(quantity: Quantity, a: Net, b: Net, within: float) -> tuple[Step, ...]:
    """The means differ by less than `within`: two one-sided tests."""
    return (Step(quantity, ((1, a), (-1, b)), "below", within), Step(quantity, ((1, a), (-1, b)), "above", -within))


def harms_more(quantity: Quantity, hurt: tuple[Net, Net], spared: tuple[Net, Net]) -> tuple[Step, ...]:
    """From the first to the second net, the mean rises by more in the pair `hurt` than in the pair `spared`."""
    return (Step(quantity, ((1, hurt[1]), (-1, hurt[0]), (-1, spared[1]), (1, spared[0]))),)

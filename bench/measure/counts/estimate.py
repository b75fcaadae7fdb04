"""What a run will cost, before it is sent: from runs that were measured, else from multiply-adds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.measure.counts.closed_form import count
from bench.runs.finished import FinishedRun
from bench.runs.spec import Precision, Spec

ASSUMED = {("cuda", "cifar"): 1e12, ("cuda", "imagenet"): 5e12, ("cpu", "cifar"): 2e10, ("cpu", "imagenet"): 2e10}
"""Multiply-adds a second where nothing was measured on such a device: an order of magnitude, no measurement."""

PASSES = 3
"""A training iteration computes forward, and twice as much backward."""


@dataclass(frozen=True)
class Estimate:
    """Hours of one run on one device, and where they come from."""

    hours: float
    source: str


class Estimator:
    """Estimates for one kind of device (`cuda` or `cpu`), from the finished runs on such devices."""

    def __init__(self, kind: str, finished: Iterable[FinishedRun]) -> None:
        self.kind = kind
        self.rates: dict[tuple[str, str, Precision], list[float]] = {}
        self.speeds: dict[tuple[str, Precision], dict[str, list[float]]] = {}  # by family: small nets fill no GPU
        for run in finished:
            facts = run.provenance
            device = facts["device"]
            if device["kind"] == kind and run.result.wall_seconds > 0 and run.result.iterations:
                beside = facts.get("packed", {}).get("runs", 1)  # it had only its part of the device
                rate = beside * run.result.iterations * run.spec.recipe.batch / run.result.wall_seconds
                arch, precision = run.spec.arch, run.spec.recipe.precision
                self.rates.setdefault((arch.name, run.spec.dataset, precision), []).append(rate)
                speeds = self.speeds.setdefault((arch.family, precision), {}).setdefault(device["name"], [])
                speeds.append(rate * PASSES * multiply_adds(run.spec))

    def __call__(self, spec: Spec) -> Estimate:
        images, precision = spec.images, spec.recipe.precision
        if rates := self.rates.get((spec.arch.name, spec.dataset, precision)):
            return Estimate(images / fmean(rates) / 3600, "measured on the same net")
        work = images * PASSES * multiply_adds(spec)
        for known in (precision, "fp32"):
            if of_family := self.speeds.get((spec.arch.family, known)):
                name, speeds = max(of_family.items(), key=lambda item: len(item[1]))
                aside = "" if known == precision else f", in {known}"
                return Estimate(
                    work / fmean(speeds) / 3600, f"by multiply-adds from other nets measured on {name}{aside}"
                )
        assumed = ASSUMED[self.kind, spec.arch.family]
        return Estimate(
            work / assumed / 3600, f"by multiply-adds, at an assumed {assumed:.0e} a second; nothing measured"
        )


def total(specs: Sequence[Spec], estimator: Estimator) -> Estimate:
    """Hours of all runs on one device, and where each estimate comes from."""
    found = [estimator(spec) for spec in specs]
    return Estimate(sum(each.hours for each in found), "; ".join(dict.fromkeys(each.source for each in found)))


def format_hours(hours: float) -> str:
    """`5.4 min`, `41.3 h`, `12,345 h`."""
    if hours < 1:
        return f"{hours * 60:.1f} min"
    return f"{hours:.1f} h" if hours < 1000 else f"{hours:,.0f} h"


def multiply_adds(spec: Spec) -> float:
    """Of one image forward; the digits have a sixteenth of CIFAR-10's pixels."""
    return count(spec.arch).multiply_adds / (16 if spec.dataset == "digits" else 1)

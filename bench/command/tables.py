"""The pages of every table, from all that is finished. A new table takes a function here and a line in PAGES."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from bench.measure.speed import records
from bench.report.page import Page
from bench.report.sections import gradient_rows
from bench.report.sections.runs import Found, with_left_out
from bench.report.tables import (
    calibration,
    cifar_depth,
    claims,
    complexity,
    constructed_solution,
    gradients,
    harness,
    imagenet,
    layer_responses,
    loading,
    loss_surface,
    third_party,
    throughput,
    warmup,
)
from bench.runs.finished import FinishedRun
from bench.runs.scores import evaluations
from bench.studies.imagenet import STUDIES
from bench.studies.variant import GRADIENTS_OF_PAPER, PAPER, ImageNetVariant, Variant


@dataclass(frozen=True)
class Material:
    """What pages are made of."""

    finished: dict[str, FinishedRun]
    measured: Path
    """tables/measured."""
    results: Path
    """Where more lies that is not published, or the same folder again."""
    logs: dict[str, str]
    """Run id -> path of its log, of runs that were started and have no result."""

    @cached_property
    def found(self) -> Found:
        """The same with what was done with the nets of runs."""
        return Found(self.finished, (self.results, self.measured))


def pages(names: Iterable[str], material: Material) -> list[Page]:
    """All pages of these tables, in order."""
    folders = {material.results, material.measured}
    return [
        page if name in WITHOUT_RUNS else with_left_out(page, *folders)
        for name in names
        for page in PAGES[name](material)
    ]


def _cifar_depth(material: Material) -> Iterator[Page]:
    specs = [run.spec for run in material.finished.values() if run.spec.arch.family == "cifar"]
    found = {Variant.of(spec) for spec in specs if not warmup.page_of(spec)}  # that table shows the others
    for variant in _ordered(found):
        yield cifar_depth.page(material.finished, variant, material.logs)


def _ordered(variants: set[Variant]) -> list[Variant]:
    return [PAPER, *sorted(variants - {PAPER}, key=lambda variant: variant.name)]


def _inside(
    page: Callable[[Found, Variant], Page], variants: Callable[[Found], set[Variant]], material: Material
) -> Iterator[Page]:
    for variant in _ordered(variants(material.found)):
        yield page(material.found, variant)


def _gradients(material: Material) -> Iterator[Page]:
    others = gradient_rows.variants(material.found) - {GRADIENTS_OF_PAPER}
    for variant in (GRADIENTS_OF_PAPER, *sorted(others, key=lambda variant: variant.name)):
        yield gradients.page(material.found, variant)


def _imagenet(name: str, material: Material) -> Iterator[Page]:
    study, others = STUDIES[name], evaluations(material.measured, material.results)
    specs = [run.spec for run in material.finished.values() if run.spec.arch in study.archs]
    paper = ImageNetVariant(study, "paper")
    found = {ImageNetVariant.of(study, spec) for spec in specs} - {paper}
    for variant in (paper, *sorted(found, key=lambda variant: variant.name)):
        yield imagenet.page(
            material.finished,
            variant,
            [each for each in others if each.note != "ensemble"],
            [each for each in others if each.note == "ensemble"],
        )


def _claims(material: Material) -> Iterator[Page]:
    if (path := material.measured / "complexity.json").exists():
        folders = (material.results, material.measured)
        yield claims.page(material.finished, complexity.load(path), folders)


def _calibration(material: Material) -> Iterator[Page]:
    if (path := material.measured / "calibration.json").exists():
        yield calibration.page(calibration.load(path))


def _complexity(material: Material) -> Iterator[Page]:
    if (path := material.measured / "complexity.json").exists():
        yield complexity.page(complexity.load(path), complexity.made(path))


def _throughput(material: Material) -> Iterator[Page]:
    machines = records.load(material.measured / "throughput.json")
    for machine in records.load(material.results / "throughput.json"):
        machines = records.merge(machines, machine)
    yield throughput.page(machines)


def _loading(material: Material) -> Iterator[Page]:
    if (path := material.measured / "loading.json").exists():
        yield loading.page(loading.load(path))


def _harness(material: Material) -> Iterator[Page]:
    if (path := material.measured / "harness.json").exists():
        yield harness.page(harness.load(path), harness.load_overheads(path.with_name(harness.OVERHEAD)))


def _third_party(_: Material) -> Iterator[Page]:
    yield third_party.page()


PAGES: dict[str, Callable[[Material], Iterator[Page]]] = {
    "complexity": _complexity,
    "cifar_depth": _cifar_depth,
    **{name: partial(_imagenet, name) for name in STUDIES},
    "layer_responses": partial(_inside, layer_responses.page, layer_responses.variants),
    "constructed_solution": partial(_inside, constructed_solution.page, constructed_solution.variants),
    "loss_surface": partial(_inside, loss_surface.page, loss_surface.variants),
    "warmup": partial(_inside, warmup.page, warmup.variants),
    "gradients": _gradients,
    "claims": _claims,
    "calibration": _calibration,
    "third_party": _third_party,
    "harness": _harness,
    "throughput": _throughput,
    "loading": _loading,
}
"""Table -> its pages. Their names begin with the table's."""

WITHOUT_RUNS = {"complexity", "calibration", "third_party", "harness", "throughput", "loading"}
"""Tables that are not made of runs."""

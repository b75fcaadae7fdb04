"""The claims that a table's runs are asked: under which setting, and how their verdicts stand on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.report.page import Cell, Part, Section, Table, cells
from bench.report.sections.runs import Found
from bench.runs.finished import FinishedRun
from bench.runs.spec import RunSpec
from bench.studies import gradients
from bench.studies.variant import GradientVariant, ImageNetVariant, Variant
from bench.verdicts.claims import Judged, Setting, Word
from models.arch import Arch


def of_cifar(variant: Variant, finished: Mapping[str, FinishedRun], folders: Sequence[Path] = ()) -> Setting:
    """What the claims on CIFAR runs are judged under; `folders` are where measurements of their nets are looked for."""
    return Setting(
        "cifar_depth",
        variant.schedule,
        variant.comparable,
        lambda arch: variant.spec(arch, 0),
        finished,
        tuple(folders),
    )


def of_imagenet(variant: ImageNetVariant, finished: Mapping[str, FinishedRun]) -> Setting:
    """What the claims of an ImageNet table are judged under."""
    specs = {spec.arch: spec for spec in variant.specs()}
    return Setting(variant.study.name, variant.schedule, variant.comparable, lambda arch: specs[arch], finished)


def of_gradients(variant: GradientVariant, found: Found) -> Setting:
    """What the claims on gradients are judged under: nets with batch norm and He's weights, as the paper has them."""
    ours = {id_: run for id_, run in found.watched.items() if run.spec.batch_norm and run.spec.init_scale == 1}

    def spec(arch: Arch) -> RunSpec:
        recipe = gradients.recipe(arch, variant.schedule, variant.dataset)
        return RunSpec(arch, recipe, variant.dataset, 0)

    return Setting("gradients", variant.schedule, variant.comparable, spec, ours)


COLOURED: dict[Word, str] = {
    "holds": "match",
    "contradicted": "differs",
    "undecided": "undecided",
    "not run": "missing",
}
"""The verdict whose colour a claim's has."""


def word_cell(judged: Judged, noted: bool = True) -> Cell:
    """The verdict on a claim; with all its notes as one, or without."""
    return Cell(judged.word, COLOURED[judged.word], " ".join(judged.notes) if noted else "")


def section(judged: Sequence[Judged], whole: bool) -> list[Part]:
    """What stands beside the table that claims belong to. Not `whole`: only the claims that its runs say something of."""
    shown = [found for found in judged if whole or found.word != "not run"]
    if not shown:
        return []
    rows = [cells(f"`{found.claim.id}`", found.claim.meaning, word_cell(found, noted=False)) for found in shown]
    left = len(judged) - len(shown)
    more = f" {left} more were not run." if left else ""
    heading = "Claims of the paper" if whole else "Claims of the paper, asked of these runs"
    said = f"How each was tested, on which runs and on what assumption: [claims](claims.md).{more}"
    return [Section(heading, [Table(["claim", "in our words", "verdict"], rows), said])]

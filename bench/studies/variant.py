"""What separates one page of a table from another: runs of different variants never meet on a page."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cache

from bench.runs import overrides as changes
from bench.runs.datasets import IMAGENET
from bench.runs.derived import GradientRun
from bench.runs.overrides import Changes
from bench.runs.spec import CifarRecipe, Precision, RunSpec, Schedule, Selection
from bench.studies import imagenet
from bench.studies.cifar_depth import ARCHS, DEFAULT_DATASET, recipe
from bench.studies.seeds import ONE, Seeds
from models.arch import Arch


@dataclass(frozen=True)
class Variant:
    """Schedule, images, and what `--set` changed: rows of different variants never meet on a page.

    The precision is no part of it. A page has a row for each net and precision.
    """

    schedule: Schedule
    dataset: str
    selection: Selection
    changes: Changes = ()
    """Fields of the recipe that are not what the study has; never the precision."""
    precision: Precision = field(default="fp32", compare=False)
    """Of the runs that `spec` gives, where a page shows those of one precision alone."""

    @staticmethod
    def of(spec: RunSpec) -> Variant:
        return _variant(spec.arch, spec.cifar, spec.dataset)

    @property
    def name(self) -> str:
        """`cifar_depth`, `cifar_depth.short`, ...: the file name of page and figure."""
        return self.page("cifar_depth")

    def page(self, table: str) -> str:
        """The same of any table of such runs."""
        parts = [table]
        if self.schedule != "paper":
            parts.append(self.schedule)
        if self.dataset != DEFAULT_DATASET[self.schedule]:
            parts.append(self.dataset)
        if self.selection != "all":
            parts.append(self.selection)
        return ".".join([*parts, *(f"{name}={value}" for name, value in self.changes)])

    @property
    def comparable(self) -> bool:
        """Whether its errors may be compared with the paper's."""
        whole = self.schedule == "paper" and self.dataset == "cifar10" and self.selection == "all"
        return whole and changes.comparable(self.changes)

    def spec(self, arch: Arch, seed: int, precision: Precision | None = None) -> RunSpec:
        return RunSpec(arch, _recipe(self, arch, precision or self.precision), self.dataset, seed)

    @property
    def heading(self) -> str:
        """What separates these runs from the paper's, in a line, for pictures; nothing where they may be compared with it."""
        if self.comparable:
            return ""
        iterations, theirs = self.spec(ARCHS[0], 0).recipe.iterations, PAPER.spec(ARCHS[0], 0).recipe.iterations
        said = [f"{iterations:,} iterations, not the paper's {theirs:,}"] if iterations != theirs else []
        said += [f"images: {self.dataset}"] if self.dataset != "cifar10" else []
        said += ["trained on 45k images"] if self.selection != "all" else []
        return "; ".join([*said, *(f"{name}={value}" for name, value in self.changes)])

    def command(self, table: str = "cifar_depth") -> str:
        """The command that runs the nets of a page."""
        words = [f"python bench/run.py --table {table}"]
        if self.schedule != "paper":
            words.append(f"--schedule {self.schedule}")
        if self.dataset != DEFAULT_DATASET[self.schedule]:
            words.append(f"--dataset {self.dataset}")
        if self.selection != "all":
            words.append(f"--selection {self.selection}")
        other = (("precision", self.precision),) if self.precision != "fp32" else ()
        return " ".join(words) + changes.words(tuple(sorted((*self.changes, *other))))


@cache
def _recipe(variant: Variant, arch: Arch, precision: Precision) -> CifarRecipe:
    """What the nets of a page are trained by; asked for every run of every page."""
    study = changes.apply(recipe(arch, variant.schedule, variant.dataset, variant.selection), variant.changes)
    return replace(study, precision=precision)


@cache
def _variant(arch: Arch, trained: CifarRecipe, dataset: str) -> Variant:
    """The page of a net that was trained so; asked for every run by every table."""
    base = replace(recipe(arch, trained.schedule, dataset, trained.selection), precision=trained.precision)
    return Variant(trained.schedule, dataset, trained.selection, changes.between(base, trained))


PAPER = Variant("paper", "cifar10", "all")


def ordered(variants: Collection[Variant]) -> list[Variant]:
    """The pages of a table: the paper's schedule first, then the others by name."""
    return [PAPER, *sorted({*variants} - {PAPER}, key=lambda variant: variant.name)]


@dataclass(frozen=True)
class ImageNetVariant:
    """What separates one page of an ImageNet table from another: schedule, images, and what `--set` changed."""

    study: imagenet.Study
    schedule: Schedule
    dataset: str = "imagenet"
    classes: int = IMAGENET.classes
    changes: Changes = ()
    """Fields of the recipe that are not what the study has."""

    @staticmethod
    def of(study: imagenet.Study, spec: RunSpec) -> ImageNetVariant:
        """The page of a study on which a run stands."""
        given = spec.imagenet
        changed = changes.between(imagenet.recipe(given.schedule, given.classes), given)
        return ImageNetVariant(study, given.schedule, spec.dataset, given.classes, changed)

    @property
    def name(self) -> str:
        parts = [self.study.name]
        parts += [self.schedule] if self.schedule != "paper" else []
        parts += [self.dataset] if self.dataset != "imagenet" else []
        return ".".join([*parts, *(f"{name}={value}" for name, value in self.changes)])

    @property
    def comparable(self) -> bool:
        """Whether its errors may be compared with the paper's."""
        return self.schedule == "paper" and self.dataset == "imagenet" and changes.comparable(self.changes)

    def specs(self, seeds: Seeds = ONE) -> tuple[RunSpec, ...]:
        found = imagenet.runs(self.study, self.schedule, seeds, self.dataset, self.classes)
        return tuple(replace(spec, recipe=changes.apply(spec.recipe, self.changes)) for spec in found)

    def command(self) -> str:
        """The command that runs the nets of a page."""
        words = f"python bench/run.py --table {self.study.name}"
        words += f" --schedule {self.schedule}" if self.schedule != "paper" else ""
        words += " --dataset imagefolder" if self.dataset != "imagenet" else ""
        return f"{words}{changes.words(self.changes)} --cluster slurm --data DIR"


@dataclass(frozen=True)
class GradientVariant:
    """What separates one page of the table gradients from another."""

    schedule: Schedule
    dataset: str

    @staticmethod
    def of(spec: GradientRun) -> GradientVariant:
        return GradientVariant(spec.recipe.schedule, spec.dataset)

    @property
    def name(self) -> str:
        """`gradients`, `gradients.short`, ...: the file name of page and figures."""
        parts = ["gradients", *([self.schedule] if self.schedule != "paper" else [])]
        return ".".join([*parts, *([self.dataset] if self.dataset != DEFAULT_DATASET[self.schedule] else [])])

    @property
    def comparable(self) -> bool:
        """Whether its nets are trained as the paper's are."""
        return self == GRADIENTS_OF_PAPER

    def command(self) -> str:
        """The command that computes the runs of a page."""
        words = ["python bench/run.py --table gradients"]
        words += [f"--schedule {self.schedule}"] if self.schedule != "paper" else []
        words += [f"--dataset {self.dataset}"] if self.dataset != DEFAULT_DATASET[self.schedule] else []
        return " ".join(words)


GRADIENTS_OF_PAPER = GradientVariant("paper", "cifar10")

"""What separates one page of a table of CIFAR nets from another: schedule, images, and what `--set` changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench import changes
from bench.changes import Changes
from bench.report.verdicts import claims
from bench.spec import Arch, CifarRecipe, RunSpec, Schedule, Selection
from bench.store import FinishedRun
from bench.studies.cifar_depth import ARCHS, DEFAULT_DATASET, recipe


@dataclass(frozen=True)
class Variant:
    """Schedule, images, and what `--set` changed: rows of different variants never meet on a page."""

    schedule: Schedule
    dataset: str
    selection: Selection
    changes: Changes = ()
    """Fields of the recipe that are not what the study has."""

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
        """Whether its errors may be held against the paper's."""
        whole = self.schedule == "paper" and self.dataset == "cifar10" and self.selection == "all"
        return whole and changes.comparable(self.changes)

    def spec(self, arch: Arch, seed: int) -> RunSpec:
        return RunSpec(arch, _recipe(self, arch), self.dataset, seed)

    @property
    def heading(self) -> str:
        """What separates these runs from the paper's, in a line, for pictures; nothing where they may be held against it."""
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
        return " ".join(words) + changes.words(self.changes)

    def setting(self, finished: Mapping[str, FinishedRun], folders: Sequence[Path] = ()) -> claims.Setting:
        """What the claims on these runs are judged under; `folders` are where what was measured of nets is looked for."""
        return claims.Setting(
            "cifar_depth", self.schedule, self.comparable, lambda arch: self.spec(arch, 0), finished, tuple(folders)
        )


@cache
def _recipe(variant: Variant, arch: Arch) -> CifarRecipe:
    """What the nets of a page are trained by; asked for every run of every page."""
    return changes.apply(recipe(arch, variant.schedule, variant.dataset, variant.selection), variant.changes)


@cache
def _variant(arch: Arch, trained: CifarRecipe, dataset: str) -> Variant:
    """The page of a net that was trained so; asked for every run by every table."""
    base = recipe(arch, trained.schedule, dataset, trained.selection)
    return Variant(trained.schedule, dataset, trained.selection, changes.between(base, trained))


PAPER = Variant("paper", "cifar10", "all")

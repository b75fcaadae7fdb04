"""What every table says of its runs: their mean and spread, how they differ from the paper, and where they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, get_args

from bench.report.page import Cell, Page, Part, Section, Table, grid
from bench.runs.derived import GradientRun, SurfacePart
from bench.runs.finished import Finished, FinishedRun, by_arch, find, finished, left_out, measurements
from bench.runs.folder import Result, RunFolder
from bench.runs.scores import wilson
from bench.runs.spec import Precision, RunSpec, Spec, stem
from bench.studies.variant import Variant
from bench.verdicts.numbers import RESOLUTION, Verdict
from models.arch import Arch


@dataclass(frozen=True)
class Found:
    """All that is finished: runs, and the results folders in which what was done with their nets is looked for."""

    runs: Mapping[str, FinishedRun]
    folders: tuple[Path, ...]
    """A person's own results first, tables/measured last; or that alone."""
    logs: Mapping[str, str] = field(default_factory=dict)
    """Run id -> path of its log, of runs that were started and have no result."""

    @property
    def measured(self) -> Path:
        """tables/measured, or what stands for it."""
        return self.folders[-1]

    def of(self, spec: RunSpec) -> list[FinishedRun]:
        """The finished runs of this kind, of whatever seed, seeds in order."""
        found = [run for run in self._of_arch.get(spec.arch, ()) if run.spec.same_but_seed(spec)]
        return sorted(found, key=lambda run: run.spec.seed)

    def in_one_precision(
        self, variant: Variant, archs: Iterable[Arch], shows: Callable[[RunSpec], object] = lambda spec: True
    ) -> Variant:
        """The variant in the precision that has most runs of these nets that a page shows something of.

        Of equals in the first, fp32 before others.
        """
        nets = [*archs]

        def runs(each: Variant) -> int:
            return sum(bool(shows(run.spec)) for arch in nets for run in self.of(each.spec(arch, 0)))

        return max((replace(variant, precision=each) for each in self._precisions), key=runs)

    @cached_property
    def _precisions(self) -> list[Precision]:
        """Those that have runs, and fp32, in the order of the recipe's choices."""
        present = {run.spec.recipe.precision for run in self.runs.values()} | {"fp32"}
        return [each for each in get_args(Precision) if each in present]

    @cached_property
    def _of_arch(self) -> dict[Arch, list[FinishedRun]]:
        return by_arch(self.runs)

    @cached_property
    def with_surfaces(self) -> frozenset[RunSpec]:
        """The runs around whose nets some of the loss is measured."""
        return frozenset(part.run for folder in self.folders for part in measurements(folder, SurfacePart))

    @cached_property
    def watched(self) -> dict[str, Finished[GradientRun]]:
        """The finished trainings of which gradients were kept, by id; those of the first folder win."""
        return {id_: run for folder in reversed(self.folders) for id_, run in finished(folder, GradientRun).items()}

    @cached_property
    def _stems(self) -> frozenset[str]:
        """What the folders in the results folders are called, without their digests, which take long to compute."""
        paths = (path for folder in self.folders if folder.is_dir() for path in folder.iterdir())
        return frozenset(path.name.rpartition("-")[0] for path in paths)

    def find(self, spec: Spec) -> RunFolder | None:
        """The folder of a finished piece of work, in the first results folder that has it."""
        return find(spec, *self.folders) if stem(spec) in self._stems else None


def with_left_out(page: Page, *folders: Path) -> Page:
    """The page, and how many folders of runs could not be read and are left out of it."""
    count = left_out(*folders)
    if not count:
        return page
    said = f"**{count} folder{'s' if count > 1 else ''} left out**: damaged, of a newer format, or of another program."
    return replace(page, parts=[*page.parts[:1], said, *page.parts[1:]])


def mean_and_spread(values: Sequence[float], digits: int = 2) -> str:
    """`8.75`, or `8.75 +- 0.12` from several seeds; the spread is the standard deviation with n-1."""
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{fmean(values):.{digits}f} ± {stdev(values):.{digits}f}"


def difference(verdict: Verdict) -> str:
    """`+0.21 [-0.35, +0.77]`: ours minus the paper's, and the 95 % interval of that."""
    if verdict.difference is None:
        return ""
    text = f"{verdict.difference:+.2f}"
    return text if verdict.interval is None else f"{text} [{verdict.interval[0]:+.2f}, {verdict.interval[1]:+.2f}]"


def other_images(errors: Sequence[float], images: int) -> str:
    """`8.21 to 9.32`: Wilson's 95 % interval of the mean of these error rates, in percent, for another test set as large."""
    if not errors:
        return ""
    low, high = wilson(round(fmean(errors) / 100 * images), images)
    return f"{low:.2f} to {high:.2f}"


MATCH = (
    "`match` means that the 95 % interval of the difference between the two trainings holds 0, and reaches at most "
    f"{RESOLUTION} points either way ([the rule](../REPRODUCE.md#how-to-read-a-verdict), and [how often it "
    "errs](calibration.md))."
)
NOT_THEIRS = (
    "**These are not the paper's runs**: the schedule or the data differ, so that the errors must not be held against "
    "the printed ones, and every verdict is `not comparable`. The paper's numbers stand beside them for orientation."
)
SAMPLING = (
    "the 95 % interval (Wilson) that the size of the test set alone leaves. It holds other images, not other trainings: no "
    "verdict counts it, since the paper's test set is ours."
)


def verdict_cell(verdict: Verdict) -> Cell:
    return Cell(verdict.text, verdict.word, verdict.note)


Sentences = Callable[[RunSpec], list[str]]


def sentences(runs: Sequence[FinishedRun], deviations: Sentences, choices: Sentences) -> list[Section]:
    """The deviations and choices of the runs shown; with their nets where they are not common to all."""
    sections = []
    for heading, of_run in (("Deviations from the paper", deviations), ("Where the paper is silent", choices)):
        said = Counter((run.spec.arch.title, tuple(of_run(run.spec))) for run in runs)  # seeds of a net say the same
        lines = []
        for sentence in dict.fromkeys(sentence for _, several in said for sentence in several):
            by = [one for one in said if sentence in one[1]]
            nets = ", ".join(sorted({name for name, _ in by}))
            lines.append(f"- {sentence}" if sum(said[one] for one in by) == len(runs) else f"- {nets}: {sentence}")
        sections.append(Section(heading, ["\n".join(lines)]))
    return sections if runs else []


RUNS_ONE_BY_ONE = 60
"""Runs that a page lists one by one; more are put together by net, machine and code."""


def provenance(runs: Sequence[Finished[Any]]) -> list[Section]:
    """Where each number comes from."""
    if not runs:
        return []
    parts = (
        [_one_by_one(runs)] if len(runs) <= RUNS_ONE_BY_ONE else put_together(runs, (run.provenance for run in runs))
    )
    return [Section("Runs", parts)]


def _commit(facts: dict[str, Any]) -> str:
    code = facts["code"]
    return (code["commit"] or "unknown")[:10] + (" + patch" if code["patch"] else "")


def _threads(facts: dict[str, Any]) -> str:
    return str(facts["threads"]) if facts["device"]["kind"] == "cpu" else ""


def put_together(runs: Sequence[Finished[Any]], provenances: Iterable[dict[str, Any]]) -> list[Part]:
    """A line for all seeds of a net that ran on the same kind of machine by the same code."""
    groups: dict[tuple[str, ...], list[tuple[Result, int]]] = {}
    for run, facts in zip(runs, provenances, strict=True):
        where = (facts["device"]["name"], _threads(facts), f"torch {facts['packages']['torch']}", _commit(facts))
        groups.setdefault((run.spec.arch.title, *where), []).append((run.result, facts["restarts"]))
    cells = []
    for (name, *machine, commit), members in groups.items():
        results = [result for result, _ in members]
        cells.append(
            [
                name,
                str(len(members)),
                *machine,
                f"{sum(result.wall_seconds for result in results) / 3600:,.1f}",
                f"{fmean(result.images_per_second for result in results):.0f}",
                str(sum(restarts for _, restarts in members)),
                commit,
            ]
        )
    headers = ["net", "runs", "device", "threads", "version", "hours in all", "images/s", "restarts", "commit"]
    said = f"{len(runs):,} runs, each with its own record in the results folder."
    return [said, grid(cells, headers, (1, 3, 5, 6, 7))]


def _one_by_one(runs: Sequence[Finished[Any]]) -> Table:
    cells = []
    for run in runs:
        facts, result = run.provenance, run.result
        cells.append(
            [
                f"`{run.spec.run_id}`",
                f"{result.test_error:.2f}" if result.test_error is not None else result.status,
                "" if result.train_error_full is None else f"{result.train_error_full:.2f}",
                facts["device"]["name"],
                _threads(facts),
                f"torch {facts['packages']['torch']}",
                f"{result.wall_seconds / 3600:.2f}",
                f"{result.images_per_second:.0f}",
                str(facts["restarts"]),
                _commit(facts),
            ]
        )
    headers = [
        "run", "test error", "training error, whole set, not augmented", "device", "threads", "version", "hours",
        "images/s", "restarts", "commit",
    ]  # fmt: skip
    return grid(cells, headers, (1, 2, 4, 6, 7, 8))

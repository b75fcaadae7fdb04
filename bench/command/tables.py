"""The register of tables: whatever is said or done of all tables is derived from `TABLES`.

A table that is filled by runs takes a module in bench/studies, one in bench/report/tables, and a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import TYPE_CHECKING

from bench.command import measurements, plan
from bench.command.fill import fill
from bench.command.table import Table, completed, pages_of
from bench.runs.derived import Extension, GradientRun, Responses, SurfacePart
from bench.runs.spec import RunSpec, Spec
from bench.studies import (
    calibration,
    cifar_depth,
    complexity,
    constructed_solution,
    gradients,
    imagenet,
    layer_responses,
    loss_surface,
    warmup,
)

if TYPE_CHECKING:
    from bench.report.page import Page
    from bench.report.sections.runs import Found

ANY = frozenset(
    {"table", "results", "tables", "dry_run", "report", "check", "export", "checkpoints", "publish", "force"}
    | {"csv", "latex", "points", "figures"}
)
"""Options that every table heeds."""
RUNS = ANY | {
    "cluster", "schedule", "seeds", "only", "dataset", "data", "download", "execution", "tensorboard",
    "profile", "partition", "account", "qos", "constraint", "nodes", "tasks_per_node", "gpus", "cpus", "mem", "time",
    "parallel", "preemption", "signal_seconds", "setup", "sbatch", "pack", "wait", "status", "retry", "logs",
    "cancel",
}  # fmt: skip
"""Options of every table that runs fill."""
CIFAR, IMAGENET = RUNS | {"set", "selection"}, RUNS | {"set", "skip_broken", "workers", "weights", "arch"}


def _imagenet(study: imagenet.Study, more: Iterable[str] = ()) -> Table:
    shows: Callable[[Spec], bool] = lambda spec: isinstance(spec, RunSpec) and spec.arch in study.archs  # noqa: E731
    return Table(study.name, study.title, IMAGENET.union(more), fill, plan.imagenet, shows)


def _is(kind: type) -> Callable[[Spec], bool]:
    return lambda spec: isinstance(spec, kind)


def _of_cifar(spec: Spec) -> bool:
    return isinstance(spec, RunSpec) and spec.arch.family == "cifar"


_ALL = (
    Table("complexity", complexity.TITLE, ANY, measurements.complexity),
    Table("cifar_depth", cifar_depth.TITLE, CIFAR, fill, plan.depth_study, _of_cifar),
    _imagenet(imagenet.STUDIES["imagenet_plain_vs_residual"]),
    _imagenet(imagenet.STUDIES["imagenet_shortcuts"]),
    _imagenet(imagenet.STUDIES["imagenet_multiscale"], ["ensemble"]),
    Table("layer_responses", layer_responses.TITLE, CIFAR, fill, plan.of_study(layer_responses), _is(Responses)),
    Table(
        "constructed_solution",
        constructed_solution.TITLE,
        CIFAR,
        fill,
        plan.of_study(constructed_solution),
        _is(Extension),
    ),
    Table("loss_surface", loss_surface.TITLE, CIFAR, fill, plan.of_study(loss_surface), _is(SurfacePart)),
    Table("warmup", warmup.TITLE, CIFAR, fill, plan.of_study(warmup)),
    Table("gradients", gradients.TITLE, RUNS, fill, plan.gradients, _is(GradientRun)),
    Table(
        "claims",
        "Verdicts on the paper's sentences",
        ANY | {"schedule", "seeds"},
        measurements.claims,
    ),
    Table("calibration", calibration.TITLE, ANY, measurements.calibration),
    Table(
        "third_party",
        "Reproductions by others, beside the paper",
        ANY,
        partial(measurements.committed, "it shows what others report"),
    ),
    Table(
        "harness",
        "Costs of the harness itself",
        ANY,
        partial(measurements.committed, "it shows what `make benchmarks` has measured"),
    ),
    Table(
        "throughput",
        "Speed of training and testing on this machine",
        ANY | {"data", "only", "execution"},
        measurements.throughput,
    ),
    Table(
        "loading",
        "Image-loading throughput per core",
        ANY,
        partial(measurements.committed, "it shows what `make benchmarks` has measured"),
    ),
)
TABLES: dict[str, Table] = {table.name: table for table in _ALL}
"""Name -> table, in the order in which help and report have them."""


def pages(names: Iterable[str], found: Found) -> list[Page]:
    """All pages of these tables, in order."""
    known = cache(lambda name: pages_of(name, found))
    return [completed(page, found, known) for name in names for page in known(name)]


def shown_by(spec: Spec) -> list[str]:
    """The tables on whose pages a piece of work stands."""
    return [table.name for table in TABLES.values() if table.shows(spec)]

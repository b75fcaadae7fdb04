"""What each row of the study costs, as a part of REPRODUCE.md: from measured speeds, and nothing where there are none."""

from __future__ import annotations

from collections.abc import Sequence

from bench.measure.counts.estimate import PASSES, Estimator, multiply_adds
from bench.report.render.markdown import table
from bench.runs.finished import FinishedRun
from bench.runs.spec import Precision, RunSpec
from bench.studies.cifar_depth import runs

HEADERS = ["net", "runs in the paper", "multiply-adds of one run", "CPU hours", "from", "GPU hours", "from"]
FIVE_RUNS = "resnet-110-A"
NETS: tuple[str, Precision] = ("cifar", "fp32")
"""What the table is of."""


def render(finished: dict[str, FinishedRun]) -> str:
    """A table of the nets of Table 6 at the paper's schedule."""
    specs = sorted(runs("paper", dataset="cifar10"), key=lambda spec: (spec.arch.residual, spec.arch.depth))
    estimators = [Estimator(kind, finished.values()) for kind in ("cpu", "cuda")]
    machines = [name for estimator in estimators for name in estimator.speeds.get(NETS, {})]
    text = table([_cells(spec, estimators) for spec in specs], HEADERS, (1, 2, 3, 5))
    return f"{text}\n\nMeasured on {'; '.join(machines)}." if machines else text


def _cells(spec: RunSpec, estimators: Sequence[Estimator]) -> list[str]:
    work = spec.recipe.iterations * spec.recipe.batch * PASSES * multiply_adds(spec)
    cells = [spec.arch.label, "5" if spec.arch.name == FIVE_RUNS else "1", f"{work:.1e}"]
    for estimator in estimators:
        estimate = estimator(spec)
        measured = NETS in estimator.speeds
        cells += (
            [f"{estimate.hours:.1f}", estimate.source.split(" from ")[0]]
            if measured
            else ["missing", "not measured yet"]
        )
    return cells

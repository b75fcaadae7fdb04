"""Runs and their evaluation points as data frames of pandas, for notebooks and other programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.runs.derived import Extension, GradientRun
from bench.runs.finished import Finished, finished, without_damaged
from bench.runs.spec import RunSpec, Spec

if TYPE_CHECKING:
    from pandas import DataFrame

KINDS: dict[type[Spec], str] = {RunSpec: "run", Extension: "constructed", GradientRun: "gradients"}
"""Kinds of training: of a table's nets, of a net with identity layers added, with its gradients watched."""
POINTS = ("csv", "parquet")


@dataclass(frozen=True, eq=False)
class Results:
    """The finished trainings of a results folder."""

    runs: DataFrame
    """A row for each training, its id as index: net, recipe, what it measured (errors in percent), device and commit."""
    points: DataFrame
    """A row for each evaluation point, oldest first: `run` (an id of `runs`), `iteration`, `train_error`, `test_error`, ..."""


def load(folder: Path | str) -> Results:
    """The trainings of a results folder, or of tables/measured. Raises UserError where there is no such folder."""
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"results {folder}: no such folder: give the one that --results names")
    return without_damaged(lambda: of_runs(trainings(path).values()))


def trainings(folder: Path) -> dict[str, Finished[Any]]:
    """Every finished training of a folder by its id, of all kinds."""
    return {run_id: run for kind in KINDS for run_id, run in finished(folder, kind).items()}


def of_runs(runs: Iterable[Finished[Any]]) -> Results:
    """The same of these trainings."""
    import pandas

    rows, points = [], []
    for run in runs:
        rows.append(_row(run))
        points += [{"run": run.folder.run_id, **point} for point in run.metrics]
    table = pandas.DataFrame(rows or [], columns=None if rows else ["run"]).set_index("run")
    return Results(table, pandas.DataFrame(points, columns=None if points else ["run", "iteration"]))


def _row(run: Finished[Any]) -> dict[str, Any]:
    """A training as one row: what it is, how it was trained, what came out, and where."""
    spec, arch, facts = run.spec, run.spec.arch, run.provenance
    watched = {"batch_norm": spec.batch_norm, "init_scale": spec.init_scale} if isinstance(spec, GradientRun) else {}
    return {
        "run": run.folder.run_id,
        "kind": next(name for kind, name in KINDS.items() if isinstance(spec, kind)),
        "net": arch.title,
        "family": arch.family,
        "depth": arch.depth,
        "residual": arch.residual,
        "shortcut": arch.shortcut,
        "dataset": spec.dataset,
        "seed": spec.seed,
        **{name: value for name, value in vars(spec.recipe).items() if name != "iterations"},
        **watched,
        **{name: value for name, value in asdict(run.result).items() if name != "run_id"},
        "device": facts["device"]["name"],
        "threads": facts["threads"],
        "torch": facts["packages"]["torch"],
        "commit": facts["code"]["commit"],
    }


def points_as(frame: DataFrame, suffix: str) -> bytes:
    """The frame as the bytes of a CSV or Parquet file. Raises UserError where a package for it is missing."""
    if suffix == "csv":
        return bytes(frame.to_csv(index=False, lineterminator="\n").encode())
    try:
        return bytes(frame.to_parquet(None, engine="pyarrow", index=False))
    except ImportError:
        raise UserError("Parquet files need pyarrow: pip install pyarrow, or give a file that ends in .csv") from None

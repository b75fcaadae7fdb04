"""Finished runs, as reports read them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from bench.errors import UserError
from bench.files import Damaged, read_json, unreadable
from bench.runs.curve import read_points
from bench.runs.folder import Result, RunFolder, read_spec
from bench.runs.provenance import origin
from bench.runs.scores import Score, read_scores
from bench.runs.spec import RunSpec, Spec
from models.arch import Arch

S = TypeVar("S", bound=Spec, covariant=True)
T = TypeVar("T", bound=Spec)


M = TypeVar("M")
Stamp = tuple[int, int, int]
"""Inode, time and size: a file that is rewritten has another."""


@dataclass(frozen=True)
class Finished(Generic[S]):
    """A run with its result. What is long lies in its folder until it is asked for: there may be ten thousand of them."""

    spec: S
    result: Result
    folder: RunFolder

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The evaluation points, oldest first. Raises UserError."""
        path = self.folder.metrics
        return _read_points(path, _stamp(path), self.spec.recipe.iterations)

    @property
    def evaluation(self) -> dict[str, Score]:
        """Protocol -> wrong images, of an ImageNet net. Raises UserError."""
        return read_scores(self.folder.evaluation)

    @property
    def provenance(self) -> dict[str, Any]:
        """Where, when and by which code it was made. Raises UserError."""
        path = self.folder.provenance
        return _read_provenance(path, _stamp(path))


FinishedRun = Finished[RunSpec]


def finished_runs(results: Path) -> dict[str, FinishedRun]:
    """Every finished training run in a results folder, by id, and no measurement of their nets.

    A folder that cannot be read is named on standard error and left out.
    """
    return finished(results, RunSpec)


def finished(results: Path, kind: type[T]) -> dict[str, Finished[T]]:
    """Every finished training of a kind of spec, by id; the same otherwise."""
    found = (done for done in _all_finished(results) if isinstance(done, Finished) and isinstance(done.spec, kind))
    return {run.folder.run_id: cast("Finished[T]", run) for run in found}


def by_arch(runs: Mapping[str, Finished[T]]) -> dict[Arch, list[Finished[T]]]:
    """The same runs by their net, each in the order that they had."""
    found: dict[Arch, list[Finished[T]]] = {}
    for run in runs.values():
        found.setdefault(run.spec.arch, []).append(run)
    return found


def measurements(results: Path, kind: type[T]) -> list[T]:
    """The specs of every finished measurement of a kind; the same otherwise."""
    return [done for done in _all_finished(results) if isinstance(done, kind)]


def _all_finished(results: Path) -> Iterator[Finished[Spec] | Spec]:
    """A training run with its result, or the spec of a measurement, whose points are read by those who know what they are.

    Each is read once for as long as its two files stay as they are: pages and report ask for the same. Paths are strings,
    since of ten thousand runs `pathlib` would take longer than the disk.
    """
    for name in sorted(os.listdir(results)) if results.is_dir() else ():
        result, spec = f"{results}/{name}/result.json", f"{results}/{name}/spec.json"
        if os.path.exists(result):
            folder = RunFolder(results, name)
            if not _is_left_out(folder):
                try:
                    found = _read_finished(folder, _stamp(result), _stamp(spec))
                except UserError as error:
                    _leave_out(folder, Path(spec), error)
                    continue
                yield found


_LEFT_OUT: dict[RunFolder, tuple[Path, Stamp | None]] = {}
"""Folders that cannot be read, with the file that is to blame as it was then."""


def _leave_out(folder: RunFolder, file: Path, error: UserError) -> None:
    """Name a folder on standard error, once for as long as the file to blame stays as it is."""
    path = error.path if isinstance(error, Damaged) else file
    _LEFT_OUT[folder] = path, _stamp_or_none(path)
    print(f"left out: {error}", file=sys.stderr)


def _is_left_out(folder: RunFolder) -> bool:
    if not _LEFT_OUT or folder not in _LEFT_OUT:
        return False
    path, stamp = _LEFT_OUT[folder]
    return _stamp_or_none(path) == stamp


def left_out(*folders: Path) -> int:
    """How many folders of these results folders were left out, as far as they have been read."""
    return sum(folder.results in folders and _is_left_out(folder) for folder in _LEFT_OUT)


def without_damaged(make: Callable[[], M]) -> M:
    """What `make` makes of finished runs. A run of which a file turns out to be damaged is left out, and it is made again."""
    while True:
        try:
            return make()
        except Damaged as error:
            folder = RunFolder(error.path.parent.parent, error.path.parent.name)
            if not folder.finished() or _is_left_out(folder):
                raise
            _leave_out(folder, error.path, error)


def _stamp(path: Path | str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError as error:
        raise unreadable(path, error) from error
    return found.st_ino, found.st_mtime_ns, found.st_size


def _stamp_or_none(path: Path) -> Stamp | None:
    try:
        return _stamp(path)
    except UserError:
        return None


@lru_cache(maxsize=1000)  # as many as figures draw; of all runs they would not fit into memory
def _read_points(path: Path, stamp: Stamp, iterations: int) -> list[dict[str, Any]]:
    return read_points(path, iterations)


@lru_cache(maxsize=20_000)
def _read_provenance(path: Path, stamp: Stamp) -> dict[str, Any]:
    facts = read_json(path)
    try:
        origin(facts)
    except ValueError as error:
        raise Damaged(path, error) from error
    if patch := facts.get("code", {}).get("patch"):
        facts["code"]["patch"] = sys.intern(patch)  # many runs have the same one
    return facts


@cache
def _read_finished(folder: RunFolder, result: Stamp, spec: Stamp) -> Finished[Spec] | Spec:
    found = read_spec(folder.spec)
    if found.run_id != folder.run_id:
        raise Damaged(folder.spec, f"it is of run {found.run_id}", "give its folder that name")
    return found if found.measures else Finished(found, folder.read_result(), folder)


def find(spec: Spec, *folders: Path) -> RunFolder | None:
    """The folder of a finished piece of work, in the first of these results folders that has it."""
    found = (RunFolder(folder, spec.run_id) for folder in folders)
    return next((folder for folder in found if folder.finished() and not _is_left_out(folder)), None)

"""Finished runs, as reports read them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from bench.errors import UserError
from bench.files import read_json, read_lines
from bench.runs.folder import Result, RunFolder, read_spec
from bench.runs.scores import Score, read_scores
from bench.runs.spec import RunSpec, Spec
from models.arch import Arch

S = TypeVar("S", bound=Spec, covariant=True)
T = TypeVar("T", bound=Spec)


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
        return _read_lines(path, _stamp(path))

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
    """Every finished training run in a results folder, by id, and nothing of what is done with their nets.

    Raises UserError, naming the file, where one is damaged.
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
            yield _read_finished(RunFolder(results, name), _stamp(result), _stamp(spec))


Stamp = tuple[int, int, int]
"""Inode, time and size: a file that is written anew has another."""


def _stamp(path: Path | str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): mend that and give the same command again"
        ) from error
    return found.st_ino, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=1000)  # as many as figures draw; of all runs they would not fit into memory
def _read_lines(path: Path, stamp: Stamp) -> list[dict[str, Any]]:
    return read_lines(path)


@lru_cache(maxsize=20_000)
def _read_provenance(path: Path, stamp: Stamp) -> dict[str, Any]:
    facts = read_json(path)
    if patch := facts.get("code", {}).get("patch"):
        facts["code"]["patch"] = sys.intern(patch)  # many runs have the same one
    return facts


@cache
def _read_finished(folder: RunFolder, result: Stamp, spec: Stamp) -> Finished[Spec] | Spec:
    found = read_spec(folder.spec)
    if found.run_id != folder.run_id:
        raise UserError(f"{folder.spec} is of run {found.run_id}: its folder must have that name")
    return found if found.measures else Finished(found, folder.read_result(), folder)


def find(spec: Spec, *folders: Path) -> RunFolder | None:
    """The folder of a finished piece of work, in the first of these results folders that has it."""
    found = (RunFolder(folder, spec.run_id) for folder in folders)
    return next((folder for folder in found if folder.finished()), None)

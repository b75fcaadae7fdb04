"""A record of another machine is merged into a results folder whole, or refused with nothing written."""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.compute import heartbeat
from bench.errors import Busy, UserError
from bench.exchange.validate import CHECKPOINT, FILES, Record, Unsound, spec_of
from bench.files import move, read_json
from bench.runs import lease
from bench.runs.folder import RunFolder, read_spec
from bench.runs.upgrades import upgraded


class Refused(Exception):
    """A run is not taken because of what is here already, in a few words that follow its name."""


@contextlib.contextmanager
def staging(results: Path) -> Iterator[Path]:
    """An empty folder on the same file system as the runs; what a killed command left there is gone.

    Raises Busy where another command is at it.
    """
    folder = results / ".import"

    def busy(holder: lease.Holder) -> str:
        return f"{results}: another command is importing there ({holder.name}): wait for it, and give this one again"

    with lease.held(results / ".lock.import", busy, stays=False):
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def merge(new: Record, results: Path) -> str:
    """Move a record out of its folder into `results`, and say what became of it.

    A run that is not here comes whole, by one move. One that is here is the same, or was begun here and goes on with what
    comes; anything else is refused. A kill at any moment leaves a run as it was, as it comes, or without a result, and the
    same again ends the work. Raises Refused, with nothing written.
    """
    here = RunFolder(results, new.spec.run_id)
    if not here.path.exists():
        try:
            os.rename(new.folder.path, here.path)
            return "new"
        except OSError:  # somebody began it a moment ago, or it cannot be written
            if not here.path.exists():
                raise
    if here.finished():
        return _beside(new, here)
    try:
        with here.locked():
            beat = heartbeat.read(here)
            if beat and beat.alive():
                raise Refused(f"is being worked on by process {beat.pid} on {beat.host}: wait for it, or stop it")
            return _beside(new, here) if here.finished() else _onto(new, here)
    except Busy as error:
        raise Refused("is being worked on here: wait for it, or stop it") from error


def _beside(new: Record, here: RunFolder) -> str:
    """Merge into a run that is finished here."""
    if new.result is None:
        if here.read_metrics()[: new.settled] != new.points:
            raise Refused("is finished here, from another beginning")
        return "already there, and finished"
    if different := differing(new.folder.path, here.path, new.files):
        raise Refused(f"is here with another {', '.join(different)}")
    added = [name for name in new.files if not (here.path / name).exists()]
    for name in added:
        move(new.folder.path / name, here.path / name)
    return f"already there, now with {', '.join(added)}" if added else "already there"


def _onto(new: Record, here: RunFolder) -> str:
    """Merge into a run that is not finished here, while this process holds it."""
    from bench.exchange import validate_checkpoint

    began = 0
    try:
        if here.spec.exists() and spec_of(here) != new.spec:
            raise Refused("is here with another spec.json")
        if here.checkpoint.exists():
            old, points = validate_checkpoint.inspect(here.checkpoint, new.spec), new.points
            began, finishes = old.iteration, new.result is not None
            if not finishes and filecmp.cmp(new.folder.checkpoint, here.checkpoint, shallow=False):
                return "already there"
            if not finishes and new.iteration < began and old.metrics[: len(points)] == points:
                return f"already there, and further, at iteration {began}"
            if points[: len(old.metrics)] != old.metrics or not (finishes or new.iteration > began):
                raise Refused(f"was begun here in another way, and is at iteration {began}")
    except Unsound as error:
        raise Refused(f"is here, and its {error}") from error
    except UserError as error:
        raise Refused(f"is here, and its {CHECKPOINT} {error}") from error
    for name in FILES:
        if name not in new.files:
            (here.path / name).unlink(missing_ok=True)
    for name in new.files:
        move(new.folder.path / name, here.path / name)
    here.heartbeat.unlink(missing_ok=True)  # of an attempt that is not the last one any more
    return f"goes on from iteration {began} at {new.iteration}" + (", finished" if new.result else "")


def differing(one: Path, other: Path, names: Sequence[str]) -> list[str]:
    """Those of `names` that are in both folders and say something different. A format is no difference."""
    both = [name for name in names if (one / name).exists() and (other / name).exists()]
    return [name for name in both if not _same(one / name, other / name)]


def _same(one: Path, other: Path) -> bool:
    if filecmp.cmp(one, other, shallow=False):
        return True
    try:
        if one.name == "spec.json":
            return read_spec(one) == read_spec(other)
        return one.name == "result.json" and upgraded(read_json(one)) == upgraded(read_json(other))
    except (UserError, ValueError):
        return False

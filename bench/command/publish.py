"""--publish: finished runs are copied to tables/measured, from which alone the committed pages come."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from bench.command import pages
from bench.errors import UserError
from bench.exchange import merge, validate
from bench.exchange.merge import Refused
from bench.exchange.validate import CHECKPOINT, EVALUATION, FILES, Record, Unsound
from bench.files import move, write_probe
from bench.runs.folder import RunFolder
from bench.runs.spec import Spec


def publish(
    specs: Iterable[Spec],
    results: Path,
    force: bool,
    weights: bool,
    shown: Callable[[Spec], object] = lambda spec: True,
) -> int:
    """Copy finished runs, without checkpoints, to tables/measured.

    `weights`: tests of other projects' weights, and ensembles too. `shown` says whether a table shows a piece of work.
    A run that is published with other content is refused and named, unless `force`. Returns the exit status: 0, or 1
    where one was refused. Raises UserError for a run that is damaged, with nothing published.
    """
    runs = [_to_publish(RunFolder(results, s.run_id), shown) for s in specs if RunFolder(results, s.run_id).finished()]
    found = dict(tested_weights(results)) if weights else {}
    told = Told()
    _probe(pages.MEASURED)
    with merge.staging(pages.MEASURED) as stage:
        for run in runs:
            told.of(run.spec.run_id, partial(_publish, run, stage, force))
        for name, path in found.items():
            copy = stage / "weights" / name
            copy.mkdir(parents=True)
            shutil.copyfile(path, copy / EVALUATION)
            told.of(f"weights/{name}", partial(merge_weights, copy, pages.MEASURED, force))
    for path in sorted(pages.MEASURED.glob("*/spec.json")):
        RunFolder(pages.MEASURED, path.parent.name).rewrite()
    return told.end(f"into {pages.MEASURED}", "see which is right; --force replaces what is published")


def _probe(measured: Path) -> None:
    try:
        write_probe(measured)
    except UserError:
        raise UserError(f"--publish: {measured} is not writable: publish in a checkout of your own") from None


def _to_publish(folder: RunFolder, shown: Callable[[Spec], object]) -> Record:
    try:
        run = validate.read(folder, with_checkpoint=False)
    except Unsound as error:
        raise UserError(f"{folder.path}: {error}: move its folder away and run it again") from error
    if run.spec.recipe.schedule == "smoke":
        raise UserError(f"--publish: {folder.run_id} is of the smoke schedule, which measures nothing: leave it out")
    if not shown(run.spec):
        raise UserError(f"--publish: no table shows {folder.run_id}: leave it out")
    return run


def _publish(run: Record, stage: Path, force: bool) -> str:
    """Copy a record to tables/measured and say what became of it. Raises Refused."""
    here = RunFolder(pages.MEASURED, run.spec.run_id)
    copy = RunFolder(stage, run.spec.run_id)
    copy.path.mkdir()
    for name in run.files:
        shutil.copyfile(run.folder.path / name, copy.path / name)  # the umask decides its mode
    published = [name for name in FILES if name != CHECKPOINT]
    replaced = here.path.exists() and (
        not here.finished() or (force and merge.differing(copy.path, here.path, published))
    )
    if replaced:
        here.path.rename(stage / f"{here.run_id}.old")
    said = merge.merge(Record(copy, run.spec, run.result, run.files, run.iteration, run.settled), pages.MEASURED)
    return "replaced" if replaced else said


def tested_weights(results: Path) -> Iterator[tuple[str, Path]]:
    """Name -> file of each test of other projects' weights. Raises UserError."""
    for path in sorted(results.glob(f"weights/*/{EVALUATION}")):
        try:
            validate.evaluation(path)
        except Unsound as error:
            raise UserError(f"{path.parent}: {error}: delete it, and test again") from error
        yield path.parent.name, path


def merge_weights(new: Path, results: Path, force: bool = False) -> str:
    """Put one evaluation of weights into a results folder, and say what became of it. Raises Refused."""
    here = results / "weights" / new.name
    if here.exists() and merge.differing(new, here, [EVALUATION]) and not force:
        raise Refused(f"is here with another {EVALUATION}")
    said = "already there" if here.exists() else "new"
    here.mkdir(parents=True, exist_ok=True)
    move(new / EVALUATION, here / EVALUATION)
    return said


class Told:
    """What became of each run, said as it happens and counted at the end."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.refused: list[str] = []

    def of(self, name: str, act: Callable[[], str]) -> bool:
        """Do it and say what became of it. Returns whether it was not refused."""
        try:
            said = act()
        except Refused as error:
            self.refused.append(f"refused: {name} {error}")
            return False
        self.counts[said.split(",")[0].split(" from ")[0]] += 1
        print(f"{name}: {said}")
        return True

    def end(self, where: str, remedy: str) -> int:
        """Print the sum, and what was refused. Returns the exit status."""
        words = [f"{count} {what}" for what, count in self.counts.items()]
        words += [f"{len(self.refused)} refused"] if self.refused else []
        print(f"{where}: {', '.join(words) or 'nothing new'}")
        if self.refused:
            print("\n".join([*self.refused, remedy]), file=sys.stderr)
        return 1 if self.refused else 0

"""--export, --import and --publish: finished runs move as records, and only what was read through is put anywhere."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from bench import studies
from bench.command import pages, plan
from bench.command.options import Options
from bench.command.pages import MEASURED
from bench.errors import Busy, UserError
from bench.exchange import bundle, merge, validate
from bench.exchange.merge import Refused
from bench.exchange.validate import CHECKPOINT, EVALUATION, FILES, Record, Unsound
from bench.files import check_file, write_probe, write_text
from bench.runs.folder import RunFolder
from bench.runs.spec import Spec


def export(options: Options) -> int:
    """Pack the runs that are asked for, or all in the results folder. Returns 0; raises UserError, with nothing written."""
    target, results = options.moving.export, options.results
    assert target
    check_file(target, "--export", exists=False)
    if target.is_dir() or (target.exists() and not options.force):
        raise UserError(f"--export {target} is there already: give another name, or --force to write it anew")
    files: dict[str, Path] = {}
    counts: Counter[str] = Counter()
    with contextlib.ExitStack() as held:
        for folder in _asked(options):
            try:
                found = _to_pack(folder, options.moving.checkpoints, held)
            except Busy as error:
                print(f"not packed: {error}")
                counts["not packed"] += 1
                continue
            except Unsound as error:
                remedy = "move its folder away, or choose other runs with --only"
                raise UserError(f"{folder.path}: {error}: {remedy}") from error
            if found is None:
                counts["left out, not finished"] += 1
                continue
            counts["finished" if found.result else "to go on elsewhere"] += 1
            files |= {f"runs/{folder.run_id}/{name}": folder.path / name for name in found.files}
        if not options.table or set(options.table) & studies.imagenet.STUDIES.keys():
            found_weights = dict(_weights(results))
            counts["tests of weights"] += len(found_weights)
            files |= {f"weights/{name}/{EVALUATION}": path for name, path in found_weights.items()}
        if not files:
            unfinished = ": add --checkpoints unfinished" if counts["left out, not finished"] else ": run them first"
            raise UserError(f"--export {target}: none of these runs is finished in {results}{unfinished}")
        size = bundle.pack(target, files)
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    print(f"{target}: {said}; {_size(size)}")
    return 0


def _asked(options: Options) -> Iterator[RunFolder]:
    """The runs of the tables asked for, or whatever is in the results folder."""
    if options.table:
        specs = {spec.run_id: spec for name in options.table for spec in plan.runs(name, options)}
        yield from (RunFolder(options.results, run_id) for run_id in specs)
    else:
        yield from (
            RunFolder(options.results, path.parent.name) for path in sorted(options.results.glob("*/spec.json"))
        )


def _to_pack(folder: RunFolder, checkpoints: str | None, held: contextlib.ExitStack) -> Record | None:
    """What of a run is packed; None of one that is not finished, unless its checkpoint is asked for. Raises Busy, Unsound."""
    if not folder.finished():
        if not checkpoints or not folder.checkpoint.exists():
            return None
        held.enter_context(folder.locked())  # until it is packed: it must not go on here meanwhile
    return validate.read(folder, with_checkpoint=not folder.finished() or checkpoints == "all")


def _weights(results: Path) -> Iterator[tuple[str, Path]]:
    """Name -> file of each test of weights from elsewhere. Raises UserError."""
    for path in sorted(results.glob(f"weights/*/{EVALUATION}")):
        try:
            validate.evaluation(path)
        except Unsound as error:
            raise UserError(f"{path.parent}: {error}: delete it, and test again") from error
        yield path.parent.name, path


def _size(size: int) -> str:
    """`12.3 kB`, `1.2 GB`."""
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size / 1000:.1f} kB"


def import_(options: Options) -> int:
    """Merge bundles into the results folder, and with --publish into tables/measured.

    Returns the exit status: 0, or 1 where a run was refused, which is named while the others are taken. Raises UserError,
    with nothing taken, where one of the files is not what it says.
    """
    results, told = options.results, _Told()
    taken: list[Spec] = []
    write_probe(results)
    with merge.staging(results) as stage:
        unpacked = [_unpack(path, stage / str(number)) for number, path in enumerate(options.moving.imports)]
        for path, runs, weights in unpacked:
            print(f"{path}: {len(runs)} runs, {len(weights)} tests of weights, {_size(path.stat().st_size)}")
            for run in runs:
                if told.of(run.spec.run_id, partial(merge.merge, run, results)) and run.result:
                    taken.append(run.spec)
            for folder in weights:
                told.of(f"weights/{folder.name}", partial(_merge_weights, folder, results))
    status = told.end(f"into {results}", "to take what comes, move what is here away and give the same command again")
    if options.publish:
        status = max(status, publish(taken, results, options.tables, options.force, weights=True))
    return status


def _unpack(path: Path, stage: Path) -> tuple[Path, list[Record], list[Path]]:
    """The runs and evaluations of a bundle, each of which was read through. Raises UserError."""
    stage.mkdir()
    bundle.unpack(path, stage)
    runs, current = [], ""
    try:
        for folder in sorted((stage / "runs").glob("*")):
            current = f"runs/{folder.name}"
            runs.append(validate.read(RunFolder(folder.parent, folder.name)))
        weights = sorted((stage / "weights").glob("*"))
        for folder in weights:
            current = f"weights/{folder.name}"
            validate.evaluation(folder / EVALUATION)
    except Unsound as error:
        raise bundle.refusal(path, f"holds {current}, whose {error}") from error
    return path, runs, weights


def publish(specs: Iterable[Spec], results: Path, tables: Path, force: bool, weights: bool) -> int:
    """Copy finished runs, without checkpoints, to tables/measured, and write every page that comes from there.

    `weights` are the tests of weights from elsewhere, and ensembles. A run that is published with other content is refused
    and named, unless `force`. Returns the exit status: 0, or 1 where one was refused. Raises UserError for a run that is
    damaged, with nothing published.
    """
    runs = [_to_publish(RunFolder(results, s.run_id)) for s in specs if RunFolder(results, s.run_id).finished()]
    found = dict(_weights(results)) if weights else {}
    told = _Told()
    _probe(MEASURED)
    with merge.staging(MEASURED) as stage:
        for run in runs:
            told.of(run.spec.run_id, partial(_publish, run, stage, force))
        for name, path in found.items():
            copy = stage / "weights" / name
            copy.mkdir(parents=True)
            shutil.copyfile(path, copy / EVALUATION)
            told.of(f"weights/{name}", partial(_merge_weights, copy, MEASURED, force))
    for path in sorted(MEASURED.glob("*/spec.json")):
        RunFolder(MEASURED, path.parent.name).rewrite()
    status = told.end(f"into {MEASURED}", "see which is right; --force replaces what is published")
    for path in pages.write(studies.TABLES, MEASURED, tables):
        print(f"wrote {path}")
    for document, text in pages.documents(MEASURED).items():
        write_text(document, text)
    return status


def _probe(measured: Path) -> None:
    try:
        write_probe(measured)
    except UserError:
        raise UserError(f"--publish: {measured} is not writable: publish in a checkout of your own") from None


def _to_publish(folder: RunFolder) -> Record:
    try:
        run = validate.read(folder, with_checkpoint=False)
    except Unsound as error:
        raise UserError(f"{folder.path}: {error}: move its folder away and run it again") from error
    if run.spec.recipe.schedule == "smoke":
        raise UserError(f"--publish: {folder.run_id} is of the smoke schedule, which measures nothing: leave it out")
    if not pages.shown_by(run.spec):
        raise UserError(f"--publish: no table shows {folder.run_id}: leave it out")
    return run


def _publish(run: Record, stage: Path, force: bool) -> str:
    """Copy a record to tables/measured and say what became of it. Raises Refused."""
    here = RunFolder(MEASURED, run.spec.run_id)
    copy = RunFolder(stage, run.spec.run_id)
    shutil.copytree(run.folder.path, copy.path, ignore=lambda _, names: set(names) - set(run.files))
    published = [name for name in FILES if name != CHECKPOINT]
    replaced = here.path.exists() and (
        not here.finished() or (force and merge.differing(copy.path, here.path, published))
    )
    if replaced:
        here.path.rename(stage / f"{here.run_id}.old")
    said = merge.merge(Record(copy, run.spec, run.result, run.files, run.iteration, run.settled), MEASURED)
    return "replaced" if replaced else said


def _merge_weights(new: Path, results: Path, force: bool = False) -> str:
    """Put one evaluation of weights into a results folder, and say what became of it. Raises Refused."""
    here = results / "weights" / new.name
    if here.exists() and merge.differing(new, here, [EVALUATION]) and not force:
        raise Refused(f"is here with another {EVALUATION}")
    said = "already there" if here.exists() else "new"
    here.mkdir(parents=True, exist_ok=True)
    (new / EVALUATION).replace(here / EVALUATION)
    return said


class _Told:
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

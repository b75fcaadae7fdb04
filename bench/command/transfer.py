"""--export and --import: finished runs move as records, and only what was read through is put anywhere."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.command import report
from bench.command import tables as register
from bench.command.options import Options
from bench.command.publish import Told, merge_weights, publish, tested_weights
from bench.errors import Busy, UserError
from bench.exchange import bundle, merge, validate
from bench.exchange.validate import EVALUATION, Record, Unsound
from bench.files import check_file, write_probe
from bench.runs.folder import RunFolder
from bench.runs.spec import Spec


def export(options: Options) -> int:
    """Pack the runs that are asked for, or all in the results folder. Returns 0; raises UserError, with nothing written."""
    target, results = options.moving.export, options.results
    assert target
    check_file(target, "--export", exists=False)
    if target.is_dir() or (target.exists() and not options.force):
        raise UserError(f"--export {target} is there already: give another name, or --force to replace it")
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
        if not options.table or any("weights" in register.TABLES[name].heeds for name in options.table):
            found_weights = dict(tested_weights(results))
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
        specs = {spec.run_id: spec for name in options.table for spec in register.TABLES[name].plan(options).specs}
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
    results, told = options.results, Told()
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
                told.of(f"weights/{folder.name}", partial(merge_weights, folder, results))
    status = told.end(f"into {results}", "to take what comes, move what is here away and give the same command again")
    if options.publish:
        status = max(status, publish(taken, results, options.force, True, register.shown_by))
        report.write_committed(options.tables)
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

"""The folder of a run: `results/<run_id>/{spec.json, metrics.jsonl, checkpoint.pt, result.json, provenance.json}`.

A measurement of a trained net has a folder of the same kind, with `points.jsonl` and no checkpoint.

Every file is written whole or not at all. Reading is strict: what is not whole and of this version is refused.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from bench.errors import Busy, UserError
from bench.files import AGAIN, Damaged, convert, guarded, read_json, read_lines, write_json, write_lines, write_probe
from bench.runs import lease, upgrades
from bench.runs.derived import from_json
from bench.runs.ranges import Range, check
from bench.runs.spec import Spec

SILENT = 600.0
"""Seconds without a heartbeat after which a run on another machine, of which no scheduler knows, counts as dead."""
PERCENT = Range("error in percent", least=0, most=100)
COUNT, DONE = Range("number", least=1), Range("number", least=0)


@dataclass(frozen=True)
class Result:
    """What a finished run measured. Errors in percent, of the last iterate unless the name says otherwise."""

    run_id: str
    status: Literal["done", "diverged"]
    iterations: Annotated[int, DONE]
    """Iterations completed."""
    test_error: Annotated[float | None, PERCENT]
    test_error_best: Annotated[float | None, PERCENT]
    """Lowest over the evaluation points, chosen on the test set: optimistic, for comparison with such numbers only."""
    test_error_best_iteration: Annotated[int | None, COUNT]
    validation_error: Annotated[float | None, PERCENT]
    test_error_at_best_validation: Annotated[float | None, PERCENT]
    train_error: Annotated[float | None, PERCENT]
    """Over the images between the last two evaluation points, augmented, as the net saw them while it learnt."""
    train_error_full: Annotated[float | None, PERCENT]
    """Over all training images, not augmented, in evaluation mode, by the last iterate."""
    train_loss: float | None
    """Mean cross-entropy over the same images as `train_error`."""
    test_images: Annotated[int, COUNT]
    train_images: Annotated[int, COUNT]
    parameters: Annotated[int, COUNT]
    warmup_ended: Annotated[int | None, DONE]
    """Iterations done at the warm-up learning rate, None without warm-up."""
    wall_seconds: Annotated[float, DONE]
    """All attempts together: training, evaluation and checkpoints."""
    images_per_second: Annotated[float, DONE]
    """Training images over the seconds spent training, without evaluation."""

    def __post_init__(self) -> None:
        check(self)

    @property
    def summary(self) -> str:
        """What came out, in a few words."""
        return "diverged" if self.test_error is None else f"test error {self.test_error:.2f} %"


@dataclass(frozen=True)
class Measured:
    """That a measurement of a trained net is finished; what was measured is in `points.jsonl`."""

    run_id: str
    status: Literal["done"]
    points: Annotated[int, COUNT]
    weights: str
    """Digest of the weights of the net: what was measured of different ones is never put together."""
    wall_seconds: Annotated[float, DONE]
    """Of all attempts, spent on points that were kept."""

    def __post_init__(self) -> None:
        check(self)

    @property
    def iterations(self) -> int:
        """Points, as progress counts them."""
        return self.points

    @property
    def summary(self) -> str:
        """What came out, in a few words."""
        return f"{self.points} points"


R = TypeVar("R", Result, Measured)


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run are its properties."""

    results: Path
    run_id: str

    @cached_property
    def path(self) -> Path:
        return self.results / self.run_id

    @property
    def spec(self) -> Path:
        return self.path / "spec.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.pt"

    @property
    def points(self) -> Path:
        """Of a measurement."""
        return self.path / "points.jsonl"

    @property
    def construction(self) -> Path:
        """What a net extended by identity layers did before it was trained on."""
        return self.path / "construction.json"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def heartbeat(self) -> Path:
        return self.path / "heartbeat.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def events(self) -> Path:
        """The folder of TensorBoard's events, where they were asked for."""
        return self.path / "tensorboard"

    def finished(self) -> bool:
        return self.result.exists()

    def begun(self) -> bool:
        """Whether there is something to go on from."""
        return self.checkpoint.exists() or self.points.exists()

    def saved(self) -> set[tuple[str, int, int]]:
        """What there is to go on from, or the result, each file as it is now: one that is rewritten is another."""
        files = [path for path in (self.checkpoint, self.points, self.evaluation, self.result) if path.exists()]
        return {(path.name, path.stat().st_ino, path.stat().st_mtime_ns) for path in files}

    def clear(self) -> None:
        """Remove what was computed, to compute it again."""
        computed = (self.checkpoint, self.metrics, self.points, self.construction, self.evaluation)
        for path in (self.result, *computed):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.events, ignore_errors=True)

    def start(self, spec: Spec) -> None:
        """Make the folder and write or check its spec. Raises UserError where another spec is there."""
        if self.spec.exists():
            if read_spec(self.spec) != spec:
                raise UserError(f"{self.spec} is of another run than {spec.run_id}: move its folder away")
        else:
            write_json(self.spec, spec.to_json())

    @contextlib.contextmanager
    def locked(self, patience: float = 0) -> Iterator[None]:
        """Hold the run for this process; where another one takes it over, nothing more is written to its folder.

        Raises Busy where another process holds it for more than `patience` seconds.
        """
        write_probe(self.path)
        with lease.held(self.path / ".lock", self._busy, patience) as mine, guarded(self.path, mine.check):
            self._wait_for_older(mine)
            yield

    def _busy(self, holder: lease.Holder) -> str:
        return f"run {self.run_id} is being worked on by {holder.name}: wait for it, or choose other runs with --only"

    def _wait_for_older(self, mine: lease.Lease) -> None:
        """Raise Busy where a command of an older version, which has a lock of another kind, is at the run and lives."""
        file = self.path / ".lock.json"
        try:
            now, since = lease.touched(mine.path), file.stat().st_mtime
        except OSError:
            return
        facts = _facts(file)
        holder = lease.Holder(str(facts.get("host", "?")), facts["pid"] if isinstance(facts.get("pid"), int) else 0)
        if holder.host == socket.gethostname():
            alive = holder.pid > 0 and lease.lives(holder.pid, before=since)
        else:
            beats = [path.stat().st_mtime for path in (file, self.heartbeat) if path.exists()]
            alive = now - max(beats, default=0) < SILENT
        if alive:
            raise Busy(self._busy(holder))
        file.unlink(missing_ok=True)

    def read_result(self) -> Result:
        """The result. Raises UserError where the file is cut, of a newer format, or of another run."""
        return self._read(Result)

    def read_measured(self) -> Measured:
        """The same of a measurement."""
        return self._read(Measured)

    def _read(self, kind: type[R]) -> R:
        try:
            data = upgrades.upgraded(read_json(self.result))
            result = convert(kind, {name: value for name, value in data.items() if name != "format"})
        except ValueError as error:
            raise Damaged(self.result, error, AGAIN) from error
        if result.run_id != self.run_id:
            raise Damaged(self.result, f"run_id is {result.run_id!r:.80}; expected {self.run_id}", AGAIN)
        return result

    def write_result(self, result: Result | Measured) -> None:
        write_json(self.result, {"format": upgrades.FORMAT, **asdict(result)})

    def read_metrics(self) -> list[dict[str, Any]]:
        """The evaluation points, oldest first."""
        return read_lines(self.metrics)

    def rewrite(self) -> None:
        """Write spec and result in this version's format, where an older version wrote them. Raises UserError."""
        for path in (self.spec, self.result):
            if path.exists() and read_json(path).get("format") != upgrades.FORMAT:
                spec = read_spec(self.spec)
                write_json(self.spec, spec.to_json())
                self.write_result(self.read_measured() if spec.measures else self.read_result())

    def note(self, **facts: Any) -> None:
        """Add facts to the run's provenance."""
        known = read_json(self.provenance) if self.provenance.exists() else {}
        write_json(self.provenance, {**known, **facts})

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        write_lines(self.metrics, rows)


def _facts(path: Path) -> dict[str, Any]:
    """The object in a file; empty where it cannot be read."""
    try:
        return read_json(path)
    except UserError:
        return {}


def read_spec(path: Path) -> Spec:
    """The spec in a file, of this format or an older one. Raises UserError where it is damaged or of a newer format."""
    try:
        return from_json(read_json(path))
    except ValueError as error:
        raise Damaged(path, error, "move its folder away") from error

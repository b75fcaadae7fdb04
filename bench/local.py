"""Runs on this machine, one after another."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import job, progress
from bench.errors import Busy, Interrupted, UserError
from bench.spec import RunSpec
from bench.store import RunFolder


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop after the iteration; a second Ctrl-C stops at once."""
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(number, old[number])

    old = {number: signal.signal(number, ask) for number in (int(signal.SIGINT), int(signal.SIGTERM))}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def run_all(specs: Sequence[RunSpec], results: Path, data: Path, download: bool, force: bool) -> int:
    """Run what is missing. Returns the exit status: 0, 1 where a run failed, 2 where a run was held by another command.

    A run that fails is reported, and the others go on. Raises UserError for a mistake that no other run would escape,
    Interrupted when asked to stop.
    """
    status = 0
    watch = progress.watcher()
    try:
        with stop_on_signal() as should_stop:
            for number, spec in enumerate(specs, start=1):
                watch.begin(number, len(specs), spec.run_id)
                try:
                    path = job.run(spec, results, data, download, force, watch.report, should_stop)
                except Busy as error:
                    watch.end(f"run.py: {error}")
                    status = max(status, 2)
                except (UserError, Interrupted):
                    raise
                except Exception as error:  # the run's log has the traceback; the other runs are not to blame
                    log = RunFolder(results, spec.run_id).log
                    watch.end(f"{spec.run_id} failed: {type(error).__name__}: {error} (log: {log})")
                    status = max(status, 1)
                else:
                    result = RunFolder(results, path.name).read_result()
                    error_text = "diverged" if result.test_error is None else f"test error {result.test_error:.2f} %"
                    watch.end(f"{spec.run_id}: {error_text} after {job.format_duration(result.wall_seconds)}")
    finally:
        watch.close()
        sys.stdout.flush()
    return status

"""The doctor as a Slurm job: on a node of the kind that runs would get."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.cluster import launch, snapshot, submissions
from bench.compute.job import assert_own_modules
from bench.device.environment import ENVIRONMENT
from bench.doctor import examine
from bench.doctor.finding import Examination, Question
from bench.errors import UserError
from slurm import array, states
from slurm.array import Array
from slurm.programs import NoSlurm, call

POLL_SECONDS = 2.0
GRACE = 30.0
"""Seconds for which a file of a job that has ended may be on its way from another machine."""


def work(question: Question, path: Path) -> str:
    """What the job does: examine its node, and write what was found to a file."""
    assert_own_modules()
    examine.save(path, examine.examine(question))
    return str(path)


def send_and_wait(
    question: Question, profile: str, overrides: Mapping[str, Any], tell: Callable[[str], object]
) -> Examination:
    """Send the job, wait for it, and return what it found. Ctrl-C cancels it. Raises UserError."""
    chosen = launch.resolve(launch.load_profile(profile), "cifar", {"time": "00:15:00", **overrides})
    launch.ask_site()
    stamp = submissions.stamp()
    folder = question.results / "slurm" / "doctor" / stamp
    answer, comment = folder / "doctor.json", f"{stamp}.doctor"
    code = snapshot.take(question.results)
    job = Array("resnet-doctor", work, [(question, answer)], folder, code, chosen, comment, environment=ENVIRONMENT)
    try:
        job_id = array.submit(job)
        tell(f"job {job_id} waits for a node; logs in {folder}")
        try:
            _wait(answer, comment, tell)
        except KeyboardInterrupt:
            call("scancel", job_id)
            raise
    except NoSlurm as error:
        raise UserError(f"--cluster slurm: {error}: mend that, or examine this machine with --cluster local") from error
    if not answer.exists():
        raise UserError(f"job {job_id} ended without an answer: see {folder}/{job_id}_0_log.err")
    return examine.load(answer)


def _wait(answer: Path, comment: str, tell: Callable[[str], object]) -> None:
    """Until the answer is there, or the job has ended without one. Raises NoSlurm."""
    gone: float | None = None
    said = ""
    while not answer.exists():
        state = states.of_queue().get((comment, 0))
        if state is None or not state.active:
            gone = gone or time.monotonic()
            if time.monotonic() - gone > GRACE:
                return
        elif state.state != said:
            said = state.state
            tell(f"job {state.job_id} {said.lower()}" + (f" on {state.node}" if state.node else ""))
        time.sleep(POLL_SECONDS)

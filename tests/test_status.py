"""The precedence of evidence on how a run stands: every rule decides somewhere, and the stronger evidence wins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from bench.cluster.status import RULES, Evidence, judge
from bench.cluster.submissions import Sent, SentArray, Submission
from bench.compute.heartbeat import Beat
from slurm.states import TaskState

NOW = 1e6
BEAT = Beat("running", "here", 7, NOW - 5, "s.1.0", iteration=40, iterations=64)
OTHER = replace(BEAT, task="s.0.0", time=NOW - 5000)
"""A heartbeat of an earlier task."""
STOPPED, FAILED = (
    replace(BEAT, state="stopped"),
    replace(BEAT, state="failed", kind="OSError", reason="OSError: no disk"),
)
NAN = replace(FAILED, kind="NaN", reason="the loss was not finite")


def sent(
    folder: str = "/none", job: str | None = "9", age: float = 900, cancelled: bool = False, force: bool = False
) -> Sent:
    array = SentArray("s.1", job, "cifar", folder, (("run",),))
    return Sent(Submission("s", "t", NOW - age, "c", True, "", (array,), None, ("run",) * cancelled, force), array, 0)


def task(state: str, node: str = "n1", reason: str = "None") -> TaskState:
    return TaskState("9_0", state, node, reason)


def run(**known: object) -> Evidence:
    return Evidence("run", now=NOW, **known)  # type: ignore[arg-type]


CASES = {
    "diverged": (run(finished=True, beat=NAN), "failed", "NaN: the loss was not finite"),
    "result": (run(finished=True, sent=sent(), task=task("RUNNING")), "done", ""),
    "failed, task is ending": (run(beat=FAILED, sent=sent(), task=task("RUNNING")), "failed", "OSError: no disk"),
    "task is ending": (run(beat=BEAT, sent=sent(), task=task("COMPLETING")), "running", "ending"),
    "task runs": (run(beat=BEAT, alive=True, sent=sent(), task=task("RUNNING")), "running", ""),
    "task is starting": (run(beat=OTHER, sent=sent(), task=task("RUNNING")), "running", "starting"),
    "task waits": (run(sent=sent(), task=task("PENDING", "", "Priority")), "queued", "Priority"),
    "task is held up": (run(beat=BEAT, alive=True, sent=sent(), task=task("SUSPENDED")), "queued", "SUSPENDED"),
    "alive": (run(beat=BEAT, alive=True), "running", ""),
    "failed": (run(beat=FAILED, sent=sent(), no_answer=True), "failed", "OSError: no disk"),
    "task out of memory": (run(beat=BEAT, sent=sent(), task=task("OUT_OF_MEMORY")), "failed", "out of memory: give more --mem"),
    "task cancelled": (run(beat=BEAT, sent=sent(), task=task("CANCELLED")), "failed", "cancelled, at iteration 40 of 64"),
    "task killed": (run(sent=sent(), task=task("NODE_FAIL")), "failed", "NODE_FAIL: its node died, and it was not requeued"),
    "task ended": (run(sent=sent(), task=task("FAILED")), "failed", "FAILED: it left no word"),
    "no answer": (run(beat=BEAT, sent=sent(), no_answer=True), "unknown", ""),
    "being sent": (run(sent=sent(job=None, age=3)), "queued", "being sent"),
    "cancelled": (run(beat=STOPPED, sent=sent(cancelled=True)), "failed", "cancelled, at iteration 40 of 64"),
    "stopped": (run(beat=STOPPED, sent=sent(), no_answer=True), "stopped", "at iteration 40 of 64"),
    "forgotten, out of memory": (run(beat=BEAT, sent=sent("oom")), "failed", "out of memory: give more --mem"),
    "silent": (run(beat=OTHER, sent=sent()), "lost", "no sign of life since "),
    "never began": (run(sent=sent()), "lost", "never began, and the scheduler knows nothing of it: "),
    "new": (run(), "new", ""),
}  # fmt: skip
"""Rule -> evidence on which it decides, with the state and the beginning of the reason."""


@pytest.fixture(autouse=True)
def _killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder `oom` has the standard error of a task that was killed for its memory."""
    monkeypatch.chdir(tmp_path)
    Path("oom").mkdir()
    Path("oom/9_0_log.err").write_text("slurmstepd: error: Detected 1 oom_kill event\n")


def test_every_rule_has_a_case() -> None:
    assert [*CASES] == [rule.name for rule in RULES]


@pytest.mark.parametrize("name", CASES)
def test_each_rule_decides(name: str) -> None:
    evidence, state, why = CASES[name]
    found = judge(evidence)
    assert (found.rule, found.state) == (name, state)
    assert found.why.startswith(why)
    assert bool(found.why) == bool(why)
    assert found.diverged == (name == "diverged")


def combinations() -> Iterator[Evidence]:
    beats = (None, BEAT, OTHER, STOPPED, FAILED, NAN, replace(FAILED, task="s.0.0", time=NOW - 5000))
    places = (None, sent(), sent("oom"), sent(job=None, age=3), sent(cancelled=True), sent(force=True))
    states = ("PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "CANCELLED", "OUT_OF_MEMORY", "TIMEOUT", "FAILED")
    for finished, beat, place, state, answers in product((False, True), beats, places, (None, *states), (True, False)):
        known = task(state) if place and state and answers else None
        alive = beat is not None and beat.state == "running"
        yield run(finished=finished, beat=beat, alive=alive, sent=place, task=known, no_answer=not answers)
        yield run(finished=finished, beat=beat, sent=place, task=known, no_answer=not answers)


def test_combinations_of_evidence_reach_every_rule() -> None:
    assert {judge(evidence).rule for evidence in combinations()} == {rule.name for rule in RULES}


def test_the_stronger_evidence_wins() -> None:
    """The result, then the queue on what is under way, then the heartbeat, then the task's end, then the submission."""
    for evidence in combinations():
        found = judge(evidence)
        if evidence.has_result:
            assert found.rule in ("diverged", "result")
        elif evidence.active:
            assert found.state in ("queued", "running") or evidence.beat_says("failed")
            assert found.job_id == "9_0"
        elif evidence.alive and not evidence.ended:
            assert found.state == "running"
        elif evidence.ended:
            assert found.state == "failed" or evidence.alive
        elif evidence.sent is None:
            assert found.rule in ("failed", "stopped", "silent", "new")
        assert found.state != "new" or (evidence.sent is None and evidence.beat is None)


def test_an_array_without_an_answer_of_sbatch_has_no_job() -> None:
    """It was called job None."""
    assert judge(run(sent=sent(job=None))).job_id == ""
    assert judge(run(sent=sent(job=None), no_answer=True)).job_id == ""
    assert judge(run(sent=sent(), no_answer=True)).job_id == "9"


def test_a_log_is_of_the_task_where_the_run_left_none() -> None:
    err, log = Path("oom/9_0_log.err"), Path("log.txt")
    assert judge(run(beat=BEAT, sent=sent("oom"), log=log)).log == err
    assert judge(run(sent=sent("oom"), task=task("FAILED"), log=log)).log == err
    assert judge(run(sent=sent("oom", cancelled=True), log=log)).log == log
    assert judge(run(sent=sent("oom", cancelled=True))).log == err

"""The doctor: injected failures are found, with a remedy and the right exit status; the JSON is read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import run
from bench.doctor import examine, paths, software, storage
from bench.doctor.finding import Check, Examination, Finding, Question
from bench.doctor.paths import Ran, Way
from bench.training.source import Source

REFERENCE = [Ran((3.0, 2.5, 2.0), 100.0, 0.1, 1.0)]
WAY = Way("compiled", "compiled", needed=True)


@pytest.mark.parametrize(
    ("torch", "torchvision", "wants", "said"),
    [
        ("2.12.1+cu130", "0.27.1+cu130", ["numpy", "torch (==2.12.1)"], None),
        ("2.12.1+cu130", "0.27.1", ["torch==2.12.1"], None),
        ("2.11.0", "0.27.1", ["torch (==2.12.1)"], "made for torch 2.12.1, and torch is 2.11.0"),
        ("2.12.1+cu130", "0.27.1+cpu", ["torch (==2.12.1)"], "built for cpu, and torch for cu130"),
    ],
)
def test_a_torchvision_of_another_torch_is_seen(
    torch: str, torchvision: str, wants: list[str], said: str | None
) -> None:
    assert software.mismatch(torch, torchvision, wants) == said


@pytest.mark.parametrize(
    ("found", "verdict", "said"),
    [
        (Ran((3.0, 2.505, 2.0), 100.0, 9.0, 1.0), "ok", "loss 0.20%"),
        (Ran((3.0, 2.5, 2.2), 100.0, 9.0, 1.0), "fail", "loss 10.00% from eager fp32, and 0.5% is allowed"),
        (Ran((3.0, float("nan"), 2.0), 100.0, 9.0, 1.0), "fail", "allowed"),
        (Ran(trouble="failed: InductorError"), "fail", "failed: InductorError"),
    ],
)
def test_a_way_is_judged_by_its_loss(found: Ran, verdict: str, said: str) -> None:
    line = paths.judge(WAY, [found], REFERENCE)
    assert (line.verdict, line.needed) == (verdict, True)
    assert said in line.found
    assert bool(line.remedy) == (verdict == "fail")


def test_a_driver_that_is_too_old_and_a_path_with_a_space_are_seen() -> None:
    assert software.too_old("535.104.05", "13.0") == "CUDA 13.0 needs driver 580 or newer"
    assert software.too_old("580.82", "13.0") is None
    assert software.spaced({"TMPDIR": "/tmp", "cache": "/a b"}) == {"cache": "/a b"}


def test_no_compiler_and_one_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question(tmp_path, Source(tmp_path))
    monkeypatch.setenv("CXX", "/nonexistent")
    (line,) = software.check_compiler(question)
    assert (line.verdict, line.found) == ("warn", "no /nonexistent on the path: nets run eagerly without it")
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'error: bad compiler' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    line = next(iter(software.check_compiler(question)))
    assert line.verdict == "fail"
    assert line.needed
    assert "bad compiler" in line.found


def test_the_disk_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    lines = {line.name: line.verdict for line in storage.check_storage(Question(tmp_path / "new", Source(tmp_path)))}
    assert {name: lines[name] for name in ("results", "rename", "locks")} == dict.fromkeys(
        ("results", "rename", "locks"), "ok"
    )
    assert list(tmp_path.iterdir()) == []
    assert storage.space(1 << 20).verdict == "fail"
    assert storage.of_quota(" /dev/x 900 1000* 1000 0\n").verdict == "fail"


def broken(question: Question) -> list[Finding]:
    raise RuntimeError("odd machine")


def test_exit_status_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = Finding("paths", "eager", "ok", "fine", needed=True)

    def examined(*checks: Check) -> int:
        monkeypatch.setattr(examine, "CHECKS", tuple(("disk", check) for check in checks))
        return run.main(["doctor", "--results", str(tmp_path), "--json", str(tmp_path / "report.json")])

    assert examined(lambda question: [good]) == 0
    assert examined(lambda question: [good], broken) == 0
    assert "the check itself failed: RuntimeError: odd machine" in capsys.readouterr().out
    assert examined(lambda question: [replace(good, verdict="fail")]) == 1
    found = examine.load(tmp_path / "report.json")
    assert isinstance(found, Examination)
    assert found.status == 1
    capsys.readouterr()
    monkeypatch.setattr(examine, "CHECKS", (("paths", lambda question: [good]),))
    assert run.main(["doctor", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"][0]["name"] == "eager"

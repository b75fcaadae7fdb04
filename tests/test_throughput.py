"""The throughput table: what is timed, what counts as a drop, what a page says, and that the loops do what they say."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from conftest import ROOT, Command

from bench.errors import UserError
from bench.images import memory
from bench.measure.counts.closed_form import conv_outputs
from bench.measure.speed import ceilings, records, reference_loop, settings, throughput, turns
from bench.measure.speed.ceilings import Ceilings
from bench.measure.speed.records import Machine, Session, Speed, Whole
from bench.measure.speed.settings import CIFAR, IMAGENET, Setting, WholeRun
from bench.measure.speed.turns import Program
from bench.report.figures import drawing
from bench.report.figures import throughput as picture
from bench.report.tables import throughput as pages
from models.arch import parse_arch
from models.build import build

SETTING = Setting("resnet-20-A", "compiled")
SESSION = Session("2026-01-01", "torch", "abc", Ceilings({"fp32": 3e11}, 3e10), 2, (("cores", 2600.0),), 0.1)


def machine(factor: float, noise: float, name: str = "a machine", setting: Setting = SETTING) -> Machine:
    """Rounds of which ours are `factor` times as fast as the reference, both on a machine whose speed drifts."""
    rng = np.random.default_rng(0)
    common = 0.25 * np.exp(rng.normal(0, 0.05, 8))
    ours = common / factor * np.exp(rng.normal(0, noise, 8))
    speed = Speed(setting, tuple(ours.tolist()), tuple(common.tolist()), 20.0, 900, SESSION)
    return Machine(name, "cuda" if "NVIDIA" in name else "cpu", (speed,))


def test_every_net_of_the_study_is_timed_in_training_and_testing() -> None:
    nets = {*(f"plain-{d}" for d in (20, 32, 44, 56, 110)), *(f"resnet-{d}-A" for d in (20, 32, 44, 56, 110, 1202))}
    nets |= {f"imagenet-{kind}-{d}{option}" for d in (18, 34) for kind, option in [("plain", ""), *_residual()]}
    nets.add("imagenet-resnet-50-B")
    assert {*CIFAR, *IMAGENET} == nets
    for kind, ways, precisions in (
        ("cpu", {"eager", "compiled"}, {"fp32", "bf16"}),
        ("cuda", {"eager", "compiled", "captured"}, {"fp32", "tf32", "bf16", "fp16"}),
    ):
        found = settings.settings(kind)  # type: ignore[arg-type]
        assert {(s.net, s.training) for s in found} == {(net, training) for net in nets for training in (True, False)}
        assert len({s.name for s in found}) == len(found)
        assert {s.how for s in found} == ways
        assert {s.precision for s in found} == precisions
        for family in ("cifar", "imagenet"):
            assert {s.memory_format for s in found if s.arch.family == family} == {"channels_last", "contiguous"}
        shared = [s.reference for s in found]
        starts = sum(one != before for one, before in zip(shared, [None, *shared], strict=False))
        assert starts == len(set(shared))  # each reference loop is started once
    deepest = next(s for s in settings.settings("cpu") if "1202" in s.net)
    assert deepest.batch == 16


def _residual() -> list[tuple[str, str]]:
    return [("resnet", f"-{option}") for option in "ABC"]


def test_what_is_asked_for_is_timed() -> None:
    def names(glob: str, execution: str = "auto") -> list[str]:
        return [setting.name for setting in settings.select("cpu", glob, execution).settings]

    assert len(names("resnet-20-A")) == 6
    assert names("resnet-20-A", "compiled") == ["resnet-20-A-train-compiled-fp32", "resnet-20-A-train-compiled-bf16"]
    assert all(name.endswith("bf16") for name in names("*-bf16"))
    assert names("plain-18") == ["imagenet-plain-18-train-eager-fp32", "imagenet-plain-18-test-eager-fp32"]
    assert len(names("ResNet-34")) == 6  # three shortcuts
    assert names("resnet-26-A")[0] == "resnet-26-A-train-compiled-fp32"  # a net beyond the study
    assert [whole.name for whole in settings.select("cpu", "whole-*").wholes] == [
        f"whole-resnet-{depth}-A{precision}" for depth in (20, 56, 110) for precision in ("", "-bf16")
    ]
    assert settings.select("cpu", "whole-resnet-56-A").wholes == (WholeRun("resnet-56-A"),)
    assert settings.select("cpu", "whole-*-bf16").wholes[1] == WholeRun("resnet-56-A", "bf16")
    assert settings.select("cpu").wholes == settings.select("cpu", "*").wholes == ()
    for glob, execution, message in (
        ("resnet-21-A", "auto", "--only resnet-21-A: depth 21 is not 6n+2: try 20 or 26"),
        ("vgg-16", "auto", "--only vgg-16 matches nothing that is timed here: it has plain-20"),
        ("resnet-20-A", "captured", "--execution captured is not timed of these nets here: try compiled or eager"),
        ("whole-vgg", "auto", "matches no whole run: choose whole-resnet-20-A, whole-resnet-20-A-bf16"),
    ):
        with pytest.raises(UserError, match=message.replace("+", r"\+")):
            settings.select("cpu", glob, execution)


@pytest.mark.parametrize(
    ("factor", "noise", "drops"), [(1.5, 0.02, True), (1.75, 0.02, False), (1.5, 0.6, False), (2.2, 0.02, False)]
)
def test_a_drop_is_significant_and_large(factor: float, noise: float, drops: bool) -> None:
    """From 1.8: to 1.5 is one, to 1.75 is too small, to 1.5 in rounds that differ by half says nothing."""
    lines = records.regressions(machine(1.8, 0.02), machine(factor, noise))
    assert bool(lines) == drops
    if drops:
        assert lines[0].startswith("resnet-20-A-train-compiled-fp32: 1.5")


def test_a_small_drop_is_none_however_significant() -> None:
    assert records.regressions(machine(1.8, 1e-6), machine(1.65, 1e-6)) == []
    assert records.regressions(machine(1.8, 1e-6), machine(1.6, 1e-6))


def test_a_large_drop_is_none_where_rounds_differ_as_much() -> None:
    before, after = machine(1.8, 0.6), machine(1.2, 0.6)
    assert after.speeds[0].ratio < (1 - records.DROP) * before.speeds[0].ratio
    assert records.regressions(before, after) == []


@pytest.mark.parametrize("slower", [1.0, 10.0])
def test_a_machine_is_held_against_itself_or_another_by_ratio(tmp_path: Path, slower: float) -> None:
    """Where nothing is known of this machine the ratios of another count, and never how fast it is."""
    kept = tmp_path / "kept.json"
    records.save(kept, [machine(1.8, 0.02, "another"), machine(9.0, 0.02, "NVIDIA one")])
    same, drop = (_slowed(machine(factor, 0.02, "this one"), slower) for factor in (1.8, 1.4))
    assert records.check(kept, same)[0] == []
    lines, said = records.check(kept, drop)
    assert [line.split(":")[0] for line in lines] == ["resnet-20-A-train-compiled-fp32"]
    assert said.startswith("1 of 1 loops compared with those of another (none of this machine there)")
    records.save(kept, records.merge(records.load(kept), machine(1.4, 0.02, "this one")))
    assert records.check(kept, drop)[0] == []  # no drop since it was measured itself


def _slowed(one: Machine, factor: float) -> Machine:
    (speed,) = one.speeds
    seconds, common = (tuple(factor * s for s in each) for each in (speed.seconds, speed.reference_seconds))
    return replace(one, speeds=(replace(speed, seconds=seconds, reference_seconds=common),))


def test_a_check_that_compares_nothing_does_not_pass(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    records.save(kept, [machine(1.8, 0.02)])
    for new in (machine(1.8, 0.02, "NVIDIA one"), machine(1.8, 0.02, setting=Setting("resnet-32-A", "eager"))):
        (line,), _ = records.check(kept, new)
        assert line.endswith("nothing was compared")


def test_the_ratio_does_not_know_how_fast_the_machine_is() -> None:
    fast, slow = machine(1.8, 0.0), _slowed(machine(1.8, 0.0), 2.0)
    assert slow.speeds[0].ratio == pytest.approx(fast.speeds[0].ratio) == pytest.approx(1.8)
    assert slow.speeds[0].rate == pytest.approx(fast.speeds[0].rate / 2)


def test_what_was_measured_is_kept_and_replaced(tmp_path: Path) -> None:
    old = [machine(1.8, 0.02), machine(1.2, 0.02, "another")]
    later = replace(SESSION, date="2026-02-02", ceilings=Ceilings({"fp32": 4e11, "bf16": 8e11}, 3e10))
    (again,) = machine(2.0, 0.0).speeds
    whole = Whole("resnet-56-A", "compiled", "random", ((30.0, 0), (300.0, 5_000)), ((300.0, 4_000),), later)
    new = Machine("a machine", "cpu", (replace(again, session=later),), (replace(whole, precision="bf16"), whole))
    merged = records.merge(records.merge(old, machine(1.4, 0.02, setting=Setting("resnet-20-A", "eager"))), new)
    records.save(tmp_path / "kept.json", merged)
    assert records.load(tmp_path / "kept.json") == merged
    first, second = merged
    assert [m.name for m in merged] == ["a machine", "another"]
    assert [round(speed.ratio, 1) for speed in first.speeds] == [2.0, 1.4]
    assert [speed.session for speed in first.speeds] == [later, SESSION]  # each stands by its own session's ceilings
    assert first.sessions == [SESSION, later]
    quiet = replace(SESSION, ceilings=Ceilings({"fp32": 9e11}, 2e10))
    (speed,) = machine(1.8, 0.02).speeds
    (forgotten,) = records.merge([Machine("a machine", "cpu", (replace(speed, session=quiet),))], new)
    assert forgotten.sessions == [later]
    assert forgotten.ceilings == Ceilings({"fp32": 9e11, "bf16": 8e11}, 3e10)  # what it once did it can do
    assert second == old[1]
    assert [whole.precision for whole in first.wholes] == ["fp32", "bf16"]  # of one net, each in its place
    for damage in ("{}", '{"format": 3, "machines": []}', '{"format": 2, "machines": [{"name": "x"}]}'):
        (tmp_path / "kept.json").write_text(damage)
        with pytest.raises(UserError, match="measure again with --table throughput"):
            records.load(tmp_path / "kept.json")


def test_figures_of_the_first_version_are_read(tmp_path: Path) -> None:
    first = {
        "name": "a machine", "software": "torch 2.12.1", "commit": "abc", "ceilings": {"flops": 3e11, "bytes": 3e10},
        "speeds": [
            {
                "setting": {
                    "net": "resnet-20-A", "how": "compiled", "training": True, "precision": precision,
                    "memory_format": "channels_last", "batch": 128,
                },
                "seconds": [0.1, 0.11], "reference_seconds": [0.2, 0.2], "first_seconds": 30.0, "peak_mb": 600,
            }
            for precision in ("fp32", "bf16")
        ],
    }  # fmt: skip
    (tmp_path / "kept.json").write_text(json.dumps({"format": 1, "machines": [first]}))
    (found,) = records.load(tmp_path / "kept.json")
    single, half = found.speeds
    assert single.setting == SETTING
    assert single.of_ceilings(found.ceilings)[0] == pytest.approx(2 * 15.6e9 / 3e11 / 0.105, rel=0.01)
    assert half.of_floor(found.ceilings) is None  # no product was measured in half precision
    text = pages.render([found])
    assert "not measured |" in text
    assert "by an earlier benchmark" in text


def test_the_page_says_what_is_missing() -> None:
    text = pages.render([machine(1.8, 0.0)])
    assert "| ResNet-20 | compiled    | fp32" in text
    assert f"missing: `{pages.COMMAND}` on a machine with one" in text
    assert "missing" not in pages.render([machine(1.8, 0.0, "NVIDIA H100")])
    lacking = next(line for line in text.splitlines() if line.startswith("Not measured here yet, wholly"))
    assert all(pages.label(net) in lacking for net in (*CIFAR, *IMAGENET))
    assert pages.WHOLE_COMMAND in text
    assert "clocks cores 2,600 MHz" in text
    assert "busy" not in text
    (speed,) = machine(1.8, 0.0).speeds
    busy = Machine("a machine", "cpu", (replace(speed, session=replace(SESSION, load=3.0)),))
    assert "load before 3.0 (busy" in pages.render([busy])


def test_whole_runs_are_judged_from_the_third_minute() -> None:
    """Ours compiles for a minute, then trains 200 a second and tests for 20 s; the reference trains 100 a second at once."""
    ours = ((60.0, 0), (180.0, 24_000), (300.0, 48_000), (320.0, 48_000))
    common = ((180.0, 18_000), (300.0, 30_000), (310.0, 30_000))
    whole = Whole("resnet-20-A", "compiled", "CIFAR-10", ours, common, SESSION)
    assert whole.rates() == pytest.approx((48_000 / 320, 30_000 / 310))
    assert whole.rates(180.0) == pytest.approx((24_000 / 140, 12_000 / 130))
    assert replace(whole, ours=((90.0, 9_000),)).rates(180.0) is None  # it had ended
    text = pages.render([Machine("a machine", "cpu", (), (whole,))])
    rows = [line for line in text.splitlines() if line.startswith("| ResNet-20 ")]
    assert [row.replace("|", " ").split() for row in rows] == [
        ["ResNet-20", "compiled", "fp32", "CIFAR-10", "150", "1.55", f"{24_000 / 140 * 130 / 12_000:.2f}", "1.7"],
        ["ResNet-20", "compiled", "fp32", "5", "97", "171", "92"],
    ]


@pytest.mark.parametrize(
    "name", [*CIFAR[:-1], *IMAGENET, "imagenet-resnet-50-B-stride3x3", "imagenet-resnet-152-B", "vgg-16", "resnet-26-C"]
)
def test_least_work_is_counted_as_the_net_does_it(name: str) -> None:
    """Outputs of all convolutions, as the real net's hooks see their shapes."""
    arch, seen = parse_arch(name), []
    with torch.device("meta"):
        net = build(arch).eval()
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(lambda m, x, y: seen.append(y.numel()))
        side = 32 if arch.family == "cifar" else 224
        net(torch.zeros(1, 3, side, side))
    assert conv_outputs(arch) == sum(seen)


def test_the_floor_is_the_longer_of_two_times() -> None:
    outputs = conv_outputs(SETTING.arch)
    operations, moved = ceilings.floor(SETTING, Ceilings({"fp32": 1.0}, 1.0))
    assert operations == pytest.approx(128 * 3 * 2 * 40.8e6, rel=0.01)
    assert moved == 128 * 5 * 4 * outputs
    half = replace(SETTING, precision="bf16", training=False)
    assert ceilings.floor(half, Ceilings({"fp32": 1.0}, 1.0)) == (None, 128 * 2 * 2 * outputs)
    one = machine(1.8, 0.0)
    (speed,) = one.speeds
    assert speed.of_floor(one.ceilings) == max(speed.of_ceilings(one.ceilings))  # type: ignore[type-var]


def test_a_ceiling_is_the_best_that_was_reached() -> None:
    """One session saw a slow product at first and a fast one later; another, on another day, a fast copy."""
    later = replace(SESSION, ceilings=Ceilings({"fp32": 4e11, "bf16": 1e12}, 1e10))
    other_day = replace(SESSION, date="2026-02-01", ceilings=Ceilings({"fp32": 1e11}, 5e10))
    found = [Machine("a machine", "cpu")]
    for net, session in (("plain-20", SESSION), ("plain-32", later), ("plain-44", other_day)):
        (speed,) = machine(1.8, 0.0, setting=Setting(net, "eager")).speeds
        found = records.merge(found, Machine("a machine", "cpu", (replace(speed, session=session),)))
    (merged,) = found
    assert [session.date for session in merged.sessions] == ["2026-01-01", "2026-02-01"]
    assert merged.sessions[0].ceilings == Ceilings({"fp32": 4e11, "bf16": 1e12}, 3e10)
    assert merged.ceilings == Ceilings({"fp32": 4e11, "bf16": 1e12}, 5e10)


def test_the_figure_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    machines = [
        machine(1.8, 0.02),
        machine(9.0, 0.02, "NVIDIA one", Setting("resnet-20-A", "captured", precision="bf16")),
    ]
    one, other = (drawing.save(picture.draw(machines), tmp_path / "throughput") for _ in range(2))
    assert [path.suffix for path in one] == [".svg", ".png"]
    assert one == other
    assert b"captured, bf16" in one[tmp_path / "throughput.svg"]


@pytest.mark.parametrize(
    ("typed", "name"), [("RESNET-20-a", "resnet-20-A"), ("WHOLE-resnet-20-a*", "whole-resnet-20-A*")]
)
def test_a_net_is_named_in_any_case(typed: str, name: str) -> None:
    assert settings.select("cpu", typed) == settings.select("cpu", name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        Setting("resnet-8-A", "eager", batch=16),
        Setting("resnet-8-A", "reference", batch=16),
        Setting("imagenet-resnet-18-A", "eager", memory_format="contiguous", batch=2),
        Setting("imagenet-resnet-18-A", "reference", training=False, batch=2),
        Setting("imagenet-resnet-50-B", "eager", training=False, batch=2),
    ],
    ids=lambda setting: setting.name,
)
def test_a_loop_runs_and_ends(setting: Setting) -> None:
    with throughput.loop(setting) as loop:
        loop(1)
        assert loop.peak_mb() > 0
        assert loop.facts["first_seconds"] > 0
        process = loop._process
    assert not process.is_alive()


def test_the_reference_tests_after_each_epoch_and_ends_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    images = memory.Images(torch.zeros(32, 3, 32, 32, dtype=torch.uint8), torch.zeros(32, dtype=torch.int64))
    told, tested, test = list[int](), list[int](), reference_loop.Reference.test
    monkeypatch.setattr(
        reference_loop.Reference, "test", lambda self, x, y: (tested.append(len(y)), test(self, x, y))[1]
    )
    whole = memory.Dataset(images, images[slice(0, 10)])
    reference_loop.epochs(parse_arch("resnet-8-A"), whole, 16, torch.device("cpu"), 1e-9, told.append)
    assert told[-2:] == [32, 32]  # before and after the test
    assert max(told) == 32
    assert tested == [10]


@pytest.mark.slow
def test_what_is_timed_is_kept_and_held_against_what_was(tmp_path: Path) -> None:
    """The real thing on one core, the smallest net: what it is held against says fifty times the reference loop."""
    small, kept, before = Setting("resnet-8-A", "eager"), tmp_path / "kept.json", tmp_path / "before.json"
    records.save(before, [machine(50.0, 0.01, setting=small)])
    words = ["--nets", "resnet-8-A", "-k", f"{small.name}", "--seconds", "0.1", "--speeds", kept, "--against", before]
    core = min(os.sched_getaffinity(0))
    # pytest-benchmark times nothing where it believes to be one of several workers, as this test itself may be
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/throughput", *map(str, words)],
        cwd=ROOT, env=environment, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 of 1 loops compared with those of a machine" in done.stdout
    assert "  resnet-8-A-train-eager-fp32: " in done.stdout
    ((found,),) = (m.speeds for m in records.load(kept))
    assert found.setting == small
    assert len(found.seconds) == len(found.reference_seconds) >= 3
    assert found.session.ceilings.flops.keys() == {"fp32", "bf16"}


def test_a_check_that_measured_nothing_fails(tmp_path: Path) -> None:
    """A person's PYTEST_ADDOPTS skips all that is timed, and pytest itself is content."""
    before = tmp_path / "before.json"
    records.save(before, [machine(50.0, 0.01, setting=Setting("resnet-8-A", "eager"))])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/throughput", "--nets", "resnet-8-A", "--against", str(before)],
        cwd=ROOT, env=os.environ | {"PYTEST_ADDOPTS": "--benchmark-skip"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "--against: nothing was measured; run without PYTEST_ADDOPTS and --benchmark-skip" in done.stdout


def test_the_table_says_what_it_would_run(command: Command) -> None:
    done = command("--table", "throughput", "--only", "resnet-20-A", "--execution", "compiled", "--dry-run")
    assert "-m pytest tests/throughput" in done.stdout
    assert "--nets resnet-20-A --execution compiled" in done.stdout
    refused = command("--table", "throughput", "--only", "resnet-21-A", "--dry-run", check=False)
    assert (refused.returncode, refused.stderr) == (
        2,
        "run.py: --only resnet-21-A: depth 21 is not 6n+2: try 20 or 26\n",
    )
    command("--table", "throughput", "--report")
    assert "# Throughput" in (command.tables / "throughput.md").read_text()
    assert (command.tables / "figures" / "throughput.svg").exists()


def _stamps(folder: Path, tell: Callable[[int], object]) -> None:
    """When each of 200 short sleeps began, from when the other program is there too: PyTorch is long to load."""
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.01)
    for _ in range(200):
        tell(time.monotonic_ns())
        time.sleep(0.01)


def _stamps_of_a_child(folder: Path, tell: Callable[[int], object]) -> None:
    child = multiprocessing.get_context("fork").Process(target=_stamps, args=(folder, tell))
    child.start()
    child.join()


def _starts_a_child(pid: Path, tell: Callable[[int], object]) -> None:
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    pid.write_text(str(child.pid))
    child.join()


def _fails(tell: Callable[[int], object]) -> None:
    tell(1)
    raise SystemExit(3)


def test_programs_take_turns_with_all_that_they_start(tmp_path: Path) -> None:
    found = turns.timelines(
        [Program(_stamps, (tmp_path,)), Program(_stamps_of_a_child, (tmp_path,), False)], seconds=0.5
    )
    stamps = sorted((stamp, who) for who, line in enumerate(found) for _, stamp in line)
    switches = sum(one[1] != other[1] for one, other in pairwise(stamps))
    assert len(stamps) == 400
    assert 2 <= switches <= 100  # one a turn, and nearly one a stamp where both run at once
    for line in found:
        passed = (line[-1][1] - line[0][1]) / 1e9
        assert line[-1][0] - line[0][0] < 0.9 * passed  # its clock stood still in the other's turns


def test_a_program_that_fails_ends_the_others(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="_fails ended with status 3"):
        turns.timelines([Program(_starts_a_child, (tmp_path / "pid",)), Program(_fails, ())], seconds=10)
    pid = int((tmp_path / "pid").read_text())
    over = time.monotonic() + 30
    while time.monotonic() < over and _lives(pid):  # a process that is killed is gone a moment later
        time.sleep(0.01)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False

"""Training: the schedule to the letter, exact resume, a real kill, divergence, and what a checkpoint refuses."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT
from torch import nn

from bench.compute import heartbeat, job
from bench.compute.context import Context
from bench.compute.events import TAGS
from bench.compute.heartbeat import Attempt
from bench.errors import Busy, Interrupted, UserError
from bench.images import memory
from bench.run import main
from bench.runs.finished import finished_runs
from bench.runs.folder import RunFolder
from bench.runs.initial_net import build_for_run
from bench.runs.spec import CifarRecipe, RunSpec, Schedule
from bench.studies import cifar_depth as study
from bench.training import loop
from bench.training.feed import MemoryFeed
from bench.training.schedule import learning_rate
from bench.training.source import Source
from models.arch import Arch

CPU = torch.device("cpu")
QUICK = {"iterations": 30, "drops": (15, 25), "bn_statistics": "moving"}
"""Moving averages, since some tests look at a net after every iteration."""


def spec(seed: int = 0, arch: Arch | None = None, **changes: object) -> RunSpec:
    """A run of seconds on the digits."""
    arch = arch or Arch("cifar", 8, "A")
    recipe = replace(study.recipe(arch, "smoke", "digits"), **{**QUICK, **changes})  # type: ignore[arg-type]
    return RunSpec(arch, recipe, "digits", seed)


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder.checkpoint, weights_only=True)["net"]
    return state


def test_the_papers_schedule() -> None:
    recipe = CifarRecipe()
    rates = [learning_rate(recipe, i) for i in (0, 31_999, 32_000, 47_999, 48_000, 63_999)]
    assert rates == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert (recipe.iterations, recipe.batch, recipe.momentum, recipe.weight_decay) == (64_000, 128, 0.9, 1e-4)
    assert learning_rate(replace(recipe, warmup_lr=0.01), 5, warming_up=True) == 0.01
    assert learning_rate(replace(recipe, warmup_lr=0.01), 5) == 0.1


@pytest.mark.parametrize("schedule", ["paper", "short"])
def test_short_is_the_paper_divided_by_sixteen(schedule: Schedule) -> None:
    factor = 1 if schedule == "paper" else 16
    recipe = study.recipe(Arch("cifar", 20), schedule)
    assert recipe.iterations * factor == 64_000
    assert [drop * factor for drop in recipe.drops] == [32_000, 48_000]
    assert recipe == replace(
        CifarRecipe(),
        schedule=schedule,
        evaluate_every=500 if schedule == "paper" else 391,
        iterations=recipe.iterations,
        drops=recipe.drops,
        warmup_window=recipe.warmup_window,
    )


def test_only_deep_residual_nets_warm_up() -> None:
    warm = [arch.name for arch in study.ARCHS if study.recipe(arch, "paper").warmup_lr is not None]
    assert warm == ["resnet-110-A", "resnet-1202-A"]


def test_sgd_is_the_textbook_update() -> None:
    """Caffe's v = m v + lr g, w = w - v with decay in g, written out, against the optimiser across a change of rate."""
    torch.manual_seed(0)
    net = nn.Linear(4, 3)
    optimiser = loop.sgd(net, CifarRecipe())
    w, v = net.weight.detach().clone(), torch.zeros(3, 4)
    for lr in (0.1, 0.1, 0.01, 0.01):
        x = torch.randn(5, 4)
        loop.set_learning_rate(optimiser, lr, "caffe")
        optimiser.zero_grad()
        net(x).square().sum().backward()
        v = 0.9 * v + lr * (net.weight.grad + 1e-4 * w)
        w = w - v
        optimiser.step()
        torch.testing.assert_close(net.weight.detach(), w)


def test_the_two_forms_of_momentum_part_after_a_change_of_rate(tmp_path: Path) -> None:
    dataset = memory.digits()
    ends = []
    for form in ("caffe", "pytorch"):
        run = spec(momentum_form=form)
        folder = RunFolder(tmp_path, run.run_id)
        loop.train(run, loop.Session(folder, MemoryFeed(run.cifar, dataset, CPU)))
        ends.append(weights(folder)["conv1.weight"])
    assert not torch.equal(*ends)


def test_weight_decay_on_weights_only() -> None:
    net = build_for_run(spec())
    everything, weights_only = (loop.sgd(net, replace(CifarRecipe(), decay=decay)) for decay in ("all", "weights"))  # type: ignore[arg-type]
    assert [group["weight_decay"] for group in everything.param_groups] == [1e-4, 1e-4]
    assert [group["weight_decay"] for group in weights_only.param_groups] == [1e-4, 0.0]
    assert all(p.ndim > 1 for p in weights_only.param_groups[0]["params"])


@pytest.mark.parametrize("warmup_lr", [None, 0.01])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path: Path, warmup_lr: float | None) -> None:
    run = spec(seed=5, warmup_lr=warmup_lr, warmup_window=4)
    dataset = memory.digits()
    whole, parts = RunFolder(tmp_path / "whole", run.run_id), RunFolder(tmp_path / "parts", run.run_id)
    expected = loop.train(run, loop.Session(whole, MemoryFeed(run.cifar, dataset, CPU)))
    stops = iter([False] * 6 + [True] + [False] * 8 + [True] + [False] * 100)
    interrupted = 0
    while True:
        try:
            found = loop.train(
                run, loop.Session(parts, MemoryFeed(run.cifar, dataset, CPU), should_stop=lambda: next(stops))
            )
            break
        except Interrupted:
            interrupted += 1
    assert interrupted == 2
    a, b = weights(whole), weights(parts)
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert (found.test_error, found.train_error, found.warmup_ended) == (
        expected.test_error,
        expected.train_error,
        expected.warmup_ended,
    )
    assert (warmup_lr is None) == (found.warmup_ended is None)
    assert [row["iteration"] for row in parts.read_metrics()] == [20, 30]


def test_another_seed_ends_elsewhere(tmp_path: Path) -> None:
    dataset = memory.digits()
    ends = []
    for seed in (0, 1):
        run = spec(seed)
        folder = RunFolder(tmp_path, run.run_id)
        loop.train(run, loop.Session(folder, MemoryFeed(run.cifar, dataset, CPU)))
        ends.append(weights(folder)["conv1.weight"])
    assert not torch.equal(*ends)


def run_to_kill() -> RunSpec:
    """Long enough to be killed three times. Said once: another run in the script would be waited for without end."""
    return spec(9, iterations=250, drops=(125, 200))


KILLED = """
import sys, torch
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from bench.compute import job
from bench.compute.context import Context
from bench.training import checkpoint_interval
from bench.training.source import Source
from test_training import run_to_kill
torch.set_num_threads(1)
checkpoint_interval.CHECKPOINT_SECONDS = 0.0
job.run(run_to_kill(), Context(Path({results!r}), Source(Path("."))))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    """kill -9 at an arbitrary moment, several times, while it writes a checkpoint after every iteration."""
    run = run_to_kill()
    folders = [RunFolder(tmp_path / name, run.run_id) for name in ("killed", "whole")]
    scripts = [KILLED.format(root=str(ROOT), tests=str(ROOT / "tests"), results=str(f.results)) for f in folders]
    reached, kills = 0, 0
    while not folders[0].finished():
        process = subprocess.Popen([sys.executable, "-c", scripts[0]])
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
            if kills < 3 and folders[0].checkpoint.exists():
                now = torch.load(folders[0].checkpoint, weights_only=True)["progress"]["iteration"]
                if now > reached + 30:
                    process.send_signal(signal.SIGKILL)
                    kills, reached = kills + 1, now
                    break
        assert process.wait() in (0, -signal.SIGKILL)  # one that fails would be started again without end
    assert kills == 3
    subprocess.run([sys.executable, "-c", scripts[1]], check=True)
    a, b = weights(folders[0]), weights(folders[1])
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert json.loads(folders[0].provenance.read_text())["restarts"] == 3


def test_a_diverging_run_ends_with_that_state(tmp_path: Path) -> None:
    run = spec(lr=1e30)
    path = job.run(run, Context(tmp_path, Source(Path())))
    result = RunFolder(tmp_path, path.name).read_result()
    assert result.status == "diverged"
    assert result.test_error is None
    assert result.iterations <= run.recipe.evaluate_every < run.recipe.iterations  # the next look at the loss ends it
    assert finished_runs(tmp_path).keys() == {run.run_id}


def test_a_finished_run_is_not_run_again_unless_forced(tmp_path: Path) -> None:
    run = spec()
    folder = RunFolder(tmp_path, run.run_id)
    job.run(run, Context(tmp_path, Source(Path())))
    before = folder.result.stat().st_mtime_ns
    job.run(run, Context(tmp_path, Source(Path())))
    assert folder.result.stat().st_mtime_ns == before
    job.run(run, Context(tmp_path, Source(Path()), force=True))
    assert folder.result.stat().st_mtime_ns > before


def test_a_failing_run_keeps_its_log(tmp_path: Path) -> None:
    def broken(report: loop.Report) -> None:
        raise ZeroDivisionError("as planned")

    run = spec()
    with pytest.raises(ZeroDivisionError):
        job.run(run, Context(tmp_path, Source(Path()), on_report=broken))
    assert "ZeroDivisionError: as planned" in RunFolder(tmp_path, run.run_id).log.read_text()
    assert not RunFolder(tmp_path, run.run_id).finished()


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, cut: int) -> None:
    run = spec()
    folder = RunFolder(tmp_path, run.run_id)
    loop.train(run, loop.Session(folder, MemoryFeed(run.cifar, memory.digits(), CPU)))
    folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged .*: move it away"):
        loop.train(run, loop.Session(folder, MemoryFeed(run.cifar, memory.digits(), CPU)))


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    one, two = spec(0), spec(1)
    loop.train(one, loop.Session(RunFolder(tmp_path, one.run_id), MemoryFeed(one.cifar, memory.digits(), CPU)))
    target = RunFolder(tmp_path, two.run_id)
    target.path.mkdir()
    os.replace(RunFolder(tmp_path, one.run_id).checkpoint, target.checkpoint)
    with pytest.raises(UserError, match="is a checkpoint of another run"):
        loop.train(two, loop.Session(target, MemoryFeed(two.cifar, memory.digits(), CPU)))


def feed_that_takes(monkeypatch: pytest.MonkeyPatch, seconds: float, at: int) -> type[MemoryFeed]:
    """A feed whose batch number `at` takes so many seconds, and each of the others two, by the loop's clock."""
    clock = 0.0
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock))

    class Feed(MemoryFeed):
        taken = 0

        def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
            nonlocal clock
            self.taken += 1
            clock += seconds if self.taken == at else 2
            return super().batch()

    return Feed


@pytest.mark.parametrize("begun", [False, True])
def test_speed_and_time_left_do_not_count_the_first_iteration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """It compiles: a run whose first iteration takes 1,000 seconds and whose others take two has two for each that is left."""
    slow = feed_that_takes(monkeypatch, seconds=1_000, at=1)
    run, dataset = spec(evaluate_every=10), memory.digits()
    folder = RunFolder(tmp_path, run.run_id)
    if begun:
        stops = iter([False, False, True])
        with pytest.raises(Interrupted):
            loop.train(run, loop.Session(folder, slow(run.cifar, dataset, CPU), should_stop=lambda: next(stops)))
    said: dict[int, loop.Report] = {}

    def note(report: loop.Report) -> None:
        said[report.iteration] = report

    loop.train(
        run,
        loop.Session(folder, slow(run.cifar, dataset, CPU), on_report=note),
    )
    first = 4 if begun else 1
    assert said[first].seconds_left is None
    for iteration in (first + 1, 10, 29):
        assert said[iteration].seconds_left == 2 * (30 - iteration)
        assert said[iteration].images_per_second == run.recipe.batch / 2
    assert {point["images_per_second"] for point in folder.read_metrics()} == {run.recipe.batch / 2}


def test_speed_and_time_left_soon_forget_that_a_run_was_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a suspended job or a lid that was closed: an hour between two iterations, and two seconds for each of the others."""
    held = feed_that_takes(monkeypatch, seconds=3_600, at=15)
    run = spec(evaluate_every=10)
    folder = RunFolder(tmp_path, run.run_id)
    said: dict[int, loop.Report] = {}

    def note(report: loop.Report) -> None:
        said[report.iteration] = report

    loop.train(
        run,
        loop.Session(
            folder,
            held(run.cifar, memory.digits(), CPU),
            on_report=note,
        ),
    )
    assert said[15].seconds_left == 15 * (3_600 + 13 * 2) / 14, "it may go on like that"
    for iteration in (16, 20, 29):
        assert said[iteration].seconds_left == 2 * (30 - iteration)
        assert said[iteration].images_per_second == run.recipe.batch / 2
    assert [point["images_per_second"] for point in folder.read_metrics()] == [run.recipe.batch / 2] * 3


def test_a_stopped_run_says_how_far_it_has_come(tmp_path: Path) -> None:
    """To the iteration, however soon it is stopped, though no heartbeat was due."""
    run = spec()
    for iteration in (1, 2):
        with pytest.raises(Interrupted, match=f"stopped at iteration {iteration}"):
            job.run(
                run,
                Context(tmp_path, Source(Path()), should_stop=lambda: True, attempt=Attempt("task", iteration, "1")),
            )
        beat = heartbeat.read(RunFolder(tmp_path, run.run_id))
        assert beat
        assert (beat.state, beat.iteration, beat.iterations) == ("stopped", iteration, 30)


def test_a_run_is_held_by_one_process(tmp_path: Path) -> None:
    run = spec()
    with RunFolder(tmp_path, run.run_id).locked(), pytest.raises(Busy, match=f"worked on by process {os.getpid()}"):
        job.run(run, Context(tmp_path, Source(Path())))
    job.run(run, Context(tmp_path, Source(Path())))


def test_validation_selects_nothing_but_is_reported(cifar10_folder: Path, tmp_path: Path) -> None:
    """A few iterations on genuine CIFAR-10, with 5k held out."""
    recipe = replace(study.recipe(Arch("cifar", 8, "A"), "short", selection="val45k"), iterations=6, evaluate_every=3)
    run = RunSpec(Arch("cifar", 8, "A"), recipe, "cifar10", 0)
    whole = memory.load("cifar10", cifar10_folder, "val45k")
    assert whole.validation is not None
    few = memory.Dataset(whole.train[:2_000], whole.test[:500], whole.validation[:500])
    result = loop.train(run, loop.Session(RunFolder(tmp_path, run.run_id), MemoryFeed(run.cifar, few, CPU)))
    points = RunFolder(tmp_path, run.run_id).read_metrics()
    assert result.test_error == points[-1]["test_error"]
    assert result.validation_error == points[-1]["validation_error"]
    best = min(points, key=lambda point: point["validation_error"])
    assert result.test_error_at_best_validation == best["test_error"]
    assert {"iteration", "epoch", "lr", "train_loss", "train_error", "test_error", "images_per_second"} <= points[
        0
    ].keys()


def test_what_batch_norm_is_tested_with_changes_no_weight(tmp_path: Path) -> None:
    """Other errors at each point of evaluation from the same training, also where that is stopped and goes on."""
    dataset = memory.digits()
    folders = []
    for where, statistics, stop in (("a", "moving", -1), ("b", "recomputed", -1), ("c", "recomputed", 17)):
        run = spec(bn_statistics=statistics, evaluate_every=10)
        folder = RunFolder(tmp_path / where, run.run_id)
        if stop > 0:
            stops = iter([False] * stop + [True])
            with pytest.raises(Interrupted):
                loop.train(run, loop.Session(folder, MemoryFeed(run.cifar, dataset, CPU), should_stop=stops.__next__))
        loop.train(run, loop.Session(folder, MemoryFeed(run.cifar, dataset, CPU)))
        folders.append(folder)
    moving, recomputed, resumed = ([(p["train_loss"], p["test_error"]) for p in f.read_metrics()] for f in folders)
    assert [loss for loss, _ in moving] == [loss for loss, _ in recomputed]
    assert all(ours != theirs for (_, ours), (_, theirs) in zip(moving, recomputed, strict=True))
    assert recomputed == resumed
    a, b, c = map(weights, folders)
    averages = {name for name in a if "running" in name or "tracked" in name}
    assert all(torch.equal(a[name], b[name]) for name in set(a) - averages)
    assert any(not torch.equal(a[name], b[name]) for name in averages)
    assert all(torch.equal(b[name], c[name]) for name in b)


@pytest.mark.parametrize(("trained", "count"), [(True, 11), (False, 10)])
def test_recomputed_batch_norm_is_a_plain_average(trained: bool, count: int) -> None:
    """Over crops, as the net saw them: of all full batches after training (1,438 digits are 11), of ten before that."""
    from bench.training.augment import batch_draw

    recipe, dataset = spec().cifar, memory.digits()
    feed, net = MemoryFeed(recipe, dataset, CPU), build_for_run(spec())
    feed.average_statistics(net, trained)
    with torch.no_grad():
        draws = [batch_draw(1 << 31, i, 128, len(dataset.train), recipe.crop_padding) for i in range(count)]
        means = [net.conv1(feed.augment(draw.packed())[0]).mean((0, 2, 3)) for draw in draws]  # type: ignore[operator]
    torch.testing.assert_close(net.bn1.running_mean, torch.stack(means).mean(0), rtol=1e-4, atol=1e-5)  # type: ignore[union-attr]


def test_curves_for_tensorboard_go_on_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read back by TensorBoard: each point once, though one attempt wrote none and one more than its checkpoint has."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = spec(evaluate_every=5)
    folder, early = RunFolder(tmp_path, run.run_id), tmp_path / "early.pt"
    for stop, asked in ((7, False), (17, True), (-1, True)):
        calls = iter(range(1, 100))
        stops = lambda: next(calls) == stop  # noqa: B023, E731
        context = Context(tmp_path, Source(tmp_path, tensorboard=asked), should_stop=stops)
        with pytest.raises(Interrupted) if stop > 0 else contextlib.nullcontext():
            job.run(run, context)
        if early.exists():
            shutil.copy(early, folder.checkpoint)  # as after a loss of power, before the last one was written
        elif folder.checkpoint.exists():
            shutil.copy(folder.checkpoint, early)
    events = EventAccumulator(str(folder.events)).Reload()
    points = folder.read_metrics()
    assert [point["iteration"] for point in points] == [5, 10, 15, 20, 25, 30]
    assert set(events.Tags()["scalars"]) == {"train/loss", "train/error", "test/error", "lr"}
    for tag, name in TAGS.items():
        shown = [(event.step, event.value) for event in events.Scalars(tag)]
        assert shown == [(point["iteration"], pytest.approx(point[name])) for point in points]

    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert main(("--table", "cifar_depth", "--schedule", "smoke", "--tensorboard", "--dry-run")) == 2
    said = "--tensorboard needs the package tensorboard, which is not installed: pip install tensorboard"
    assert capsys.readouterr().err == f"run.py: {said}\n"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_smoke_schedule_shows_what_the_paper_says(seed: int, tmp_path: Path) -> None:
    """ResNet-110 learns; plain-56 does not, and is nearer to it than plain-110. Tested at the end only, to the same bits."""
    errors = {}
    for arch in (Arch("cifar", 110, "A"), Arch("cifar", 56)):
        (whole,) = (run for run in study.runs("smoke") if run.arch == arch)
        recipe = replace(whole.cifar, evaluate_every=whole.cifar.iterations)
        job.run(replace(whole, recipe=recipe, seed=seed), Context(tmp_path, Source(tmp_path)))
    for run in finished_runs(tmp_path).values():
        errors[run.spec.arch.name] = run.result.test_error
    assert errors["resnet-110-A"] <= 15
    assert errors["plain-56"] >= 50

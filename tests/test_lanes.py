"""Runs as threads of one process: the bits of the same runs alone, and nothing that one does reaches another."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from test_training import CPU, spec, weights
from torch import nn

from bench.compute import job, side_by_side
from bench.compute.context import Company, Context
from bench.device import lanes
from bench.errors import UserError
from bench.images import memory
from bench.measure.counts.estimate import Estimator
from bench.runs.finished import finished_runs
from bench.runs.folder import RunFolder
from bench.runs.initial_net import build_for_run
from bench.runs.spec import CifarRecipe, RunSpec
from bench.studies import imagenet
from bench.testing.error_rate import fold
from bench.training import execution, loop
from bench.training.augment import batch_draw
from bench.training.feed import MemoryFeed
from bench.training.source import Source
from models.arch import Arch

SOURCE = Source(Path())


def short(seed: int = 0, arch: Arch | None = None, iterations: int = 12, **changes: object) -> RunSpec:
    """A run of a second, with three learning rates."""
    third = iterations // 3
    return spec(
        seed, arch, iterations=iterations, drops=(third, 2 * third), **{"batch": 16, "evaluate_every": 5, **changes}
    )


def three(iterations: int = 12, **changes: object) -> list[RunSpec]:
    """Nets, seeds and lengths differ."""
    return [
        short(0, Arch("cifar", 8, "A"), iterations, **changes),
        short(1, Arch("cifar", 14, "B"), iterations + 3, **changes),
        short(2, Arch("cifar", 8), iterations, warmup_lr=0.01, warmup_window=4, **changes),
    ]


def points(folder: RunFolder) -> list[dict[str, object]]:
    return [{key: value for key, value in row.items() if key != "images_per_second"} for row in folder.read_metrics()]


def assert_same_bits(runs: Sequence[RunSpec], one: Path, other: Path) -> None:
    for run in runs:
        a, b = RunFolder(one, run.run_id), RunFolder(other, run.run_id)
        assert weights(a).keys() == weights(b).keys()
        assert all(torch.equal(value, weights(b)[key]) for key, value in weights(a).items())
        assert points(a) == points(b)
        assert a.read_result().train_error_full == b.read_result().train_error_full


def provenance(results: Path, run: RunSpec) -> dict[str, object]:
    facts: dict[str, object] = json.loads(RunFolder(results, run.run_id).provenance.read_text())
    return facts


def together(does: Sequence[Callable[[], object]]) -> None:
    """Call all at once, in threads; raises what one of them raised."""
    start, raised = threading.Barrier(len(does)), list[BaseException]()

    def do(one: Callable[[], object]) -> None:
        start.wait()
        try:
            one()
        except BaseException as error:
            raised.append(error)

    lanes.each(does, do)
    if raised:
        raise raised[0]


def test_threads_that_begin_at_once_have_the_initial_weights_of_their_seeds() -> None:
    runs = [spec(seed, Arch("cifar", 20, "A")) for seed in range(6)]
    nets: dict[int, nn.Module] = {}
    before = torch.random.get_rng_state()
    together([lambda run=run: nets.update({run.seed: build_for_run(run)}) for run in runs])  # type: ignore[misc]
    assert torch.equal(torch.random.get_rng_state(), before)
    for run in runs:
        alone = build_for_run(run).state_dict()
        assert all(torch.equal(value, alone[key]) for key, value in nets[run.seed].state_dict().items())


def test_a_thread_that_is_alone_is_alone() -> None:
    """Three threads that take turns at being alone; the others stand still at a pause meanwhile, or have ended."""
    inside, seen = [0], list[int]()

    def work() -> None:
        with lanes.lane(CPU):
            for step in range(60):
                lanes.pause()
                inside[0] += 1
                time.sleep(0.0005)
                inside[0] -= 1
                if step % 20 == 10:
                    with lanes.alone():
                        seen.append(inside[0])
                        time.sleep(0.005)
                        seen.append(inside[0])

    together([work] * 3)
    assert seen == [0] * 18
    with lanes.alone():  # nobody is left to be waited for
        pass


def test_who_wants_to_be_alone_waits_for_a_pause_only() -> None:
    was_alone, steps = threading.Event(), 1_000

    def work() -> None:
        with lanes.lane(CPU):
            for _ in range(steps):
                lanes.pause()
                if was_alone.wait(0.005):
                    return
        raise AssertionError("the other had to wait until this one had ended")

    def be_alone() -> None:
        with lanes.lane(CPU):
            time.sleep(0.05)
            with lanes.alone():
                was_alone.set()

    together([work, work, be_alone])


def test_nets_are_folded_while_others_compute() -> None:
    """torch.fx changes nn.Module itself for a moment."""
    nets = [build_for_run(spec(seed)).eval() for seed in range(3)]
    images = torch.randn(2, 3, 8, 8)
    expected = [fold(net)(images) for net in nets]

    def work(number: int) -> None:
        with lanes.lane(CPU), torch.no_grad():
            for _ in range(8):
                lanes.pause()
                nets[number](images)
                assert torch.equal(fold(nets[number])(images), expected[number])

    together([lambda number=number: work(number) for number in range(3)])  # type: ignore[misc]


def test_the_steps_of_graphs_in_threads_are_the_plain_ones(tmp_path: Path) -> None:
    """Without a GPU the steps of a graph are taken one by one, on the buffers of each thread."""
    runs = three()

    def train(run: RunSpec) -> None:
        with lanes.lane(CPU):
            feed = MemoryFeed(run.cifar, memory.held("digits", Path(), "all", False, CPU), CPU)
            folder = RunFolder(tmp_path / "packed", run.run_id)
            folder.write_result(loop.train(run, loop.Session(folder, feed, choose=lambda earlier: "captured")))

    together([lambda run=run: train(run) for run in runs])  # type: ignore[misc]
    for run in runs:
        job.run(run, Context(tmp_path / "alone", SOURCE))
    assert_same_bits(runs, tmp_path / "packed", tmp_path / "alone")


def test_runs_of_a_process_share_their_data(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = list[str]()
    load = memory.load
    monkeypatch.setattr(memory, "load", lambda name, *more: (loads.append(name), load(name, *more))[1])
    feeds: dict[int, MemoryFeed] = {}

    def open_feed(number: int) -> None:
        recipe = CifarRecipe(flip=number > 0, crop_padding=2 if number == 3 else 4)
        feeds[number] = MemoryFeed(recipe, memory.held("digits", Path(), "all", False, CPU), CPU)

    together([lambda number=number: open_feed(number) for number in range(4)])  # type: ignore[misc]
    assert loads == ["digits"]
    assert len({feed.train.images.data_ptr() for feed in feeds.values()}) == 1
    windows = [feed._augment.windows.untyped_storage().data_ptr() for feed in feeds.values()]
    assert len(set(windows)) == 2  # padded by four for three of them, and by two
    feeds.clear()
    memory.held("digits", Path(), "all", False, CPU)
    assert loads == ["digits"] * 2  # nobody had kept it


@pytest.mark.parametrize("start", [0, 4, 24])
def test_a_feed_draws_what_its_seed_and_iteration_say(start: int) -> None:
    """20 images in batches of 16, and of 50: of two epochs, and of four."""
    few = memory.digits().train[:20]
    for batch in (16, 50):
        feed = MemoryFeed(CifarRecipe(batch=batch), memory.Dataset(few, few), CPU)
        feed.begin(start, 7)
        for iteration in range(start, start + 8):
            draw = feed.next_draw()
            assert draw.shape == (4, batch)
            assert torch.equal(draw, batch_draw(7, iteration, batch, 20, 4).packed())


def test_who_shares_a_process() -> None:
    big = RunSpec(Arch("imagenet", 18, "A"), imagenet.recipe("paper"), "imagenet", 0)
    assert side_by_side.share_a_process(three(), "auto")
    assert side_by_side.share_a_process(three(), "captured")
    assert not side_by_side.share_a_process(three(), "eager")
    assert not side_by_side.share_a_process(three(), "compiled")
    assert not side_by_side.share_a_process([*three(), big], "auto")
    assert not side_by_side.share_a_process([spec(), spec(precision="tf32")], "auto")


def test_a_run_in_a_thread_is_never_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "compiler", lambda: "g++")
    assert execution.choose("auto", spec(), CPU, 1e6, None) == "compiled"
    assert execution.choose("auto", spec(), CPU, 1e6, None, in_thread=True) == "eager"
    assert execution.choose("auto", spec(), CPU, 1e6, "compiled", in_thread=True) == "eager"
    with pytest.raises(UserError, match="--execution compiled needs a process for each run: leave out --pack"):
        execution.choose("compiled", spec(), CPU, 1e6, None, in_thread=True)


def test_hours_of_a_packed_run_are_its_part_of_the_device(tmp_path: Path) -> None:
    estimates = []
    for runs in (1, 4):
        results = tmp_path / str(runs)
        job.run(short(), Context(results, SOURCE, company=Company(runs)))
        finished = finished_runs(results)
        (run,) = finished.values()
        estimates.append(Estimator("cpu", finished.values())(short()).hours * 3600 / run.result.wall_seconds)
    assert estimates == [pytest.approx(1), pytest.approx(1 / 4)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_captured_threads_end_with_the_bits_of_the_same_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deterministic kernels; three learning rates, so that each captures thrice while the others train."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    runs = three(30)
    source = Source(Path(), execution="captured")
    for run in runs:
        job.run(run, Context(tmp_path / "alone", source))
    together(
        [
            lambda run=run: job.run(run, Context(tmp_path / "packed", source, company=Company(3, threads=True)))  # type: ignore[misc]
            for run in runs
        ]
    )
    assert_same_bits(runs, tmp_path / "packed", tmp_path / "alone")
    assert provenance(tmp_path / "packed", runs[0])["execution"] == "captured"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_threads_have_streams_of_their_own() -> None:
    device = torch.device("cuda")
    streams, here = list[int](), threading.Barrier(4)

    def work() -> None:
        with lanes.lane(device):
            streams.append(torch.cuda.current_stream().cuda_stream)
            here.wait()

    together([work] * 4)
    assert len(set(streams)) == 4
    assert torch.cuda.default_stream().cuda_stream not in streams

"""A run's own overhead: clocks of a real run, and what the page makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import ROOT
from test_training import CPU, spec

from bench.files import read_json
from bench.images import memory
from bench.report.tables import harness
from bench.report.tables.harness import APART, Overhead, Overheads
from bench.runs.folder import RunFolder
from bench.training import checkpoint_interval, loop
from bench.training.feed import MemoryFeed

OVERHEAD = Overhead(
    "resnet-20-A",
    "compiled",
    APART,
    1,
    2,
    wall=150.0,
    first=40.0,
    training=140.0,
    evaluation=5.0,
    checkpoints=2.0,
    metrics=1.0,
)


def test_a_run_knows_where_its_time_went(tmp_path: Path) -> None:
    run = spec()
    folder = RunFolder(tmp_path, run.run_id)
    result = loop.train(run, loop.Session(folder, MemoryFeed(run.cifar, memory.digits(), CPU)))
    seconds = read_json(folder.provenance)["seconds"]
    assert seconds.keys() == {"training", "first", "evaluation", "metrics", "checkpoints", "end"}
    assert all(value > 0 for value in seconds.values())
    assert seconds["first"] < seconds["training"]
    parts = sum(seconds.values()) - seconds["first"]
    assert 0.9 * result.wall_seconds < parts <= result.wall_seconds
    now = torch.load(folder.checkpoint, weights_only=True)["progress"]
    assert now["saves"] == 1  # at the first point; the one at the end is this file itself
    assert now["seconds"].keys() == seconds.keys() - {"training", "end"}


def test_a_checkpoint_without_clocks_is_read(tmp_path: Path) -> None:
    run = spec()
    folder = RunFolder(tmp_path, run.run_id)
    feed = MemoryFeed(run.cifar, memory.digits(), CPU)
    loop.train(run, loop.Session(folder, feed))
    state = torch.load(folder.checkpoint, weights_only=True)
    for name in ("seconds", "saves"):
        del state["progress"][name]
    torch.save(state, folder.checkpoint)
    loop.train(run, loop.Session(folder, feed))
    assert read_json(folder.provenance)["seconds"].keys() == {"training", "end"}


def test_shares_are_of_all_but_the_first_iteration() -> None:
    """110 s, of which 100 train; 2 of the 10 are none of the named parts."""
    shares = OVERHEAD.shares
    percents = {"evaluation": 5 / 1.1, "checkpoints": 2 / 1.1, "metrics": 1 / 1.1, "other": 2 / 1.1, "all": 10 / 1.1}
    assert shares == pytest.approx(percents)


def test_checkpoints_are_rarer_where_they_take_long() -> None:
    """Each minute; at half a percent of the time where that is more; each ten minutes at least, whatever they take."""
    costs = (0.0, 0.3, 0.6, 1.2, 3.0, 60.0)
    assert [*map(checkpoint_interval.seconds_between, costs)] == [60, 60, 120, 240, 600, 600]


def test_a_run_saves_as_often_as_the_last_checkpoint_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and then, as that one is said to be too dear, not before the end; nor at an evaluation point."""
    costs: list[float] = []

    def between(cost: float) -> float:
        costs.append(cost)
        return 0.0 if len(costs) == 1 else float("inf")

    monkeypatch.setattr(checkpoint_interval, "seconds_between", between)
    monkeypatch.setattr(checkpoint_interval, "SAVING_SHARE", 0.0)
    run = spec(iterations=6, drops=(2, 4), evaluate_every=2)
    loop.train(run, loop.Session(RunFolder(tmp_path, run.run_id), MemoryFeed(run.cifar, memory.digits(), CPU)))
    assert costs[0] == 0 < min(costs[1:])
    assert len(costs) == 3


def test_a_stretch_is_put_together_from_its_parts() -> None:
    """Iterations of 10 s and tests of 200: 500 such, and a checkpoint of 0.6 s each two minutes, as a minute is too often."""
    few = Overhead("resnet-1202-A", "eager", 9, 1, 5, 290.0, 5.0, 85.0, 200.0, 3.0, 0.0)
    assert few.estimated
    assert few.iteration == 10
    shares = few.shares
    saved = 0.6 * (1 + (5000 + 200) / 120)
    other = 2.0 / 285
    stretch = (5000 + 200 + saved) / (1 - other)
    assert shares["evaluation"] == pytest.approx(100 * 200 / stretch)
    assert shares["checkpoints"] == pytest.approx(100 * saved / stretch)
    assert shares["all"] == pytest.approx(100 * (1 - 5000 / stretch))
    assert not OVERHEAD.estimated


def test_the_page_has_a_row_for_each_command_and_depth(tmp_path: Path) -> None:
    figures = harness.load(ROOT / "tables" / "measured" / "harness.json")
    none = harness.render(figures, None)
    assert none.count("missing") >= len(harness.NETS) + 1
    few = Overhead("resnet-1202-A", "eager", 9, 1, 5, 290.0, 5.0, 85.0, 200.0, 3.0, 0.0)
    overheads = Overheads("a machine", "torch", "abc", (OVERHEAD, few))
    harness.save_overheads(tmp_path / "kept.json", overheads)
    assert harness.load_overheads(tmp_path / "kept.json") == overheads
    text = harness.render(figures, overheads)
    row = next(line for line in text.splitlines() if line.startswith("| ResNet-20 "))
    assert row.replace("|", " ").split()[:4] == ["ResNet-20", "compiled", "500", "200"]
    assert row.replace("|", " ").split()[-4:] == ["9.1", "%", "5", "%"]
    assert "9, the rest estimated" in text
    assert all(words in text for words in harness.WORDS.values())
    assert harness.load_overheads(tmp_path / "none.json") is None

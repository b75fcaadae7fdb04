"""What is done with trained nets: extended by identities, and moved away from their weights. On the digits, in seconds."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import shutil
import signal
import warnings
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from test_training import spec, weights
from test_transfer import changed, do, forged, in_json, in_line, members, untaken
from torch import Tensor, nn

from bench.compute import heartbeat, job, side_by_side
from bench.compute.context import Context
from bench.compute.heartbeat import Attempt
from bench.errors import Interrupted, Unready, UserError
from bench.exchange import validate
from bench.files import read_json, read_lines
from bench.images import memory
from bench.measure.probes import surface, surface_record
from bench.measure.probes.surface_record import Surface
from bench.runs.derived import Extension, Grid, SurfacePart, from_json, parts
from bench.runs.finished import finished_runs
from bench.runs.folder import RunFolder
from bench.runs.initial_net import build_for_run
from bench.runs.spec import RunSpec
from bench.studies import constructed_solution
from bench.training import checkpoint, constructed
from bench.training.feed import MemoryFeed
from bench.training.report import Report
from bench.training.source import Source
from models.arch import Arch
from models.cifar import CifarNet

CPU = torch.device("cpu")
NOWHERE = Source(Path())
PLAIN, RESIDUAL = Arch("cifar", 8), Arch("cifar", 8, "A")
DEEPER = Arch("cifar", 20)
LINES, PLANE = Grid("lines", 2, 5, 100), Grid("plane", 5, 5, 100)


def training(arch: Arch) -> RunSpec:
    return spec(arch=arch, iterations=40, drops=(30,), lr=0.05, evaluate_every=20)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a plain and a residual net of eight layers, trained for a moment."""
    folder = tmp_path_factory.mktemp("results")
    for arch in (PLAIN, RESIDUAL):
        job.run(training(arch), Context(folder, NOWHERE))
    return folder


def extended(depth: int = 20) -> Extension:
    plain = training(PLAIN)
    return constructed_solution.extension(plain, replace(plain, arch=Arch("cifar", depth)))


@pytest.fixture(scope="module")
def feed() -> MemoryFeed:
    return MemoryFeed(training(PLAIN).cifar, memory.digits(), CPU)


@pytest.fixture
def nets(results: Path, feed: MemoryFeed) -> tuple[CifarNet, CifarNet]:
    """The trained shallow net, and the deeper one that is constructed from it."""
    shallow, deep = checkpoint.trained(training(PLAIN), results), build_for_run(extended())
    assert isinstance(shallow, CifarNet)
    assert isinstance(deep, CifarNet)
    constructed.extend(shallow, deep, feed.train, feed.normalise)
    return shallow, deep


@torch.no_grad()
def difference(nets: tuple[nn.Module, nn.Module], feed: MemoryFeed) -> float:
    """The largest difference of a logit over all test images."""
    x = feed.normalise(feed.test.images)
    shallow, deep = (net(x) for net in nets)
    return float((shallow - deep).abs().max())


def test_an_extended_net_is_the_same_function(nets: tuple[CifarNet, CifarNet], feed: MemoryFeed) -> None:
    """Twenty layers out of eight. Beside it a twin with one weight off, and one whose added batch norm forgets its mean."""
    shallow, deep = nets
    assert sum(p.numel() for p in deep.parameters()) > 2 * sum(p.numel() for p in shallow.parameters())
    assert difference(nets, feed) < 1e-5
    assert feed.train_error(deep) == feed.train_error(shallow)
    wrong = copy.deepcopy(deep)
    with torch.no_grad():
        wrong.layer2[2].conv1.weight[0, 1, 1, 1] += 0.01  # type: ignore[union-attr, operator]
    assert difference((shallow, wrong), feed) > 1e-4
    wrong = copy.deepcopy(deep)
    nn.init.zeros_(wrong.layer3[1].bn1.bias)  # type: ignore[union-attr, arg-type]
    assert difference((shallow, wrong), feed) > 1e-2


def test_the_added_blocks_are_the_last_of_each_stage(nets: tuple[CifarNet, CifarNet]) -> None:
    """Where no shape changes; the others are the shallow net's, to the bit."""
    shallow, deep = nets
    kept = shallow.state_dict()
    assert all(torch.equal(deep.state_dict()[name], value) for name, value in kept.items())
    for stage in (deep.layer1, deep.layer2, deep.layer3):
        assert [bool(block.conv2.weight.count_nonzero() == len(block.conv2.weight)) for block in stage] == [  # type: ignore[union-attr, operator, arg-type]
            False, True, True,
        ]  # fmt: skip


def test_the_added_layers_are_identities_while_the_net_is_trained(
    nets: tuple[CifarNet, CifarNet], feed: MemoryFeed
) -> None:
    """With statistics of a batch: the loss stays what it was, to the noise of a batch. With mean 0 and deviation 1 it goes."""
    shallow, deep = nets
    naive = copy.deepcopy(deep)
    for name, module in naive.named_modules():
        if isinstance(module, nn.BatchNorm2d) and name not in dict(shallow.named_modules()):
            constructed.make_identity(naive.get_submodule(name.rsplit(".", 1)[0]), torch.zeros(()), torch.ones(()))  # type: ignore[arg-type]
    assert difference((shallow, naive), feed) < 1e-4
    x, labels = feed.normalise(feed.train.images[:500]), feed.train.labels[:500]
    with torch.no_grad():
        before, after, forgotten = (float(F.cross_entropy(net.train()(x), labels)) for net in (shallow, deep, naive))
    assert after == pytest.approx(before, rel=0.15)
    assert forgotten > 1.5 * before


def test_a_net_is_extended_and_trained_on(results: Path, tmp_path: Path) -> None:
    """As a piece of work with an identity: before is kept, what follows changes the net, and a stop changes no bit."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    one = extended()
    for folder in (whole, stopped):
        folder.mkdir()
        (folder / one.run.run_id).symlink_to(results / one.run.run_id)
    path = job.run(one, Context(whole, NOWHERE))
    assert path == whole / one.run_id
    before, after = read_json(path / "construction.json"), RunFolder(whole, one.run_id).read_result()
    shallow = RunFolder(whole, one.run.run_id).read_result()
    assert (before["train_error"], before["test_error"]) == (shallow.train_error_full, shallow.test_error)
    assert before["logit_difference"] < 1e-5
    assert before["predictions_changed"] == 0
    assert (after.iterations, after.status) == (10, "done")
    assert one.recipe.lr == pytest.approx(0.005)
    asked = iter([False] * 3 + [True] + [False] * 100)
    with pytest.raises(Interrupted):
        job.run(one, Context(stopped, NOWHERE, should_stop=lambda: next(asked)))
    job.run(one, Context(stopped, NOWHERE, should_stop=lambda: next(asked)))
    assert torch.load(RunFolder(stopped, one.run_id).checkpoint, weights_only=True)["progress"]["attempts"] == 2
    a, b = (weights(RunFolder(folder, one.run_id)) for folder in (whole, stopped))
    assert all(torch.equal(a[name], b[name]) for name in a)
    start = build_for_run(one).state_dict()
    assert not any(torch.equal(a[name], start[name]) for name in a if name.endswith("conv1.weight"))


def test_what_is_extended_are_plain_nets() -> None:
    plain, residual = training(PLAIN), training(RESIDUAL)
    with pytest.raises(ValueError, match="resnet-8-A cannot be extended to plain-20: give two plain nets"):
        Extension(residual, DEEPER, plain.cifar)
    with pytest.raises(ValueError, match="plain-8 cannot be extended to plain-8"):
        Extension(plain, PLAIN, plain.cifar)


def test_identities_tell_all_fields_apart() -> None:
    plain = training(PLAIN)
    (part,) = parts(plain, LINES, 2)
    others = [
        replace(part, run=replace(plain, seed=1)),
        replace(part, grid=replace(LINES, images=99)),
        replace(part, grid=replace(LINES, seed=1)),
        replace(part, grid=replace(LINES, reach=0.5)),
        replace(part, stop=1),
    ]
    assert len({each.run_id for each in [part, *others]}) == 6
    assert extended().run_id != extended(26).run_id
    assert extended().run_id != replace(extended(), recipe=plain.cifar).run_id
    assert [from_json(each.to_json()) for each in (plain, part, extended())] == [plain, part, extended()]


@pytest.mark.parametrize("state", ["no result", "diverged", "no checkpoint"])
def test_a_net_that_is_not_there_is_said(results: Path, tmp_path: Path, state: str) -> None:
    """In a line, as a failure of this work alone: what else is asked for goes on."""
    run = training(PLAIN)
    there, here = RunFolder(results, run.run_id), RunFolder(tmp_path, run.run_id)
    here.path.mkdir()
    if state != "no result":
        text = there.result.read_text()
        here.result.write_text(text.replace('"done"', '"diverged"') if state == "diverged" else text)
    words = {"no result": "which has no result yet", "diverged": "which has diverged", "no checkpoint": "move .* away"}
    (part,) = parts(run, LINES, 2)
    for one in (part, extended()):
        with pytest.raises(Unready, match=f"needs the net of {run.run_id}.*{words[state]}"):
            job.run(one, Context(tmp_path, NOWHERE))
        assert "Traceback" not in RunFolder(tmp_path, one.run_id).log.read_text()
    outcome = side_by_side.run_one(part, Context(tmp_path, NOWHERE))
    assert outcome.kind == "failed"


@torch.no_grad()
def own_loss(net: nn.Module, feed: MemoryFeed, images: int) -> tuple[float, float]:
    """Loss and error of a net in evaluation mode, the plain way."""
    x, labels = feed.normalise(feed.train.images[:images]), feed.train.labels[:images]
    logits = net.eval()(x)
    return float(F.cross_entropy(logits, labels)), 100 * float((logits.argmax(1) != labels).float().mean())


def around(net: nn.Module, grid: Grid, feed: MemoryFeed) -> surface.Around:
    images = feed.train[: grid.images]
    return surface.Around(net, grid, feed.normalise(images.images), images.labels)


@pytest.mark.parametrize("arch", [PLAIN, RESIDUAL], ids=lambda arch: arch.name)
def test_a_surface_is_the_loss_of_the_moved_net(results: Path, feed: MemoryFeed, arch: Arch) -> None:
    """Against nets that are moved by hand and not folded: in the middle the net itself, and at other points the others."""
    net = checkpoint.trained(training(arch), results)
    lines, plane = around(net, LINES, feed), around(net, PLANE, feed)
    for found in (lines(0, 2), lines(1, 2), plane(2, 2)):
        assert found == pytest.approx(own_loss(net, feed, 100), rel=1e-5)

    def moved(*steps: tuple[float, int]) -> tuple[float, float]:
        there = copy.deepcopy(net)
        for coefficient, number in steps:
            for name, along in surface.direction(net, 0, number).items():
                there.get_parameter(name).data += coefficient * along
        return own_loss(there, feed, 100)

    assert lines(1, 3) == pytest.approx(moved((0.5, 1)), rel=1e-4)
    assert plane(1, 3) == pytest.approx(moved((0.5, 0), (-0.5, 1)), rel=1e-4)
    assert plane(1, 3)[0] != pytest.approx(moved((0.5, 1), (-0.5, 0))[0], rel=1e-2)


def filters(weight: Tensor) -> list[float]:
    return [float(each.norm()) for each in weight.detach()]


def test_directions_have_the_norms_of_the_filters(results: Path) -> None:
    """And leave biases and batch norm alone; the draws are the same for a plain and a residual net, and others by number."""
    net, other = (checkpoint.trained(training(arch), results) for arch in (PLAIN, RESIDUAL))
    drawn = surface.direction(net, 0, 0)
    assert set(drawn) == {name for name, p in net.named_parameters() if "bn" not in name and "bias" not in name}
    for name, along in drawn.items():
        assert filters(along) == pytest.approx(filters(net.get_parameter(name)), rel=1e-4)
        assert filters(along) != pytest.approx(filters(other.get_parameter(name)), rel=1e-4)
    same, another, of_other_seed = (
        surface.direction(other, 0, 0),
        surface.direction(net, 0, 1),
        surface.direction(net, 1, 0),
    )

    def alike(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
        return float(F.cosine_similarity(one["conv1.weight"].flatten(1), two["conv1.weight"].flatten(1)).min())

    assert alike(drawn, same) == pytest.approx(1, abs=1e-5)
    assert alike(drawn, another) < 0.9
    assert alike(drawn, of_other_seed) < 0.9


def test_a_measured_net_is_what_it_was(results: Path, feed: MemoryFeed) -> None:
    """To the bit, and in training if it was; it has no hooks, and trains on as one that was never measured."""
    net = checkpoint.trained(training(RESIDUAL), results).train()
    twin = copy.deepcopy(net)
    look = around(net, PLANE, feed)
    look(0, 0)
    look(4, 1)
    constructed.stage_statistics(net, feed.train, feed.normalise)  # type: ignore[arg-type]
    assert net.training
    assert all(torch.equal(value, twin.state_dict()[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    x, labels = feed.normalise(feed.train.images[:64]), feed.train.labels[:64]
    for each in (net, twin):  # what is trained on afterwards is trained as if nothing had been measured
        F.cross_entropy(each(x), labels).backward()
    gradients = zip(net.parameters(), twin.parameters(), strict=True)
    assert all(a.grad is not None and torch.equal(a.grad, b.grad) for a, b in gradients)
    net(x)  # a twin that was looked at while it trains is seen
    assert not all(torch.equal(value, twin.state_dict()[name]) for name, value in net.state_dict().items())


def test_measuring_leaves_the_run_as_it_was(results: Path, tmp_path: Path) -> None:
    run = training(PLAIN)
    before = {path.name: path.read_bytes() for path in (results / run.run_id).iterdir() if path.is_file()}
    (part,) = parts(run, LINES, 2)
    job.run(part, Context(results, NOWHERE))
    job.run(extended(), Context(results, NOWHERE))
    assert before == {path.name: path.read_bytes() for path in (results / run.run_id).iterdir() if path.is_file()}
    assert set(finished_runs(results)) == {training(arch).run_id for arch in (PLAIN, RESIDUAL)}


def killed(part: SurfacePart, results: Path, after: int) -> bool:
    """Measure in a process that is killed by -9 after so many points. Whether it came to that."""

    def reported(report: Report) -> None:
        if report.iteration == after:
            os.kill(os.getpid(), signal.SIGKILL)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, from Python 3.12 on
        child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            job.run(part, Context(results, NOWHERE, on_report=reported))
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_killed_part_goes_on_to_the_same_grid(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 while it measures; and the same rows in several parts, on which several tasks may work, are the same points."""
    monkeypatch.setattr(surface, "SAVE_SECONDS", 0.0)
    (part,) = parts(training(PLAIN), PLANE, 5)
    (tmp_path / part.run.run_id).symlink_to(results / part.run.run_id)
    folder = RunFolder(tmp_path, part.run_id)
    assert killed(part, tmp_path, after=7)
    before = read_lines(folder.points)
    assert len(before) == 7
    assert not folder.finished()
    job.run(part, Context(tmp_path, NOWHERE))
    after = read_lines(folder.points)
    assert len(after) == 25
    assert after[:7] == before  # not measured again: the seconds are the same
    assert read_json(folder.provenance)["restarts"] == 1

    pieces = parts(part.run, PLANE, 2)
    assert [(piece.start, piece.stop) for piece in pieces] == [(0, 2), (2, 4), (4, 5)]
    for piece in pieces:
        job.run(piece, Context(results, NOWHERE))
    whole, together = surface_record.load((part,), tmp_path), surface_record.load(pieces, results)
    assert whole is not None
    assert together is not None
    assert (whole.losses, whole.errors) == (together.losses, together.errors)
    assert whole.loss == whole.losses[2][2]


def test_a_stopped_part_says_how_far_it_has_come(results: Path, tmp_path: Path) -> None:
    """To the point, as a run does, though no heartbeat was due."""
    (part,) = parts(training(PLAIN), PLANE, 5)
    (tmp_path / part.run.run_id).symlink_to(results / part.run.run_id)
    for point in (1, 2):
        with pytest.raises(Interrupted, match=f"stopped at point {point} of 25"):
            job.run(part, Context(tmp_path, NOWHERE, should_stop=lambda: True, attempt=Attempt("task", point, "1")))
        beat = heartbeat.read(RunFolder(tmp_path, part.run_id))
        assert beat
        assert (beat.state, beat.iteration, beat.iterations) == ("stopped", point, 25)


def test_a_surface_is_of_one_net_and_whole_or_not_at_all(results: Path, tmp_path: Path) -> None:
    run = training(PLAIN)
    pieces = parts(run, replace(LINES, columns=3), 1)
    assert surface_record.load(pieces, tmp_path, results) is None
    job.run(pieces[0], Context(results, NOWHERE))
    assert surface_record.load(pieces, tmp_path, results) is None
    (tmp_path / run.run_id).mkdir()
    for file in (results / run.run_id).iterdir():
        if file.is_file():
            (tmp_path / run.run_id / file.name).write_bytes(file.read_bytes())
    there = RunFolder(tmp_path, run.run_id).checkpoint
    state = torch.load(there, weights_only=True)
    state["net"]["linear.bias"] += 1  # another training of the same run, on another machine
    torch.save(state, there)
    job.run(pieces[1], Context(tmp_path, NOWHERE))
    with pytest.raises(UserError, match="were measured around different weights of one run: move both away"):
        surface_record.load(pieces, tmp_path, results)


def bowl(kind: str, loss: float = 0.1, wave: float = 0.0) -> Surface:
    """log-loss that rises by 4 for each unit of distance, with a wave on it."""
    rows, columns = (3, 81) if kind == "lines" else (81, 81)
    (part,) = parts(training(PLAIN), Grid(kind, rows, columns, 100), rows)  # type: ignore[arg-type]
    grid = part.grid

    def at(row: int, column: int) -> float:
        distance = abs(grid.coefficient(column))
        if kind == "plane":
            distance = math.hypot(distance, grid.second(row))
        return loss * math.exp(4 * distance + wave * math.sin(40 * distance))

    losses = tuple(tuple(at(i, j) for j in range(columns)) for i in range(rows))
    return Surface(part, losses, losses, ())


@pytest.mark.parametrize("kind", ["lines", "plane"])
def test_how_far_one_can_go_is_read_off(kind: str) -> None:
    """Of a cone whose answer is known. Doubling does not depend on the loss that was reached; one nat more does."""
    one, two = bowl(kind), bowl(kind, loss=0.2)
    assert one.loss == pytest.approx(0.1)
    doubles = math.log(2) / 4
    assert surface_record.radius(one, surface_record.doubled) == pytest.approx(doubles, rel=0.01)
    assert surface_record.radius(two, surface_record.doubled) == pytest.approx(doubles, rel=0.01)
    assert surface_record.radius(one, surface_record.one_more) == pytest.approx(math.log(11) / 4, rel=0.01)
    assert surface_record.radius(two, surface_record.one_more) == pytest.approx(math.log(6) / 4, rel=0.01)
    assert surface_record.radius(one, lambda loss: 1000 * loss) == math.inf
    assert len(surface_record.radii(one, surface_record.doubled)) == (6 if kind == "lines" else surface_record.RAYS)


@pytest.mark.parametrize("kind", ["lines", "plane"])
def test_roughness_is_none_of_a_bowl_and_some_of_a_wave(kind: str) -> None:
    assert surface_record.roughness(bowl(kind)) == pytest.approx(0, abs=1e-9)
    assert surface_record.roughness(bowl(kind, loss=0.2)) == pytest.approx(0, abs=1e-9)
    little, much = (surface_record.roughness(bowl(kind, wave=wave)) for wave in (0.2, 0.5))
    assert little is not None
    assert much is not None
    assert 1 < little < much < 50
    assert surface_record.roughness(bowl(kind, loss=100)) is None  # above that nothing of a net is left


# What is done with nets travels as runs do


@pytest.fixture(scope="module")
def packed(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the nets, an extension and a part of a surface."""
    (part,) = parts(training(PLAIN), LINES, 2)
    folder = tmp_path_factory.mktemp("travels")
    for each in (training(PLAIN), part, extended()):
        job.run(each, Context(results, NOWHERE))
        shutil.copytree(results / each.run_id, folder / each.run_id)
    do("--export", folder / "all.zip", "--results", folder)
    return folder / "all.zip"


def test_what_is_done_with_a_net_travels(packed: Path, results: Path, tmp_path: Path) -> None:
    (part,) = parts(training(PLAIN), LINES, 2)
    do("--import", packed, "--results", tmp_path)
    for each in (part, extended()):
        here, there = RunFolder(tmp_path, each.run_id), RunFolder(results, each.run_id)
        assert validate.read(here).spec == each
        assert here.result.read_bytes() == there.result.read_bytes()
    arrived, own = surface_record.load((part,), tmp_path), surface_record.load((part,), results)
    assert arrived is not None
    assert own is not None
    assert arrived.losses == own.losses
    assert set(finished_runs(tmp_path)) == {training(PLAIN).run_id}
    do("--import", packed, "--results", tmp_path)  # the same again


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("lines-0-2-*/spec.json", in_json("start", 1), "whose spec.json is of run plain-8-lines-1-2-smoke-s0-"),
        ("lines-0-2-*/spec.json", in_json("grid.columns", 4), "(grid: a grid of 2 by 4 points: give odd numbers"),
        ("lines-0-2-*/spec.json", in_json("grid.images", "9"), "whose spec.json is damaged (grid.images is '9'; expected int"),
        ("lines-0-2-*/spec.json", in_json("grid.scaling", "mine"), "grid.scaling is 'mine'; expected filter"),
        ("lines-0-2-*/spec.json", in_json("run.recipe.batch", 0), "run.recipe: batch is 0: batch must be >= 1"),
        ("lines-0-2-*/spec.json", in_json("kind", "other"), "whose spec.json is damaged (kind is 'other'; expected extension"),
        ("lines-0-2-*/points.jsonl", in_line(3, "error", 3.5), "has at row 0, column 3 error 3.5, which is no number"),
        ("lines-0-2-*/points.jsonl", in_line(3, "loss", -1), "whose points.jsonl is damaged (loss is -1.0: loss must be >= 0)"),
        ("lines-0-2-*/points.jsonl", in_line(3, "row", 1), "whose points.jsonl has other points than its spec says"),
        ("lines-0-2-*/points.jsonl", in_line(3, "weights", "0" * 16), "whose points.jsonl has points of other weights"),
        ("lines-0-2-*/points.jsonl", lambda text: text[:-9], "whose points.jsonl is damaged ("),
        ("lines-0-2-*/result.json", in_json("points", 9), "whose result.json has points 9 where the others say 10"),
        ("lines-0-2-*/result.json", in_json("wall_seconds", 9.0), "whose result.json has wall_seconds 9.0 where the"),
        ("to-20-*/construction.json", in_json("train_error", 101), "is damaged (train_error is 101.0: error"),
        ("to-20-*/construction.json", in_json("weights", "<b>"), "whose construction.json is damaged (weights is '<b>'"),
        ("to-20-*/construction.json", in_json("more", 1), "is damaged (Construction fields differ: more)"),
        ("to-20-*/result.json", in_json("parameters", 7), "whose result.json has parameters 7 where the others say"),
        ("to-20-*/spec.json", in_json("arch.depth", 8), "whose spec.json is damaged (plain-8 cannot be extended to plain-8"),
    ],
)  # fmt: skip
def test_what_comes_is_read_strictly(
    packed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    change: Callable[[str], str],
    message: str,
) -> None:
    """Every checksum is right, and every file is held against the others."""
    names = [info.filename for info, _ in members(packed)]
    (name,) = (name for name in names if fnmatch(name, f"runs/plain-8-{file}"))
    path = forged(tmp_path / "forged.zip", changed(members(packed), name, change), honest=True)
    assert message in untaken(path, tmp_path, capsys)

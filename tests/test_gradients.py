"""Gradients through training: what is measured, that it leaves no trace, that it survives a stop, and what it shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from made_up import run as made_up
from test_transfer import in_json, in_line
from torch import nn

from bench import run
from bench.compute import job
from bench.compute.context import Context
from bench.errors import Interrupted, UserError
from bench.exchange import validate
from bench.files import read_lines, write_lines
from bench.images import memory
from bench.measure.probes import gradients_record
from bench.measure.probes.gradients import Watch
from bench.measure.probes.gradients_record import Point, backward, chain, forward, of_weights
from bench.measure.probes.layers import convolutions
from bench.report.render import markdown
from bench.report.sections import claims as asked
from bench.report.sections import gradient_findings as findings
from bench.report.sections.gradient_rows import Row
from bench.report.sections.runs import Found
from bench.report.tables import gradients as pages
from bench.runs.derived import GradientRun, from_json
from bench.runs.finished import Finished, finished, finished_runs
from bench.runs.folder import RunFolder
from bench.runs.initial_net import build_for_run
from bench.runs.spec import RunSpec
from bench.studies import cifar_depth
from bench.studies import gradients as study
from bench.studies.gradients import Condition
from bench.studies.variant import GRADIENTS_OF_PAPER
from bench.training import loop
from bench.training.feed import MemoryFeed
from bench.training.source import Source
from bench.verdicts import claims
from models.arch import Arch, parse_arch

CPU = torch.device("cpu")
NOWHERE = Source(Path(), execution="eager")


def spec(name: str = "plain-8", batch_norm: bool = True, scale: float = 1.0, **changes: object) -> GradientRun:
    """A run of a second on the digits, looked at three times."""
    how = cifar_depth.recipe(parse_arch(name), "smoke", "digits")
    how = replace(how, **{"iterations": 8, "drops": (4, 6), "evaluate_every": 4, **changes})  # type: ignore[arg-type]
    watched = study.watched(RunSpec(parse_arch(name), how, "digits", 0), Condition(batch_norm, scale))
    return replace(watched, probe_at=(0, 3, how.iterations))


@pytest.fixture(scope="module")
def digits() -> MemoryFeed:
    return MemoryFeed(spec().recipe, memory.digits(), CPU)


def train(one: GradientRun, folder: RunFolder, feed: MemoryFeed, watched: bool, stop: int = -1) -> RunFolder:
    """Train as a job does; `stop`: after so many iterations."""
    steps: Iterator[int] = iter(range(1, 100))
    feed.judges_training = False
    watch = Watch(one, folder, feed) if watched else None
    loop.train(one, loop.Session(folder, feed, should_stop=lambda: next(steps) == stop), watch=watch)
    return folder


def state(folder: RunFolder) -> dict[str, torch.Tensor]:
    """Weights, statistics and velocities."""
    found = torch.load(folder.checkpoint, weights_only=True)
    velocities = {f"v{key}": value["momentum_buffer"] for key, value in found["optimiser"]["state"].items()}
    return {**found["net"], **velocities}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def first(one: GradientRun, folder: Path, feed: MemoryFeed) -> Point:
    """The gradients before the first iteration."""
    where = RunFolder(folder, one.run_id)
    Watch(one, where, feed)(0, build_for_run(one))
    return gradients_record.read(where)[0]


def loss(net: nn.Module, feed: MemoryFeed) -> torch.Tensor:
    """Of the images that a run is looked at with."""
    return F.cross_entropy(net(feed.normalise(feed.train.images[:64])), feed.train.labels[:64])


def test_a_run_is_named_by_what_was_changed_and_read_back() -> None:
    one = spec("plain-56", batch_norm=False, scale=0.5)
    assert one.run_id.startswith("plain-56-no-bn-x0.5-smoke-s0-")
    assert from_json(json.loads(json.dumps(one.to_json()))) == one
    others = [spec("plain-56"), spec("plain-56", False), replace(one, probe_images=32), replace(one, probe_at=(0,))]
    assert len({other.run_id for other in [one, *others, one.run]}) == 6
    with pytest.raises(ValueError, match="cannot be measured at"):
        replace(one, probe_at=(3, 0))


def test_the_study_has_every_net_under_every_condition(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(("--table", "gradients", "--dry-run")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("36 runs in ")
    assert sum("-no-bn" in line for line in lines) == 18
    assert all("64,000 iterations of 128 on cifar10" in line for line in lines if line.startswith("  "))
    assert run.main(("--table", "gradients", "--schedule", "short", "--only", "plain-20-no-bn*", "--dry-run")) == 0
    assert capsys.readouterr().out.startswith("3 runs in ")


@pytest.mark.parametrize("schedule", ["paper", "short", "smoke"])
def test_collecting_is_counted_and_far_below_five_percent(schedule: str) -> None:
    """A look passes half a batch, once; it has been timed at half an iteration on CIFAR-10 and at one on the digits."""
    recipe = study.SCHEDULES[schedule]  # type: ignore[index]
    at = study.probe_at(recipe.iterations)
    assert (at[0], at[-1]) == (0, recipe.iterations)
    assert list(at) == sorted(set(at))
    assert len(at) / recipe.iterations <= 0.05
    one = study.run(Arch("cifar", 20), Condition(True, 1.0), schedule, "cifar10", 0)  # type: ignore[arg-type]
    assert study.share(one) == pytest.approx(len(at) * 64 / (len(at) * 64 + recipe.iterations * 128))
    assert study.share(one) < 0.025


def test_the_recipe_is_the_depth_studys_as_long_as_this_studys() -> None:
    for schedule in ("paper", "short", "smoke"):
        for arch in study.ARCHS:
            ours, theirs = study.recipe(arch, schedule, "cifar10"), cifar_depth.recipe(arch, schedule, "cifar10")  # type: ignore[arg-type]
            changed = {name for name in vars(ours) if getattr(ours, name) != getattr(theirs, name)}
            assert changed <= {"iterations", "drops", "warmup_window", "evaluate_every"}
            assert (schedule == "paper") == (ours == theirs)


# --- what is measured


@pytest.mark.parametrize("batch_norm", [True, False])
def test_what_is_measured_is_what_autograd_says(tmp_path: Path, digits: MemoryFeed, batch_norm: bool) -> None:
    """The gradient of a response is that of a leaf in its place."""
    one = spec("resnet-8-A", batch_norm)
    point, net = first(one, tmp_path, digits), build_for_run(one).train()
    responses: list[torch.Tensor] = []
    for layer in convolutions(net):
        layer.norm.register_forward_hook(lambda module, args, out: responses.append(out.detach().clone()))
    loss(net, digits).backward()
    grads = [layer.conv.weight.grad.double() for layer in convolutions(net)] + [net.linear.weight.grad.double()]  # type: ignore[union-attr,operator]
    assert point.norm == pytest.approx([float(g.norm()) for g in grads], rel=1e-4)
    assert point.mean == pytest.approx([float(g.mean()) for g in grads], rel=1e-3, abs=1e-8)
    assert point.variance == pytest.approx([float(g.var(correction=0)) for g in grads], rel=1e-4)
    assert point.signal[:-1] == pytest.approx([float(r.std(correction=0)) for r in responses], rel=1e-4)
    assert len(point.norm) == len(point.signal_gradient) == 8
    for number, layer in enumerate(convolutions(net)):
        leaves: list[torch.Tensor] = []

        def put(
            module: nn.Module, args: object, out: torch.Tensor, leaves: list[torch.Tensor] = leaves
        ) -> torch.Tensor:
            leaves.append(out.detach().requires_grad_())
            return leaves[0] * 1  # what follows overwrites it

        handle = layer.norm.register_forward_hook(put)
        loss(net, digits).backward()
        handle.remove()
        assert leaves[0].grad is not None
        assert point.signal_gradient[number] == pytest.approx(float(leaves[0].grad.norm()), rel=1e-4)


@pytest.mark.parametrize(("batch_norm", "scale"), [(True, 1.0), (False, 0.5)])
def test_collecting_leaves_no_trace(tmp_path: Path, digits: MemoryFeed, batch_norm: bool, scale: float) -> None:
    """The same bits as without; with batch norm and He's weights those of the depth study's own training."""
    one = spec("resnet-8-A", batch_norm, scale)
    on = train(one, RunFolder(tmp_path / "on", one.run_id), digits, True)
    plain = one.run if (batch_norm, scale) == (True, 1.0) else one
    off = train(plain, RunFolder(tmp_path / "off", plain.run_id), digits, False)  # type: ignore[arg-type]
    assert same(state(on), state(off))
    assert [row["train_loss"] for row in on.read_metrics()] == [row["train_loss"] for row in off.read_metrics()]
    assert len(gradients_record.read(on)) == 3
    assert not off.points.exists()
    assert "looking" in json.loads(on.provenance.read_text())["seconds"]
    assert "looking" not in json.loads(off.provenance.read_text())["seconds"]


def test_the_net_that_is_trained_carries_no_hook(tmp_path: Path, digits: MemoryFeed) -> None:
    one = spec()
    watch = Watch(one, RunFolder(tmp_path, one.run_id), digits)
    seen: list[int] = []

    class Looking:
        at = watch.at

        def __call__(self, iteration: int, net: nn.Module) -> None:
            before = {key: value.clone() for key, value in net.state_dict().items()}
            grads = [None if p.grad is None else p.grad.clone() for p in net.parameters()]
            watch(iteration, net)
            seen.append(iteration)
            assert same(before, net.state_dict())
            for p, grad in zip(net.parameters(), grads, strict=True):
                assert (p.grad is None) == (grad is None)
                assert grad is None or torch.equal(p.grad, grad)  # type: ignore[arg-type]
            for module in net.modules():
                assert not any((module._forward_hooks, module._forward_pre_hooks, module._backward_hooks))

    loop.train(one, loop.Session(RunFolder(tmp_path, one.run_id), digits), watch=Looking())
    assert seen == [0, 3, 8]


def rows(folder: RunFolder) -> list[dict[str, object]]:
    """What was measured, without the seconds that it took."""
    return [{key: value for key, value in line.items() if key != "seconds"} for line in read_lines(folder.points)]


@pytest.mark.parametrize("stop", [2, 3, 5])
def test_a_stopped_run_goes_on_and_ends_with_the_same(tmp_path: Path, digits: MemoryFeed, stop: int) -> None:
    """Also where something was written after the last checkpoint, as a kill leaves it."""
    one = spec(batch_norm=False)
    whole = train(one, RunFolder(tmp_path / "whole", one.run_id), digits, True)
    parts = RunFolder(tmp_path / "parts", one.run_id)
    with pytest.raises(Interrupted):
        train(one, parts, digits, True, stop)
    found = read_lines(parts.points)
    write_lines(parts.points, [*found, {**found[0], "iteration": 8}])
    train(one, parts, digits, True)
    assert rows(parts) == rows(whole)
    assert same(state(parts), state(whole))


# --- what it shows


@pytest.mark.parametrize(
    ("name", "batch_norm", "scale", "ahead", "back"),
    [
        ("plain-20", True, 1.0, "keeps", "keeps"),
        ("plain-20", True, 0.5, "keeps", "keeps"),
        ("plain-20", False, 1.0, "keeps", "keeps"),
        ("plain-20", False, 0.5, "vanishes", "vanishes"),
        ("plain-20", False, 2.0, "explodes", "explodes"),
        ("resnet-20-A", False, 0.5, "keeps", "keeps"),
        ("plain-56", True, 1.0, "keeps", "explodes"),
    ],
)
def test_what_vanishes_and_what_does_not(
    tmp_path: Path, digits: MemoryFeed, name: str, batch_norm: bool, scale: float, ahead: str, back: str
) -> None:
    point = first(spec(name, batch_norm, scale), tmp_path, digits)
    assert (findings.word(forward(point)), findings.word(backward(point))) == (ahead, back)


def test_without_batch_norm_weights_times_gradient_are_the_same_in_every_layer(
    tmp_path: Path, digits: MemoryFeed
) -> None:
    """Euler: the net is homogeneous in each layer's weights. So the weights' gradient vanishes in all layers alike."""
    one = spec("plain-20", False, 0.5)
    net = build_for_run(one).train()
    loss(net, digits).backward()
    weights = [layer.conv.weight for layer in convolutions(net)] + [net.linear.weight]  # type: ignore[list-item]
    products = [float((w.detach().double() * w.grad.double()).sum()) for w in weights]  # type: ignore[union-attr]
    assert products == pytest.approx([products[0]] * 20, rel=1e-3)
    point = first(one, tmp_path, digits)
    assert 0.01 < of_weights(point) < 100  # type: ignore[operator]
    assert max(norm for norm in point.norm if norm is not None) < 1e-4


@pytest.mark.parametrize(
    ("a", "shortcut", "printed"), [(0.5, False, "8.9e-16"), (1.5, False, "6.4e+08"), (0.5, True, "6.4e+08")]
)
def test_the_chain_that_lectures_start_with(a: float, shortcut: bool, printed: str) -> None:
    """And what autograd makes of it."""
    found = chain(a, shortcut=shortcut)
    assert f"{found.forward:.1e}" == f"{found.backward:.1e}" == printed
    x = torch.ones(4, dtype=torch.float64, requires_grad=True)
    y = x
    for _ in range(50):
        y = a * torch.eye(4, dtype=torch.float64) @ y + (y if shortcut else 0)
    y.sum().backward()
    assert x.grad is not None
    assert (found.forward, found.backward) == pytest.approx((float(y.detach()[0]), float(x.grad[0])))
    assert chain(0.01, dtype="float32").forward == 0
    assert chain(0.01, shortcut=True).forward == pytest.approx(1.01**50)


# --- runs, records and pages


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of a few iterations: with batch norm, from half of He's weights without, and one that explodes."""
    folder = tmp_path_factory.mktemp("results")
    few = {"iterations": 4, "drops": (2, 3)}
    for one in (spec("plain-20", **few), spec("plain-20", False, 0.5, **few)):
        job.run(one, Context(folder, NOWHERE))
    job.run(replace(spec("plain-20", False, 2.0), probe_at=(0, 1, 2, 3, 8)), Context(folder, NOWHERE))
    return folder


def runs(results: Path) -> list[Finished[GradientRun]]:
    """In the order of the fixture."""
    found = finished(results, GradientRun).values()
    return sorted(found, key=lambda run: (not run.spec.batch_norm, run.spec.init_scale))


def test_a_net_that_explodes_is_written_down_as_far_as_its_numbers_are_finite(results: Path) -> None:
    exploded = runs(results)[-1]
    assert exploded.result.status == "diverged"
    points = gradients_record.read(exploded.folder)
    assert None not in points[0].norm
    assert any(None in point.norm for point in points[1:])
    assert "NaN" not in exploded.folder.points.read_text()
    assert finished_runs(results) == {}  # no other table sees it
    for one in runs(results):
        assert validate.read(one.folder).spec == one.spec


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("spec.json", in_json("init_scale", 1.0), "spec.json is of run "),
        ("spec.json", in_json("probe_at", [3, 0]), "spec.json is damaged .gradients of plain-20"),
        ("points.jsonl", lambda text: text.splitlines()[0] + "\n", "points.jsonl has other points than its spec says"),
        ("points.jsonl", in_line(1, "norm", [1.0] * 19), "points.jsonl has a point at 3 that is not of 20 layers"),
        ("points.jsonl", in_line(0, "variance", [-1.0] * 20), "points.jsonl is damaged .variance is"),
        ("points.jsonl", in_line(0, "mean", ["a"] * 20), "points.jsonl is damaged .mean.0. is 'a'; expected float"),
    ],
)
def test_a_record_that_cannot_be_is_refused(
    results: Path, file: str, change: Callable[[str], str], message: str
) -> None:
    path = runs(results)[1].folder.path / file
    text = path.read_text()
    try:
        path.write_text(change(text))
        with pytest.raises(validate.Unsound, match=message):
            validate.read(RunFolder(results, path.parent.name))
    finally:
        path.write_text(text)


def test_a_damaged_file_is_named(tmp_path: Path, digits: MemoryFeed) -> None:
    one = spec()
    first(one, tmp_path, digits)
    folder = RunFolder(tmp_path, one.run_id)
    folder.points.write_text(folder.points.read_text().replace("signal_gradient", "signals"))
    with pytest.raises(UserError, match=r"points\.jsonl is damaged"):
        gradients_record.read(folder)


def row(one: Finished[GradientRun]) -> Row:
    return Row(one.spec.arch, Condition(one.spec.batch_norm, one.spec.init_scale), (one,))


def test_what_is_seen_is_what_was_measured(results: Path) -> None:
    """Each sentence beside the net of which it is true, and with the conditions swapped, where it must fail."""
    with_norm, half, twice = map(row, runs(results))

    def seen(*all_rows: Row) -> dict[str, str]:
        return {cells[0].text: cells[-1].text for cells in findings.table(all_rows).rows}

    vanish = "Without it, from half of He's weights, signals of plain nets vanish forward"
    explode = "... and their gradients explode backward."
    healthy = "With batch norm, gradients of plain nets do not vanish backward: not at first"
    said = seen(with_norm, half, twice)
    assert (said[vanish], said[explode], said[healthy]) == ("yes", "yes", "yes")
    swapped = seen(replace(half, condition=twice.condition), replace(twice, condition=half.condition))
    assert (swapped[vanish], swapped[explode]) == ("no: not at 20 layers", "no: not at 20 layers")
    assert swapped[healthy] == "missing"
    partly = seen(with_norm, Row(Arch("cifar", 56), Condition(True, 1.0), ()))
    assert partly[healthy] == "yes, as far as measured"
    assert with_norm.shares[0] > 0


def test_the_claims_are_judged_on_the_lowest_ratio_of_a_run(tmp_path: Path, results: Path) -> None:
    """On points of a real run, put beside made-up results at the paper's length."""
    points = read_lines(runs(results)[0].folder.points)
    for depth in (20, 56):
        for seed in range(3):
            one = study.run(Arch("cifar", depth), Condition(True, 1.0), "paper", "cifar10", seed)
            where = made_up(tmp_path, one, 9.0).folder  # type: ignore[arg-type]
            tilt = [{**p, "norm": [(1 + 0.1 * seed) * p["norm"][0], *p["norm"][1:]]} for p in points]
            write_lines(where.points, tilt)

    def words() -> dict[str, str]:
        setting = asked.of_gradients(GRADIENTS_OF_PAPER, Found({}, (tmp_path,)))
        return {judged.claim.id: judged.word for judged in claims.of_setting(setting)}

    assert words()["gradients-healthy"] == "holds"
    for one in finished(tmp_path, GradientRun).values():  # once, in the middle of the training, the gradient is gone
        found = read_lines(one.folder.points)
        found[1]["norm"][0] *= 1e-5
        write_lines(one.folder.points, found)
    assert words()["gradients-healthy"] == "contradicted"


def test_a_page_with_nothing_measured_says_so_and_how_to_fill_it() -> None:
    page = markdown.render(pages.page(Found({}, ()), GRADIENTS_OF_PAPER))
    assert "`python bench/run.py --table gradients`" in page
    assert sum("| missing |" in line.replace("  ", "") for line in page.splitlines()) == 36 + len(findings.FINDINGS)
    assert "8.9e-16" in page
    assert "6.4e+08" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "bn_group=64"), "--set does nothing for gradients"),
        (("--selection", "val45k"), "--selection does nothing for gradients"),
        (("--dataset", "imagenet"), "--dataset imagenet is no data set of gradients: choose cifar10 or digits"),
        (("--only", "vgg*"), "--only vgg* matches no net of gradients: it has plain-20, resnet-20-A"),
        (("--only", "plain-21"), "depth 21 is not 6n+2"),
    ],
)
def test_mistakes_get_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    assert run.main(("--table", "gradients", *arguments)) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1


def test_from_the_command_to_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(study.SCHEDULES, "smoke", replace(study.SMOKE, iterations=20, drops=(10, 15)))
    arguments = ["--table", "gradients", "--schedule", "smoke", "--only", "plain-8", "--execution", "eager"]
    arguments += ["--results", str(tmp_path / "r"), "--tables", str(tmp_path / "t")]
    assert run.main(arguments) == 0
    capsys.readouterr()
    page = (tmp_path / "t" / "gradients.smoke.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("| plain-8 ")]
    assert len(lines) == 4 * 6  # at first and its details, through training, mean and variance
    assert "% of a run's time at most" in page
    for name in ("gradients.smoke", "gradients.smoke.signals", "gradients.smoke.ratio"):
        for kind in ("png", "svg"):
            assert (tmp_path / "t" / "figures" / f"{name}.{kind}").stat().st_size > 5_000
    assert run.main(arguments) == 0
    assert "all 6 runs have a result" in capsys.readouterr().out

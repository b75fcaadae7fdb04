"""Fig. 7: the layers found, their responses against a computation by hand, and the table from the command to the page."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from made_up import MODEL
from made_up import run as made_up
from test_training import spec
from test_transfer import in_json, in_line
from torch import Tensor, nn

from bench import run
from bench.compute import job
from bench.compute.context import Context
from bench.errors import Interrupted, Unready
from bench.exchange import validate
from bench.files import read_lines, write_json, write_lines
from bench.images import memory
from bench.measure.probes import responses, responses_record
from bench.measure.probes.layers import convolutions
from bench.measure.probes.responses_record import CHOICES, OURS, PASSES
from bench.report.figures import responses as picture
from bench.report.sections.runs import Found
from bench.report.tables import layer_responses as pages
from bench.runs.derived import Responses, from_json
from bench.runs.finished import FinishedRun, finished_runs
from bench.runs.folder import Measured, RunFolder
from bench.runs.initial_net import build_for_run
from bench.studies import layer_responses as study
from bench.training import checkpoint
from bench.training.feed import MemoryFeed
from bench.training.source import Source
from bench.verdicts import claims
from models.arch import Arch

NOWHERE = Source(Path())
RUN = spec(iterations=6, drops=(3, 5), evaluate_every=6)
"""A ResNet-8 A of a second on the digits."""
WORK = Responses(RUN, 300)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one run that was trained and measured."""
    results = tmp_path_factory.mktemp("results")
    job.run(RUN, Context(results, NOWHERE))
    job.run(WORK, Context(results, NOWHERE))
    return results


@pytest.fixture
def results(trained: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "results"))


def net_and_feed(results: Path) -> tuple[nn.Module, MemoryFeed]:
    return checkpoint.trained(RUN, results), MemoryFeed(RUN.cifar, memory.digits(), torch.device("cpu"))


@pytest.mark.parametrize("arch", [Arch("cifar", 20), Arch("cifar", 20, "C"), Arch("cifar", 56, "A")])
def test_there_are_6n_plus_1_layers_in_the_order_in_which_they_compute(arch: Arch) -> None:
    net = build_for_run(spec(arch=arch))
    found = convolutions(net)
    assert len(found) == arch.depth - 1
    assert found[0].name == "conv1"
    order: list[nn.Module] = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.register_forward_hook(lambda module, args, out: order.append(module))
    net(torch.zeros(2, 3, 8, 8))
    shortcuts = {part for key, part in net.named_modules() if "downsample" in key}
    assert [part for layer in found for part in (layer.conv, layer.norm)] == [m for m in order if m not in shortcuts]


def by_hand(net: nn.Module, images: Tensor, batch: bool) -> list[Tensor]:
    """The responses of a ResNet-8 A, from the formulas, in double precision."""
    state = {key: value.double() for key, value in net.state_dict().items()}

    def respond(x: Tensor, conv: str, bn: str, stride: int = 1) -> Tensor:
        y = F.conv2d(x, state[f"{conv}.weight"], stride=stride, padding=1)
        mean = y.mean((0, 2, 3)) if batch else state[f"{bn}.running_mean"]
        variance = y.var((0, 2, 3), correction=0) if batch else state[f"{bn}.running_var"]
        unit = (y - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        return unit * state[f"{bn}.weight"][:, None, None] + state[f"{bn}.bias"][:, None, None]

    found = [respond(images.double(), "conv1", "bn1")]
    x = found[0].clamp(min=0)
    for stage in (1, 2, 3):
        block, stride = f"layer{stage}.0", 1 if stage == 1 else 2
        found.append(respond(x, f"{block}.conv1", f"{block}.bn1", stride))
        found.append(respond(found[-1].clamp(min=0), f"{block}.conv2", f"{block}.bn2"))
        if stride == 2:
            zeros = torch.zeros_like(x[:, : x.shape[1] // 2, ::2, ::2])
            x = torch.cat([zeros, x[:, :, ::2, ::2], zeros], 1)
        x = (x + found[-1]).clamp(min=0)
    return found


def test_responses_equal_a_computation_by_hand_under_every_choice(trained: Path) -> None:
    net, feed = net_and_feed(trained)
    found = responses_record.read(WORK, RunFolder(trained, WORK.run_id))
    assert tuple(found.std) == CHOICES
    assert CHOICES[0] == OURS == "test eval tensor"
    assert found.images == {"test": 359, "train": 300}
    sets = {"test": feed.test.images, "train": feed.train.images[:300]}
    for data_, mode in PASSES:
        whole = 128 * (len(sets[data_]) // 128)  # the last batch that is not full is left out
        parts = sets[data_][:whole].split(128) if mode == "batch" else [sets[data_]]
        batches = [by_hand(net, feed.normalise(part), mode == "batch") for part in parts]
        for i, layer in enumerate(zip(*batches, strict=True)):
            values = torch.cat(layer)
            of_channels = values.transpose(0, 1).flatten(1).std(1, correction=0).mean()
            assert found.std[f"{data_} {mode} tensor"][i] == pytest.approx(float(values.std(correction=0)), rel=1e-4)
            assert found.std[f"{data_} {mode} channel"][i] == pytest.approx(float(of_channels), rel=1e-4)
    gains = [float(layer.norm.weight.detach().abs().mean()) for layer in convolutions(net)]  # type: ignore[operator]
    assert found.std["test batch channel"] == pytest.approx(gains, rel=0.01)
    pairs = zip(found.std[OURS], found.std["test eval channel"], strict=True)
    assert max(abs(x / y - 1) for x, y in pairs) > 0.01  # the choices can be told apart


@pytest.mark.parametrize("training", [True, False])
def test_a_measured_net_is_as_before(trained: Path, training: bool) -> None:
    net, feed = net_and_feed(trained)
    net.train(training)
    images = feed.normalise(feed.test.images[:50])
    state = {key: value.clone() for key, value in net.state_dict().items()}
    with torch.no_grad():
        before = net(images).clone()
        net.load_state_dict(state)
        for mode in ("eval", "batch"):
            responses.deviations(net, RUN.cifar, feed, feed.test, mode)
        assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
        assert torch.equal(net(images), before)
    assert not any(module._forward_hooks or module._backward_hooks for module in net.modules())
    assert all(module.training == training for module in net.modules())


def test_measuring_can_be_stopped_and_goes_on_from_its_passes(results: Path) -> None:
    folder = RunFolder(results, WORK.run_id)
    whole = read_lines(folder.points)
    folder.result.unlink()
    write_lines(folder.points, whole[:3])
    with pytest.raises(Interrupted, match="stopped while responses were measured"):
        job.run(WORK, Context(results, NOWHERE, should_stop=lambda: True))
    assert read_lines(folder.points) == whole[:3]
    job.run(WORK, Context(results, NOWHERE))
    again = read_lines(folder.points)
    assert again[:3] == whole[:3]
    assert again[3]["tensor"] == whole[3]["tensor"]
    assert folder.read_measured().points == 4


def test_it_needs_the_net(results: Path) -> None:
    other = replace(WORK, train_images=200)
    RunFolder(results, RUN.run_id).checkpoint.unlink()
    with pytest.raises(Unready, match=f"needs the net of {RUN.run_id}"):
        job.run(other, Context(results, NOWHERE))
    assert from_json(json.loads(json.dumps(other.to_json()))) == other
    assert other.run_id != WORK.run_id


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("spec.json", in_json("train_images", 301), "spec.json is of run "),
        ("points.jsonl", in_line(2, "batch_norm", "batch"), "points.jsonl has other points than its spec says"),
        (
            "points.jsonl",
            in_line(1, "tensor", [1.0] * 6),
            "points.jsonl has a point of test, batch that is not of 7 layers",
        ),
        ("points.jsonl", in_line(0, "channel", [-1.0] * 7), "points.jsonl is damaged .channel is"),
        ("points.jsonl", in_line(0, "more", 1), "points.jsonl is damaged .ResponsePoint fields differ: more"),
    ],
)
def test_a_record_that_cannot_be_is_refused(
    results: Path, file: str, change: Callable[[str], str], message: str
) -> None:
    folder = RunFolder(results, WORK.run_id)
    assert validate.read(folder).spec == WORK
    path = folder.path / file
    path.write_text(change(path.read_text()))
    with pytest.raises(validate.Unsound, match=message):
        validate.read(folder)


# --- the page


def pretend(results: Path, arch: Arch, means: Sequence[float], variant: pages.Variant = pages.PAPER) -> None:
    """Runs whose layers all respond so much: for the verdicts, not for any table."""
    for seed, mean in enumerate(means):
        found = made_up(results, variant.spec(arch, seed), 7.0)
        measured(results, found, mean)


def measured(results: Path, found: FinishedRun, mean: float) -> None:
    work = study.responses(found.spec)
    folder = RunFolder(results, work.run_id)
    folder.start(work)
    values = {"tensor": [mean] * (work.arch.depth - 1), "channel": [0.8 * mean] * (work.arch.depth - 1)}
    of_all = {**values, "images": 10_000, "weights": "0" * 16, "seconds": 1.0}
    write_lines(folder.points, [{"data": data_, "batch_norm": mode, **of_all} for data_, mode in PASSES])
    write_json(folder.provenance, MODEL.provenance)
    folder.write_result(Measured(work.run_id, "done", 4, "0" * 16, 4.0))


def row(results: Path) -> pages.Row:
    (found,) = [row for row in pages.rows(Found(finished_runs(results), (results,)), pages.PAPER) if row.runs]
    return found


@pytest.mark.parametrize(
    ("means", "word"),
    [
        ([1.80, 1.82, 1.85], "match"),
        ([1.90, 1.91, 1.92], "differs"),
        ([1.60, 1.82, 2.05], "consistent"),  # an interval that wide holds anything
        ([1.82, 1.82], "undecided"),
    ],
)
def test_verdicts_on_a_mean(tmp_path: Path, means: list[float], word: str) -> None:
    """The paper's plain-20 has 1.822."""
    pretend(tmp_path, Arch("cifar", 20), means)
    assert pages.judge(row(tmp_path), pages.PAPER).word == word
    assert pages.judge(row(tmp_path), replace(pages.PAPER, schedule="short")).word == "not comparable"


def test_the_nearest_choice_is_told_from_the_others(tmp_path: Path) -> None:
    pretend(tmp_path, Arch("cifar", 20), [2.0])
    papers = row(tmp_path).papers().values()
    assert pages.distance(row(tmp_path), OURS) == pytest.approx((sum((2 - y) ** 2 for y in papers) / 19) ** 0.5)
    assert pages.distance(row(tmp_path), "test eval channel") > pages.distance(row(tmp_path), OURS)


def test_the_claims_are_judged_on_what_was_measured(tmp_path: Path) -> None:
    means = {
        arch: [1.9 - 0.3 * arch.residual - 0.005 * arch.depth + 0.01 * s for s in range(3)] for arch in study.ARCHS
    }
    for arch, values in means.items():
        pretend(tmp_path, arch, values)

    def words(folders: tuple[Path, ...]) -> dict[str, str]:
        setting = pages.claimed(Found(finished_runs(tmp_path), folders), pages.PAPER)
        return {judged.claim.id: judged.word for judged in claims.of_setting(setting, pages.TABLE)}

    assert words((tmp_path,)) == {"responses-below-plain": "holds", "responses-fall": "holds"}
    assert set(words(()).values()) == {"not run"}  # the runs are there, and nothing was measured of them
    for seed in range(3):  # and turned round
        run_ = pages.PAPER.spec(Arch("cifar", 110, "A"), seed)
        measured(tmp_path, finished_runs(tmp_path)[run_.run_id], 1.9 + 0.01 * seed)
    assert words((tmp_path,)) == {"responses-below-plain": "holds", "responses-fall": "contradicted"}


def test_the_figure_has_the_papers_axes_and_order(tmp_path: Path) -> None:
    pretend(tmp_path, Arch("cifar", 20), [1.0, 1.2])
    drawn = picture.figure_7([row(tmp_path)], paper=True, heading="")
    assert [panel.x.label for panel in drawn.panels] == ["layer index (original)", "layer index (sorted by magnitude)"]
    theirs, ours = drawn.panels[1].series
    assert list(theirs.y) == sorted(theirs.y, reverse=True)
    assert list(ours.x) == list(range(1, 20))
    assert (ours.low[0], ours.y[0], ours.high[0]) == pytest.approx((1.0, 1.1, 1.2))
    assert (drawn.panels[0].y.low, drawn.panels[0].y.log) == (0, False)


def test_a_net_that_responds_far_more_does_not_press_the_others_flat(tmp_path: Path) -> None:
    pretend(tmp_path, Arch("cifar", 20), [30.0])
    for panel in picture.figure_7([row(tmp_path)], paper=True, heading="").panels:
        assert panel.y.log
        assert 1 < panel.y.low < 1.5  # the paper's least is 1.26
        assert panel.y.high > 30
        assert list(panel.y.ticks) == [2, 5, 10, 20]


def test_a_page_with_nothing_measured_says_so_and_how_to_fill_it() -> None:
    from bench.report.render import markdown

    page = markdown.render(pages.page(Found({}, ()), pages.PAPER))
    rows = [line for line in page.splitlines() if line.startswith(("| plain-", "| ResNet-"))]
    assert sum("missing" in line for line in rows) == 5
    assert "Nothing is measured yet." in page
    assert "`python bench/run.py --table layer_responses`" in page
    for printed in ("1.82", "1.51", "1.62", "1.13", "0.99"):
        assert printed in page


SMOKE = ("--schedule", "smoke", "--set", "iterations=6", "--only", "resnet-8-A")


def test_from_the_command_to_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained and measured by one command; the run is the depth study's, and a part of what moves."""

    def say(table: str, *arguments: str) -> str:
        places = ("--results", str(tmp_path / "r"), "--tables", str(tmp_path / "t"))
        assert run.main(("--table", table, *SMOKE, *arguments, *places)) == 0
        return capsys.readouterr().out

    assert "2 runs in " in say("layer_responses", "--dry-run")
    said = say("layer_responses", "--execution", "eager")
    assert "ResNet-8" in said
    assert re.search(r"responses\S+  4/4  \d+ images/s", said)
    assert "nan" not in said
    page = tmp_path / "t" / "layer_responses.smoke.iterations=6.md"
    text = page.read_text()
    assert "not comparable" in next(line for line in text.splitlines() if line.startswith("| ResNet-8 "))
    for kind in ("png", "svg"):
        assert (tmp_path / "t" / "figures" / f"{page.stem}.{kind}").stat().st_size > 10_000
    assert "all 1 runs have a result" in say("cifar_depth")
    assert "all 2 runs have a result" in say("layer_responses")
    assert page.read_text() == text
    bundle = tmp_path / "b.zip"
    assert run.main(("--export", str(bundle), "--results", str(tmp_path / "r"))) == 0
    assert run.main(("--import", str(bundle), "--results", str(tmp_path / "elsewhere"))) == 0
    assert len(list((tmp_path / "elsewhere").glob("*/points.jsonl"))) == 1

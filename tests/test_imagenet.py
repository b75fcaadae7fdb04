"""ImageNet nets on genuine images: they learn, they resume, several processes train what one trains, and pages are honest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT, Command
from slurm_site import Site

from bench import run
from bench.compute import job
from bench.compute.context import Context
from bench.errors import Interrupted, UserError
from bench.images import folder, protocols
from bench.measure.counts.closed_form import count
from bench.measure.counts.estimate import multiply_adds
from bench.runs.folder import RunFolder
from bench.runs.scores import read_scores, write_scores
from bench.runs.spec import ImageNetRecipe, RunSpec
from bench.studies import imagenet as study
from bench.studies.variant import ImageNetVariant
from bench.testing import pretrained
from bench.training.schedule import drops_so_far, learning_rate
from bench.training.source import Source
from models.arch import parse_arch


@pytest.fixture(scope="session")
def images(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 3 classes out of genuine images: 48 to train on, 3 to test on."""
    return data_set(shared, tmp_path_factory.mktemp("a data set"), 48)


def data_set(shared: Path, data: Path, count: int) -> Path:
    """Links to `count` images to train on and 3 to test on; nothing is copied."""
    files = sorted((shared / "data" / "imagenet-sample" / "val").glob("*/*"))
    if len(files) < count + 3:
        pytest.skip("needs the images of imagenet-sample")
    for split, part in (("train", files[:count]), ("val", files[count : count + 3])):
        for number, file in enumerate(part):
            target = data / split / f"class {number % 3}" / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file)
    return data


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def spec(data: Path, net: str = "imagenet-resnet-18-A", **changes: object) -> RunSpec:
    """A run of seconds: small crops, which the nets take as well."""
    train, _ = folder.find(data)
    small: dict[str, object] = {
        "iterations": 6, "batch": 16, "bn_group": 8, "bn_images": 32, "evaluate_every": 3, "scale": (72, 96), "crop": 64,
        "drops": (4, 5),
    }  # fmt: skip
    recipe = replace(study.recipe("smoke", len(train.classes)), **{**small, **changes})  # type: ignore[arg-type]
    return RunSpec(parse_arch(net), recipe, f"imagefolder-{train.digest[:8]}", 0)


def train(one: RunSpec, results: Path, data: Path, **more: object) -> RunFolder:
    job.run(one, Context(results, Source(data, workers=0), **more))  # type: ignore[arg-type]
    return RunFolder(results, one.run_id)


FEW_SCALES = protocols.MultiScale(sides=(224, 256))


@pytest.fixture
def few_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the five scales, the small ones, where runs are held against one another: the five take most of the time."""
    monkeypatch.setattr(protocols, "MULTI_SCALE", FEW_SCALES)
    monkeypatch.setattr(pretrained, "MULTI_SCALE", FEW_SCALES)


def weights(run_folder: RunFolder) -> dict[str, torch.Tensor]:
    net: dict[str, torch.Tensor] = torch.load(run_folder.checkpoint, weights_only=True)["net"]
    return net


def test_the_papers_recipe() -> None:
    """Section 3.4, and Fig. 4 for where the rate drops."""
    recipe = ImageNetRecipe()
    assert (recipe.batch, recipe.iterations, recipe.lr, recipe.weight_decay, recipe.momentum) == (
        256,
        600_000,
        0.1,
        1e-4,
        0.9,
    )
    assert (recipe.scale, recipe.crop, recipe.bn_group, recipe.colour) == ((256, 480), 224, 32, "pca")
    rates = [learning_rate(recipe, i) for i in (149_999, 150_000, 299_999, 300_000, 599_999)]
    assert rates == pytest.approx([0.1, 0.01, 0.01, 0.001, 0.001])
    short = study.recipe("short")
    assert (short.iterations * 16, [16 * drop for drop in short.drops]) == (600_000, [150_000, 300_000])


def test_the_rate_drops_on_a_plateau() -> None:
    recipe = replace(ImageNetRecipe(), drop_on="plateau", plateau_points=2, plateau_gain=0.5)
    errors = [50.0, 40.0, 39.8, 39.7, 39.0, 30.0, 29.9, 29.8]
    points = [{"iteration": 10 * (i + 1), "test_error": error} for i, error in enumerate(errors)]
    assert drops_so_far(recipe, points) == (40, 80)
    assert drops_so_far(recipe, points[:7]) == (40,)
    assert learning_rate(recipe, 40, drops=(40,)) == pytest.approx(0.01)
    assert drops_so_far(replace(recipe, drop_on="iterations"), points) == (150_000, 300_000)


@pytest.mark.slow
@pytest.mark.parametrize("net", ["plain-18", "resnet-18-A", "resnet-18-B", "resnet-18-C"])
def test_a_net_learns_a_small_set_by_heart(shared: Path, tmp_path: Path, net: str) -> None:
    """16 images of 3 classes, two in three of which a guess gets wrong: known by heart once ten iterations hardly err.

    Where the crop lies is random all along, so that a picture can show what was never seen, and later ones may err again.
    """
    few = data_set(shared, tmp_path / "few", 16)
    one = spec(
        few, f"imagenet-{net}", iterations=41, evaluate_every=10, drops=(30, 40), lr=0.02, bn_group=16,
        scale=(64, 64), flip=False, colour="none",
    )  # fmt: skip
    seen = iter([False] * 39 + [True])
    with pytest.raises(Interrupted):  # before the last iteration, after which all protocols are gone through
        train(one, tmp_path, few, should_stop=lambda: next(seen))
    errors = [point["train_error"] for point in RunFolder(tmp_path, one.run_id).read_metrics()]
    assert errors[0] > 5
    assert errors[-1] <= 5, errors
    assert min(errors) < 2, errors


@pytest.mark.slow
@pytest.mark.usefixtures("few_scales")
def test_kill_9_and_a_stop_in_mid_epoch_change_no_bit(images: Path, tmp_path: Path) -> None:
    """48 images are three iterations of 16: the kill comes after the first, the stop after the fourth."""
    one = spec(images)
    whole = train(one, tmp_path / "whole", images)
    script = (
        "import dataclasses, json, sys; from pathlib import Path; import torch; from bench.compute import job, heartbeat\n"
        "from bench.runs.spec import RunSpec; from bench.compute.context import Context\n"
        "from bench.training import checkpoint_interval, loop; from bench.training.source import Source\n"
        "torch.set_num_threads(1); checkpoint_interval.CHECKPOINT_SECONDS = loop.REPORT_SECONDS = heartbeat.SECONDS = 0.0\n"
        "spec = RunSpec.from_json(json.loads(sys.argv[1]))\n"
        "job.run(spec, Context(Path(sys.argv[2]), Source(Path(sys.argv[3]), workers=1)))\n"
    )
    words = [sys.executable, "-c", script, json.dumps(one.to_json()), str(tmp_path / "parts"), str(images)]
    process = subprocess.Popen(words, cwd=ROOT)
    parts = RunFolder(tmp_path / "parts", one.run_id)
    while not parts.checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    iteration = torch.load(parts.checkpoint, weights_only=True)["progress"]["iteration"]
    assert iteration < 4
    seen = iter([False] * (3 - iteration) + [True])
    with pytest.raises(Interrupted, match="stopped at iteration 4"):
        train(one, tmp_path / "parts", images, should_stop=lambda: next(seen))
    train(one, tmp_path / "parts", images)
    a, b = weights(whole), weights(parts)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert whole.read_metrics()[-1]["test_error"] == parts.read_metrics()[-1]["test_error"]
    assert whole.evaluation.read_text() == parts.evaluation.read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("few_scales")
def test_a_run_made_anew_is_tested_anew(images: Path, tmp_path: Path) -> None:
    """Nothing of the net before it is kept; and a stop between two protocols costs the one, which counts as progress."""
    one = spec(images, iterations=2, evaluate_every=2)
    run = train(one, tmp_path, images)
    first = read_scores(run.evaluation)
    write_scores(run.evaluation, {name: replace(score, images=score.images + 1) for name, score in first.items()})
    for tested in (1, 2):
        before = run.saved()

        def stops(tested: int = tested) -> bool:
            return len(read_scores(run.evaluation)) == tested

        with pytest.raises(Interrupted, match="stopped in the test"):
            train(one, tmp_path, images, force=tested == 1, should_stop=stops)
        assert run.saved() != before
    train(one, tmp_path, images)
    assert read_scores(run.evaluation) == first


def _one_of_two(rank: int, one: RunSpec, results: Path, data: Path, port: int) -> None:
    torch.set_num_threads(1)
    protocols.MULTI_SCALE = FEW_SCALES
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    job.run(one, Context(results, Source(data, workers=0), process=(rank, 2)))


def two_processes(one: RunSpec, results: Path, data: Path) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(_one_of_two, (one, results, data, port), nprocs=2)  # type: ignore[no-untyped-call]


@pytest.mark.slow
@pytest.mark.usefixtures("few_scales")
def test_two_processes_train_what_one_trains_in_ghost_batches(images: Path, tmp_path: Path) -> None:
    """And the number may change between two requeues: one process begins, two end."""
    one = spec(images, lr=0.0001)  # a rate at which rounding does not grow
    alone = train(one, tmp_path / "alone", images)
    two_processes(one, tmp_path / "two", images)
    seen = iter([False, True])
    with pytest.raises(Interrupted):
        train(one, tmp_path / "changed", images, should_stop=lambda: next(seen))
    two_processes(one, tmp_path / "changed", images)
    whole = train(spec(images, lr=0.0001, bn_group=None), tmp_path / "whole", images)
    for other in (RunFolder(tmp_path / "two", one.run_id), RunFolder(tmp_path / "changed", one.run_id)):
        a, b = weights(alone), weights(other)
        trained = [name for name in a if "running" not in name and "num_batches" not in name]
        assert max(float((a[name] - b[name]).abs().max()) for name in trained) < 5e-6
        assert other.read_metrics()[-1]["train_error"] == alone.read_metrics()[-1]["train_error"]
        assert max(float((a[name] - weights(whole)[name]).abs().max()) for name in trained) > 5e-5  # it is the groups
        images_tested = {score["images"] for score in json.loads(other.evaluation.read_text())["protocols"].values()}
        assert images_tested == {3}


def test_every_cell_is_missing_with_the_command_and_the_cost(tmp_path: Path) -> None:
    for name in study.STUDIES:
        assert run.main(("--table", name, "--report", "--results", str(tmp_path / "r"), "--tables", str(tmp_path))) == 0
        page = (tmp_path / f"{name}.md").read_text()
        nets = [line for line in page.splitlines() if line.startswith(("| plain-", "| ResNet-"))]
        assert len([line for line in nets if "missing" in line]) == len(study.STUDIES[name].archs)
        assert f"python bench/run.py --table {name} --cluster slurm --data DIR" in page
        assert "| hours on 1 GPU |" in " ".join(page.split()).replace("   ", " ")
        assert "nothing measured" in page


def test_the_cost_agrees_with_the_table_of_complexity() -> None:
    committed = json.loads((ROOT / "tables" / "measured" / "complexity.json").read_text())["nets"]
    for table in study.STUDIES.values():
        for one in ImageNetVariant(table, "paper").specs():
            assert multiply_adds(one) == committed[one.arch.name]["multiply_adds"] == count(one.arch).multiply_adds


def complaint(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run.main(tuple(map(str, arguments))) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


def test_bad_input_gets_one_line(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = ("--table", "imagenet_shortcuts", "--results", tmp_path / "r", "--tables", tmp_path / "t")
    folder_of = ("--dataset", "imagefolder", "--schedule", "smoke", "--data")
    assert "no folder train and val in it" in complaint(capsys, *table, *folder_of, tmp_path)
    assert "ImageNet has 1000" in complaint(capsys, *table, "--data", images, "--only", "*-34-A")
    (tmp_path / "few").mkdir()
    for split in ("train", "val"):
        (tmp_path / "few" / split).mkdir()
        for name in ("class 0", "class 1"):
            (tmp_path / "few" / split / name).symlink_to(images / "val" / name)
    said = complaint(capsys, *table, *folder_of, tmp_path / "few", "--only", "*-34-A")
    assert "images are fewer than the batch of 16" in said
    wide = (*folder_of, images, "--only", "*-34-A", "--set", "crop=300")
    assert "--set crop=300: crop 300 must be <= the smallest shorter side 256" in complaint(capsys, *table, *wide)
    (tmp_path / "one" / "train" / "a").mkdir(parents=True)
    (tmp_path / "one" / "val").mkdir()
    (tmp_path / "one" / "train" / "a").rmdir()
    (tmp_path / "one" / "train" / "a").symlink_to(images / "train" / "class 0")
    assert "only one class" in complaint(capsys, *table, *folder_of, tmp_path / "one")
    assert "--dataset cifar10 is no data set of imagenet_shortcuts" in complaint(capsys, *table, "--dataset", "cifar10")
    assert "--only vgg matches no net" in complaint(capsys, *table, "--only", "vgg")
    assert "--weights torchvision is for ImageNet tables" in complaint(
        capsys, "--table", "cifar_depth", "--weights", "torchvision"
    )
    assert "add --arch" in complaint(capsys, *table, "--weights", tmp_path / "w.pt")
    assert "--ensemble is Table 5" in complaint(capsys, *table, "--ensemble")
    assert "add --arch" in complaint(capsys, "--evaluate", tmp_path / "w.pt")


@pytest.mark.slow
def test_a_broken_image_ends_the_run_before_it_trains_or_is_counted(shared: Path, tmp_path: Path) -> None:
    data = data_set(shared, tmp_path / "data", 20)
    broken = next((data / "train").glob("*/*"))
    whole = broken.read_bytes()
    broken.unlink()  # the link, never what it leads to
    broken.write_bytes(whole[: len(whole) // 2])
    one = spec(data, iterations=2, evaluate_every=2)
    with pytest.raises(UserError, match=r"1 of 20 images cannot be decoded, first .*--skip-broken"):
        train(one, tmp_path, data)
    assert not RunFolder(tmp_path, one.run_id).checkpoint.exists()
    job.run(one, Context(tmp_path, Source(data, skip_broken=True, workers=0)))
    facts = json.loads(RunFolder(tmp_path, one.run_id).provenance.read_text())
    assert facts["skipped_images"] == {"train": 1, "val": 0}


@pytest.mark.slurm
@pytest.mark.slow
def test_two_tasks_on_slurm(site: Site, images: Path, tmp_path: Path) -> None:
    """From the command to the page: two processes of one run, then the report."""
    command = Command(tmp_path)
    where = ("--table", "imagenet_plain_vs_residual", "--schedule", "smoke", "--data", images, "--only", "resnet-18-A")
    slurm = (
        "--cluster",
        "slurm",
        "--profile",
        "cpu",
        "--tasks-per-node",
        2,
        "--cpus",
        1,
        "--mem",
        "4G",
        "--workers",
        0,
    )
    meet = (
        "--setup",
        "export OMP_NUM_THREADS=1",
        "export RESNET_BENCH_MASTER=127.0.0.1",
        "export GLOO_SOCKET_IFNAME=lo",
    )
    environment = {**site.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    said = command(*where, "--dataset", "imagefolder", *slurm, *meet, env=environment).stdout
    assert "1 task of 1 run" in said
    reports: Callable[[], list[Path]] = lambda: list(command.tables.glob("imagenet_plain_vs_residual.smoke.*.md"))  # noqa: E731
    site.wait("the page", reports, patience=480)
    (folder_of_run,) = command.results.glob("imagenet-resnet-18-A-*")
    log = "".join(path.read_text() for path in command.results.glob("slurm/*/1/*.err"))
    assert (folder_of_run / "result.json").exists(), log
    assert json.loads((folder_of_run / "provenance.json").read_text())["slurm"]["ntasks"] == "2"
    assert set(json.loads((folder_of_run / "evaluation.json").read_text())["protocols"]) == {
        "1-crop",
        "10-crop",
        "multi-scale",
    }


@pytest.mark.slow
def test_weights_from_a_file_make_a_row(shared: Path, tmp_path: Path) -> None:
    """A val folder of three classes of ImageNet, the order of all thousand beside it; the row says whose it is."""
    from torchvision.models import resnet18

    folders = sorted((shared / "data" / "imagenet-sample" / "val").iterdir())[:3]
    for each in folders:
        (tmp_path / "data" / "val" / each.name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "val" / each.name).symlink_to(each)
    others = [f"n{number:08d}" for number in range(997)]
    (tmp_path / "data" / "wnids.txt").write_text("\n".join([*others, *(each.name for each in folders)]))
    torch.save({"state_dict": {f"module.{k}": v for k, v in resnet18().state_dict().items()}}, tmp_path / "net.pt")
    command = Command(tmp_path)
    where = ("--table", "imagenet_plain_vs_residual", "--weights", tmp_path / "net.pt", "--data", tmp_path / "data")
    said = command(*where, "--arch", "imagenet-resnet-18-B", "--workers", 0).stdout
    assert said.count("net.pt") == 4  # a line for each protocol
    page = (command.tables / "imagenet_plain_vs_residual.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| net.pt")]
    assert [row.split("|")[3].strip() for row in rows] == [
        "1-crop",
        "10-crop",
        "10-crop, summed outputs",
        "multi-scale",
    ]
    assert all("imagenet-resnet-18-B" in row and "somebody's recipe" in row for row in rows)
    said = command(*where, "--arch", "imagenet-resnet-34-B", check=False).stderr
    assert "choose imagenet-resnet-18-B" in said
    assert len(said.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("few_scales")
def test_finished_runs_make_an_ensemble(images: Path, tmp_path: Path) -> None:
    """Two seeds of a net: their scores are averaged, which is neither's own number."""
    specs = [
        spec(images, iterations=2, evaluate_every=2),
        replace(spec(images, iterations=2, evaluate_every=2), seed=1),
    ]
    for one in specs:
        train(one, tmp_path, images)
    found = pretrained.score_ensemble(specs, images, tmp_path, torch.device("cpu"), 0)
    assert found.scores[FEW_SCALES.name].images == 3
    alone = pretrained.score_ensemble([specs[0], specs[0]], images, tmp_path, torch.device("cpu"), 0).scores[
        FEW_SCALES.name
    ]
    own = RunFolder(tmp_path, specs[0].run_id)
    assert json.loads(own.evaluation.read_text())["protocols"][FEW_SCALES.name]["top1_wrong"] == alone.top1_wrong

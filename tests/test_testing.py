"""How nets are tested: protocols on real images, counts that no process or worker changes, and weights from elsewhere."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.transforms import CenterCrop, TenCrop

from bench.device.processes import connected
from bench.errors import UserError
from bench.images import memory, protocols
from bench.images.decode import read, resize_shorter
from bench.images.folder import ImageList, find_val
from bench.images.memory import Images
from bench.images.normalise import IMAGENET_MEAN, IMAGENET_STD, Normaliser
from bench.images.protocols import MULTI_SCALE, ONE_CROP, TEN_CROP, TEN_CROP_SUMMED, MultiScale
from bench.runs.scores import Score
from bench.runs.spec import CifarRecipe
from bench.testing import cifar, weights
from bench.testing.error_rate import error_rate
from models.arch import Arch, parse_arch
from models.build import build

CPU = torch.device("cpu")
NORMALISE = (torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD))


@pytest.fixture(scope="module")
def sample(shared: Path) -> ImageList:
    """200 images of ImageNet."""
    folder = shared / "data" / "imagenet-sample"
    if not folder.is_dir():
        pytest.skip("needs shared/data/imagenet-sample")
    return find_val(folder)


def resized(sample: ImageList, i: int, side: int) -> Tensor:
    return resize_shorter(read(sample.path(i)), side)


def trained_looking(net: nn.Module) -> nn.Module:
    """Batch-norm statistics and weights of its own, as a trained net has them."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return net.eval()


def small_net(classes: int = 10) -> nn.Module:
    """torchvision's ResNet with one block a stage, and scores that differ from image to image."""
    torch.manual_seed(0)
    net = trained_looking(ResNet(BasicBlock, [1, 1, 1, 1], num_classes=classes))
    nn.init.normal_(net.fc.weight, std=2)  # type: ignore[arg-type, union-attr]
    return net


def normalised(image: Tensor) -> Tensor:
    """(...,3,h,w) uint8 -> float32, by torchvision."""
    return torchvision.transforms.functional.normalize(image.float() / 255, IMAGENET_MEAN, IMAGENET_STD)


# Protocols


def test_ten_crops_are_torchvisions(sample: ImageList) -> None:
    odd = 0
    for i in range(0, 200, 5):
        image = resized(sample, i, 256)
        ours, theirs = protocols.ten_crops(image), torch.stack(TenCrop(224)(image))
        assert ours.shape == (10, 3, 224, 224)
        assert torch.equal(
            ours, theirs
        )  # top left, top right, bottom left, bottom right, centre; then of the mirror image
        assert torch.equal(protocols.centre_crop(image), CenterCrop(224)(image))
        odd += sum(image.shape[1:]) % 2
    assert odd > 3  # where the centre has to be rounded


def test_what_a_crop_score_is(sample: ImageList) -> None:
    net, images = small_net(), [[resized(sample, i, 256)] for i in (0, 7, 31)]
    with torch.no_grad():
        outputs = [net(normalised(torch.stack(TenCrop(224)(image)))) for (image,) in images]
        one = torch.stack([net(normalised(CenterCrop(224)(image))[None])[0].softmax(0) for (image,) in images])
        hows = (TEN_CROP, ONE_CROP, TEN_CROP_SUMMED)
        got = {how.name: protocols.scores(net, images, how, NORMALISE) for how in hows}
        together = protocols.scores_by(hows, net, [{256: image} for (image,) in images], NORMALISE)
        for how, found in zip(hows, together, strict=True):
            torch.testing.assert_close(found, got[how.name])
    torch.testing.assert_close(got["1-crop"], one, rtol=1e-4, atol=1e-6)
    averaged, summed = (
        torch.stack([f(o) for o in outputs]) for f in (lambda o: o.softmax(1).mean(0), lambda o: o.mean(0))
    )
    torch.testing.assert_close(got["10-crop"], averaged, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(got["10-crop, summed outputs"], summed, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got["10-crop"].sum(1), torch.ones(3))
    assert not torch.allclose(got["10-crop"], summed.softmax(1), rtol=1e-3)


@pytest.mark.parametrize("arch", ["imagenet-resnet-18-A", "imagenet-resnet-50-B", None])
def test_at_224_the_whole_image_is_a_crop(sample: ImageList, arch: str | None) -> None:
    torch.manual_seed(0)
    net = trained_looking(build(parse_arch(arch))) if arch else small_net()
    image = CenterCrop(224)(resized(sample, 3, 256))
    with torch.no_grad():
        plain = net(normalised(image)[None]).softmax(1)
        got = {
            average: protocols.scores(net, [[image]], MultiScale(average, False, (224,)), NORMALISE)
            for average in ("windows", "positions", "features")
        }
    for average in ("windows", "features"):
        torch.testing.assert_close(got[average], plain, rtol=1e-4, atol=1e-7)
    assert not torch.allclose(got["positions"], plain, rtol=1e-3)
    for found in got.values():
        torch.testing.assert_close(found.sum(1), torch.ones(1))


@torch.no_grad()
def scores_by_hand(net: Any, images: list[Tensor], average: str, flip: bool) -> Tensor:
    """Multi-scale scores of one image, one position after another: list of (3,h,w) -> (K,)."""
    by_scale = []
    for image in images:
        by_view = []
        for view in [image, image.flip(-1)] if flip else [image]:
            x = net.maxpool(F.relu(net.bn1(net.conv1(normalised(view)[None]))))
            features = net.layer4(net.layer3(net.layer2(net.layer1(x))))[0]  # (C,h,w)
            _, height, width = features.shape
            size = {"windows": (7, 7), "positions": (1, 1), "features": (height, width)}[average]
            seen = [
                features[:, y : y + size[0], x : x + size[1]].mean((1, 2))
                for y in range(height - size[0] + 1)
                for x in range(width - size[1] + 1)
            ]
            by_view.append(torch.stack([net.fc(each).softmax(0) for each in seen]).mean(0))
        by_scale.append(torch.stack(by_view).mean(0))
    return torch.stack(by_scale).mean(0)


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("average", ["windows", "positions", "features"])
def test_multi_scale_is_what_it_says(sample: ImageList, average: str, flip: bool) -> None:
    net, sides = small_net(), (224, 288)
    images = [[resized(sample, i, side) for side in sides] for i in (0, 1, 3)]
    assert images[0][0].shape == images[2][0].shape != images[1][0].shape  # the first and the last go through together
    with torch.no_grad():
        got = protocols.scores(net, images, MultiScale(average, flip, sides), NORMALISE)  # type: ignore[arg-type]
    for found, image in zip(got, images, strict=True):
        torch.testing.assert_close(found, scores_by_hand(net, image, average, flip), rtol=1e-4, atol=1e-6)
    other = {"windows": "features", "features": "positions", "positions": "windows"}[average]
    for wrong in (scores_by_hand(net, images[0], other, flip), scores_by_hand(net, images[0], average, not flip)):
        assert not torch.allclose(got[0], wrong, rtol=1e-4, atol=1e-6)


def test_a_name_says_all_that_was_chosen() -> None:
    assert [how.name for how in protocols.PROTOCOLS] == ["1-crop", "10-crop", "10-crop, summed outputs", "multi-scale"]
    assert MULTI_SCALE.sides == (224, 256, 384, 480, 640)
    assert MultiScale("features", False).name == "multi-scale, averaged features, no flip"
    variants = [
        MultiScale(a, f, s) for a in ("windows", "positions") for f in (True, False) for s in ((224,), (224, 256))
    ]
    assert len({how.name for how in variants}) == 8
    assert protocols.protocol("10-crop") is TEN_CROP
    with pytest.raises(UserError, match=r"'5-crop' is none of the paper's: choose 1-crop; 10-crop; "):
        protocols.protocol("5-crop")


def test_a_label_must_stand_alone_at_the_top() -> None:
    ranked = torch.tensor([[3.0, 1, 2], [1, 1, 0], [float("nan")] * 3, [1, 2, 3]])
    assert protocols.place_of_label(ranked, torch.tensor([0, 0, 0, 0])).tolist() == [1, 2, 3, 3]


def test_wilsons_interval() -> None:
    """By hand, 1 of 10 with z = 1.959964: (1 + z^2/2 -+ z sqrt(0.9 + z^2/4)) / (10 + z^2) = 0.21101 -+ 0.19314."""
    score = Score(1, None, 10)
    assert score.top1 == 10
    assert score.top1_interval == pytest.approx((1.7876, 40.415), abs=2e-3)
    assert score.top5 is None
    assert score.top5_interval is None
    assert Score(9, 0, 10).top5_interval == pytest.approx((0, 27.754), abs=1e-3)  # z^2 / (10 + z^2)


# Counting


def labels_of(sample: ImageList) -> np.ndarray[Any, Any]:
    """Labels that `small_net` has in place 1, 2, 3, ... by 1-crop, with one image at a time."""
    net, labels = small_net(), []
    with torch.no_grad():
        for i in range(len(sample)):
            outputs = net(normalised(CenterCrop(224)(resized(sample, i, 256)))[None])[0]
            labels.append(int(outputs.argsort(descending=True)[i % 10]))
    return np.array(labels)


HOWS = (ONE_CROP, TEN_CROP, TEN_CROP_SUMMED, MultiScale(flip=False, sides=(224, 256)))


@pytest.fixture(scope="module")
def counted(sample: ImageList) -> tuple[ImageList, np.ndarray[Any, Any], dict[str, Score]]:
    """Seven images, their labels, and what one process counts, image by image."""
    some = sample.only(range(0, 21, 3))
    labels = labels_of(some)
    return some, labels, protocols.evaluate(small_net(), some, labels, HOWS, NORMALISE, CPU, batch=1)


def test_wrong_images_are_counted(counted: Any) -> None:
    some, labels, alone = counted
    assert alone["1-crop"] == Score(6, 2, 7)
    assert list(alone) == ["1-crop", "10-crop", "10-crop, summed outputs", "multi-scale 224/256, no flip"]
    for how in HOWS:
        with torch.no_grad():
            each = [[resized(some, i, side) for side in how.sides] for i in range(7)]
            best = (
                torch.stack([protocols.scores(small_net(), [image], how, NORMALISE)[0] for image in each])
                .topk(5)
                .indices
            )
        right = best == torch.from_numpy(labels)[:, None]
        assert alone[how.name] == Score(int(7 - right[:, 0].sum()), int(7 - right.sum()), 7)


@pytest.mark.parametrize(("batch", "workers"), [(4, 0), (32, 0), (3, 2)])
def test_batches_and_workers_change_nothing(counted: Any, batch: int, workers: int) -> None:
    some, labels, alone = counted
    seen: list[tuple[int, int]] = []
    got = protocols.evaluate(
        small_net(), some, labels, HOWS, NORMALISE, CPU, workers=workers, batch=batch, report=lambda *x: seen.append(x)
    )
    assert got == alone
    assert seen[-1] == (7, 7)
    assert len(seen) == -(-7 // batch)


def a_process(rank: int, count: int, port: int, folder: Path, chosen: list[int], labels: list[int], out: Path) -> None:
    """One of several processes that test together. The path of a missing image makes its process fail."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    with connected(rank, count, CPU) as processes:
        images, said = find_val(folder).only(chosen), {}
        try:
            got = protocols.evaluate(small_net(), images, labels, HOWS, NORMALISE, CPU, processes, batch=2)
            said = {name: vars(score) for name, score in got.items()}
        except UserError as error:
            said = {"error": str(error)}
        (out / f"{count}-{rank}.json").write_text(json.dumps(said))


def together(count: int, folder: Path, chosen: list[int], labels: list[int], out: Path) -> list[dict[str, Any]]:
    """What each of `count` processes returned."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(a_process, (count, port, folder, chosen, labels, out), nprocs=count)
    return [json.loads((out / f"{count}-{rank}.json").read_text()) for rank in range(count)]


def test_processes_change_nothing(counted: Any, shared: Path, tmp_path: Path) -> None:
    """Seven images are no multiple of three."""
    _, labels, alone = counted
    folder = shared / "data" / "imagenet-sample"
    got = together(3, folder, list(range(0, 21, 3)), labels.tolist(), tmp_path)
    assert got == [{name: vars(score) for name, score in alone.items()}] * 3


def test_a_process_that_fails_does_not_leave_the_others_waiting(sample: ImageList, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "val" / name).mkdir(parents=True)
    whole = sample.path(0).read_bytes()
    for name, content in (("a/0.JPEG", whole), ("a/1.JPEG", whole[:100]), ("b/2.JPEG", whole)):
        (tmp_path / "val" / name).write_bytes(content)
    first, second = together(2, tmp_path, [0, 1, 2], [0, 0, 1], tmp_path)
    assert "1.JPEG" in second["error"]
    assert "another process of it failed" in first["error"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_named_in_one_line(sample: ImageList, tmp_path: Path, workers: int) -> None:
    for name, content in (("a", sample.path(0).read_bytes()), ("b", b"no image")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.JPEG").write_bytes(content)
    with pytest.raises(UserError, match=r"b/x\.JPEG") as caught:
        protocols.evaluate(small_net(), find_val(tmp_path), [0, 1], [ONE_CROP], NORMALISE, CPU, workers=workers)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_tested_says_so(sample: ImageList) -> None:
    two = sample.only([0, 1])
    with pytest.raises(UserError, match="labels 0 to 10 and the net has 10 outputs"):
        protocols.evaluate(small_net(), two, [0, 10], [ONE_CROP], NORMALISE, CPU)
    with pytest.raises(UserError, match="2 images and 1 labels"):
        protocols.evaluate(small_net(), two, [0], [ONE_CROP], NORMALISE, CPU)
    with pytest.raises(UserError, match="not for CifarNet: leave it out"):
        protocols.evaluate(build(parse_arch("resnet-8-A")), two, [0, 1], [MULTI_SCALE], NORMALISE, CPU)


def test_the_net_stays_as_it_was(sample: ImageList) -> None:
    net = small_net().train()
    net.layer1.eval()  # type: ignore[union-attr, operator]
    before = {key: value.clone() for key, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    protocols.evaluate(net, sample.only([0]), [0], HOWS, NORMALISE, CPU)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    rough = protocols.evaluate(net, sample.only([0]), [0], HOWS, NORMALISE, CPU, precision="bf16")
    assert {score.images for score in rough.values()} == {1}
    few = protocols.evaluate(small_net(5), sample.only([0]), [0], [ONE_CROP], NORMALISE, CPU)
    assert few["1-crop"].top5 is None


# Weights from elsewhere


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_torchvisions_weights_in_our_nets(sample: ImageList, tmp_path: Path, depth: int) -> None:
    torch.manual_seed(depth)
    theirs = trained_looking(getattr(torchvision.models, f"resnet{depth}")(weights=None))
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = build(weights.arch_of_torchvision(depth)).eval()
    weights.into(ours, weights.load_file(tmp_path / "weights.pth"), "weights.pth")
    images = normalised(torch.stack([CenterCrop(224)(resized(sample, i, 256)) for i in (0, 50)]))
    with torch.no_grad():
        expected = theirs(images)
        torch.testing.assert_close(ours(images), expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def saved_layouts(state: dict[str, Tensor]) -> dict[str, Any]:
    """One net as different projects store it."""
    parallel = {f"module.{key}": value for key, value in state.items()}
    return {
        "bare": state,
        "old": {k: v for k, v in state.items() if "num_batches_tracked" not in k},
        "akamaster": {"state_dict": parallel, "best_prec1": 91.7},
        "torchvision": {"model": state, "optimizer": {"state": {}}, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
        "here": {"digest": "0", "net": state, "progress": {"iteration": 3}},
        "compiled": {f"_orig_mod.module.{key}": value for key, value in state.items()},
        "fc": {key.replace("linear.", "fc."): value for key, value in state.items()},
        "parameters": {key: nn.Parameter(v) if v.is_floating_point() else v for key, v in state.items()},
    }


@pytest.fixture(scope="module")
def our_net() -> nn.Module:
    torch.manual_seed(1)
    return trained_looking(build(parse_arch("resnet-8-A")))


@pytest.mark.parametrize("name", saved_layouts({}))
@pytest.mark.parametrize("zipped", [True, False])
def test_layouts(our_net: nn.Module, tmp_path: Path, name: str, zipped: bool) -> None:
    path, state = tmp_path / "net.th", our_net.state_dict()
    torch.save(saved_layouts(state)[name], path, _use_new_zipfile_serialization=zipped)
    net = build(parse_arch("resnet-8-A"))
    weights.into(net, weights.load_file(path), "net.th")
    for key, value in net.state_dict().items():
        if "num_batches" not in key:
            assert torch.equal(value, state[key]), key


def test_names_of_other_projects(tmp_path: Path) -> None:
    net = trained_looking(build(parse_arch("resnet-8-B")))
    theirs = {key.replace(".downsample.", ".shortcut."): value for key, value in net.state_dict().items()}
    into = build(parse_arch("resnet-8-B"))
    weights.into(into, theirs, "x")
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), into.state_dict().values(), strict=True))
    imagenet = small_net()
    renamed = {key.replace("fc.", "linear."): value + 1 for key, value in imagenet.state_dict().items()}
    weights.into(imagenet, renamed, "x")
    assert torch.equal(imagenet.state_dict()["fc.weight"], renamed["linear.weight"])


@pytest.mark.parametrize(
    ("file", "net", "parts"),
    [
        (
            "resnet-14-A",
            "resnet-8-A",
            ["36 unexpected (layer1.1.conv1.weight, ", " and 33 more)", "choose resnet-14-A or plain-14"],
        ),
        (
            "resnet-8-A",
            "resnet-14-A",
            ["30 of its 67 keys missing (layer1.1.conv1.weight", "choose resnet-8-A or plain-8"],
        ),
        ("resnet-8-B", "plain-8", ["12 unexpected (layer2.0.downsample.0.weight", "choose resnet-8-B"]),
        ("resnet-8-C", "resnet-8-B", ["6 unexpected", "choose resnet-8-C"]),
        (
            "imagenet-resnet-18-B",
            "resnet-14-A",
            [
                "conv1.weight is (64,3,7,7), expected (16,3,3,3)",
                "bn1.weight is (64), expected (16) and ",
                "choose imagenet-resnet-18-B",
            ],
        ),
        (
            "imagenet-resnet-50-B",
            "imagenet-resnet-34-B",
            ["choose imagenet-resnet-50-B or imagenet-resnet-50-B-stride3x3"],
        ),
        ("vgg-16", "resnet-8-A", ["missing (conv1.weight", "it is of no net of this project"]),
    ],
)
def test_weights_of_another_net_say_which(file: str, net: str, parts: list[str]) -> None:
    with torch.device("meta"):
        state = build(parse_arch(file)).state_dict()
    into = build(parse_arch(net))
    before = {key: value.clone() for key, value in into.state_dict().items()}
    with pytest.raises(UserError) as caught:
        weights.into(into, state, "--weights x.pth")
    said = str(caught.value)
    assert said.startswith("--weights x.pth does not fit ")
    assert [part for part in parts if part not in said] == [], said
    assert "\n" not in said
    assert len(said) < 500
    assert all(torch.equal(before[key], value) for key, value in into.state_dict().items())


def test_weights_for_other_classes_say_so() -> None:
    hundred = build(parse_arch("resnet-8-A"), classes=100).state_dict()
    with pytest.raises(
        UserError, match=r"linear.weight is \(100,64\), expected \(10,64\).*tells 100 classes apart and this net 10"
    ):
        weights.into(build(parse_arch("resnet-8-A")), hundred, "x")
    wide = {**build(parse_arch("resnet-8-A")).state_dict(), "bn1.weight": torch.ones(32)}
    with pytest.raises(
        UserError, match=r"bn1.weight is \(32\), expected \(16\)\): it has the same blocks in other sizes"
    ):
        weights.into(build(parse_arch("resnet-8-A")), wide, "x")


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
@pytest.mark.parametrize("option", ["B", "C"])
def test_nets_are_known_by_their_keys(depth: int, option: str) -> None:
    with torch.device("meta"):
        state = build(Arch("imagenet", depth, option)).state_dict()  # type: ignore[arg-type]
    assert (weights.looks_like(state) or "").split(" or ")[0] == f"imagenet-resnet-{depth}-{option}"


class Malice:
    """A pickle that writes a file when it is read by a reader that executes what it is told."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.proof),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: {"state_dict": {"conv1.weight": m}}])
def test_a_file_with_code_is_not_executed(tmp_path: Path, zipped: bool, wrap: Callable[[Any], Any]) -> None:
    proof, path = tmp_path / "executed", tmp_path / "net.pth"
    torch.save(wrap(Malice(proof)), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        UserError, match=r"asks for the Python object \w+\.mkdir: nothing of it was executed: give a file"
    ) as caught:
        weights.load_file(path)
    assert "\n" not in str(caught.value)
    assert not proof.exists()
    torch.load(path, weights_only=False)  # such a file does what it says, where one lets it
    assert proof.is_dir()


def zip_of(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: zip_of({"a": torch.zeros(99)})[:-200], "is cut off: its end is missing"),
        (lambda: b"", "is empty"),
        (lambda: b"<!DOCTYPE html><html>Sign in</html>", r"is no checkpoint \(\w+\)"),
        (lambda: zip_of({"epoch": 3, "lr": 0.1}), "holds the keys epoch, lr and no net"),
        (lambda: zip_of([torch.zeros(1)]), "holds a list and no net"),
        (lambda: zip_of({}), "holds an empty dict and no net"),
        (lambda: zip_of({"state_dict": {}}), "holds the keys state_dict and no net"),
        (lambda: zip_of({"a\n\x1b[2J" + "b" * 999: 3}), r"holds the keys 'a\\n\\x1b\[2Jb+' and no net"),
        (lambda: zip_of({"net": {"a": torch.ones(1)}, "model": {"a": torch.zeros(1)}}), r"several nets \(model, net\)"),
        (lambda: zip_of({"module.a": torch.ones(1), "a": torch.ones(1)}), "two tensors of one name"),
        (lambda: zip_of(nn.Linear(2, 2)), "asks for the Python object torch.nn.modules.linear.Linear"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_what_is_no_net_says_what_is_accepted(
    tmp_path: Path, content: Callable[[], bytes] | None, message: str
) -> None:
    path = tmp_path / "net.pth"
    if content:
        path.write_bytes(content())
    with pytest.raises(UserError, match=re.escape(message) if content is None else message) as caught:
        weights.load_file(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert "give a file that torch.save wrote" in str(caught.value) or "save one of them alone" in str(caught.value)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which this machine serves it."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_torchvisions_release_is_fetched_and_its_checksum_verified(
    server: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real weights cannot be had in a test: random ones of the same form stand at another address."""
    folder, address = server
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    torch.manual_seed(0)
    content = zip_of(torchvision.models.resnet18(weights=None).state_dict())
    release = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    name = f"resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.setattr(release.value, "url", f"{address}/{name}")
    (folder / name).write_bytes(content[:-1] + b"x")
    arch = weights.arch_of_torchvision(18)
    with pytest.raises(UserError, match="invalid hash value"):
        weights.torchvision_state(arch)
    (folder / name).write_bytes(content)
    state, called = weights.torchvision_state(arch)
    assert called == "torchvision ResNet18_Weights.IMAGENET1K_V1"
    net = build(arch)
    weights.into(net, state, called)
    assert torch.equal(net.state_dict()["fc.weight"], state["fc.weight"])


def test_without_a_network_torchvisions_release_can_be_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens on port 9 of this machine."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = "http://127.0.0.1:9/resnet50-0676ba61.pth"
    monkeypatch.setattr(torchvision.models.ResNet50_Weights.IMAGENET1K_V1.value, "url", url)
    with pytest.raises(UserError) as caught:
        weights.torchvision_state(weights.arch_of_torchvision(50))
    said = str(caught.value)
    assert said.startswith(f"{url} could not be had (")
    assert f"give --weights FILE, or put it at {tmp_path}/hub/checkpoints/resnet50-0676ba61.pth" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("imagenet-resnet-34-A", "choose imagenet-resnet-34-B, or give"),
        ("imagenet-resnet-50-B", "choose imagenet-resnet-50-B-stride3x3, or give"),
        ("imagenet-plain-18", "choose imagenet-resnet-18-B, or give"),
        ("resnet-20-A", "choose imagenet-resnet-50-B-stride3x3, or give"),
        ("vgg-16", "choose imagenet-resnet-50-B-stride3x3, or give"),
    ],
)
def test_torchvision_has_no_other_nets(name: str, instead: str) -> None:
    with pytest.raises(UserError, match=f"torchvision released no weights of {name}: {instead}"):
        weights.torchvision_state(parse_arch(name))
    with pytest.raises(UserError, match="torchvision has no ResNet-20: choose 18, 34, 50, 101, 152"):
        weights.arch_of_torchvision(20)


# Anybody's CIFAR net


@pytest.fixture(scope="module")
def genuine(cifar10_folder: Path) -> tuple[Images, Images]:
    return memory.cifar10(cifar10_folder)


@pytest.mark.parametrize(("name", "normalise", "images"), [("akamaster", "imagenet", None), ("fc", "per-pixel", 300)])
def test_a_cifar_net_is_tested_as_in_training(
    our_net: nn.Module,
    cifar10_folder: Path,
    genuine: Any,
    tmp_path: Path,
    name: str,
    normalise: Any,
    images: int | None,
) -> None:
    path, arch = tmp_path / "net.th", parse_arch("resnet-8-A")
    torch.save(saved_layouts(our_net.state_dict())[name], path)
    score = cifar.evaluate_file(path, arch, cifar10_folder, normalise, CPU, images)
    train, test = genuine
    assert score.images == (images or 10_000)
    assert score.top1 == error_rate(our_net, test[: score.images], Normaliser(train, CifarRecipe(normalise=normalise)))
    assert 80 < score.top1 < 98  # of ten classes, by chance
    lines = cifar.describe(path, arch, normalise, score)
    assert f"{path} as resnet-8-A" in lines[0]
    assert lines[1] == f"error {score.top1:.2f} %: {score.top1_wrong:,} of {score.images:,} images wrong"
    assert f"{score.top1_interval[0]:.2f} to {score.top1_interval[1]:.2f} %" in lines[2]


def test_only_cifar_nets_are_tested_on_cifar(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="imagenet-resnet-18-B is no CIFAR net: choose one such as resnet-20-A"):
        cifar.evaluate_file(tmp_path / "x", parse_arch("imagenet-resnet-18-B"), tmp_path)
    with pytest.raises(UserError, match=r"--evaluate .*/x cannot be read \(No such file or directory\): give a file"):
        cifar.evaluate_file(tmp_path / "x", parse_arch("resnet-8-A"), tmp_path)

"""The nets: counts, keys, shapes, and the same logits as torchvision from the same weights."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from models.arch import Arch, parse_arch
from models.blocks import GhostBatchNorm2d, ZeroPad, load_weights
from models.build import build
from models.cifar import CifarNet
from models.imagenet import ImageNetNet


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("depth", "expected"),
    [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962), (1202, 19_421_274)],
)
def test_parameters_of_cifar_nets(depth: int, expected: int) -> None:
    assert parameters(CifarNet(depth, "A")) == expected
    if depth <= 110:
        assert parameters(CifarNet(depth, None)) == expected
        assert parameters(CifarNet(depth, "B")) == expected + 2_752


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("imagenet-plain-18", 11_515_688),
        ("imagenet-resnet-18-B", 11_689_512),
        ("imagenet-resnet-18-C", 12_043_816),
        ("imagenet-resnet-34-A", 21_623_848),
        ("imagenet-resnet-34-C", 22_716_840),
        ("imagenet-resnet-50-B", 25_557_032),
    ],
)
def test_parameters_of_imagenet_nets(name: str, expected: int) -> None:
    assert parameters(build(parse_arch(name))) == expected


@pytest.mark.parametrize("option", [None, "A", "B", "C"])
def test_cifar_keys_and_shapes(option: str | None) -> None:
    net = CifarNet(14, option)  # type: ignore[arg-type]
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    modules = {key.rsplit(".", 1)[0] for key in net.state_dict() if "downsample" not in key}
    blocks = {f"layer{s}.{i}.{m}" for s in (1, 2, 3) for i in (0, 1) for m in ("conv1", "bn1", "conv2", "bn2")}
    assert modules == blocks | {"conv1", "bn1", "linear"}
    assert any("downsample" in key for key in net.state_dict()) == (option in ("B", "C"))


@pytest.mark.parametrize(
    ("arch", "reference"),
    [
        (Arch("imagenet", 18, "B"), torchvision.models.resnet18),
        (Arch("imagenet", 34, "B"), torchvision.models.resnet34),
        (Arch("imagenet", 50, "B", "3x3"), torchvision.models.resnet50),
    ],
)
def test_torchvision_weights_give_torchvision_logits(arch: Arch, reference) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    theirs = reference(weights=None).eval()
    for module in theirs.modules():  # trained nets have statistics of their own
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
    ours = build(arch).eval()
    load_weights(ours, {f"module.{key}": value for key, value in theirs.state_dict().items()})
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = theirs(images)
        torch.testing.assert_close(ours(images), expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def test_the_papers_stride_is_another_function_of_the_same_weights() -> None:
    torch.manual_seed(0)
    first, third = ImageNetNet(50, "B").eval(), ImageNetNet(50, "B", stride_in="3x3").eval()
    load_weights(third, first.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert not torch.allclose(first(images), third(images), rtol=1e-2)


def test_weights_of_another_net_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"layer1\.1"):
        load_weights(CifarNet(8, "A"), CifarNet(14, "A").state_dict())


def test_option_a_takes_every_second_pixel_and_pads_channels_with_zeros() -> None:
    x = torch.arange(2 * 16 * 4 * 4.0).reshape(2, 16, 4, 4)
    y = ZeroPad(16, 32, 2)(x)  # (2,16,4,4) -> (2,32,2,2)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


def test_a_residual_block_adds_its_input() -> None:
    net = CifarNet(8, "A").eval()
    block = net.layer1[0]
    nn.init.zeros_(block.bn2.weight)  # the branch is now zero
    x = torch.rand(2, 16, 8, 8)
    assert torch.equal(block(x), x)
    plain = CifarNet(8, None).eval().layer1[0]
    nn.init.zeros_(plain.bn2.weight)
    assert not plain(x).any()


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_he_initialisation(mode: str) -> None:
    torch.manual_seed(0)
    conv = CifarNet(8, "A", init=mode).layer3[0].conv1  # type: ignore[arg-type]
    fan = 9 * (32 if mode == "fan_in" else 64)
    assert conv.weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.02)


def test_ghost_batch_norm_is_batch_norm_of_each_group() -> None:
    torch.manual_seed(0)
    ghost, whole = GhostBatchNorm2d(4, 8), nn.BatchNorm2d(4)
    x = torch.randn(16, 4, 5, 5) * 3 + torch.arange(16)[:, None, None, None]
    y = ghost(x)
    torch.testing.assert_close(y[:8], whole(x[:8]))
    torch.testing.assert_close(ghost.running_mean, whole.running_mean)  # it follows the first group
    torch.testing.assert_close(y[8:], nn.BatchNorm2d(4)(x[8:]))
    assert not torch.allclose(y, nn.BatchNorm2d(4)(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CifarNet(21), "depth 21 is not 6n\\+2: try 20 or 26"),
        (lambda: CifarNet(3), "depth 3 is not 6n\\+2: try 8"),
        (lambda: CifarNet(20, "D"), "shortcut option 'D' is none of the paper's: try A, B or C"),  # type: ignore[arg-type]
        (lambda: ImageNetNet(20), "depth 20 is not in Table 1: try 18, 34, 50, 101, 152"),
        (lambda: ImageNetNet(50, stride_in="2x2"), "try 1x1 or 3x3"),  # type: ignore[arg-type]
        (lambda: GhostBatchNorm2d(4, 1), "try 2 or more"),
        (lambda: Arch("cifar", 21), "try 20 or 26"),
        (lambda: parse_arch("resnet56"), "try resnet-56-A"),
    ],
)
def test_what_cannot_be_built_says_what_can(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make()

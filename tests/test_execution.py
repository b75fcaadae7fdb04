"""The fast paths do what the plain one does: losses, bits after a stop, batch norm, tests of a net, and who takes which."""

from __future__ import annotations

import ast
import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from test_training import spec, weights
from torch import nn

from bench import run
from bench.compute import job
from bench.compute.context import Context
from bench.device import environment
from bench.errors import Interrupted, UserError
from bench.images import memory
from bench.runs import provenance
from bench.runs.folder import RunFolder
from bench.runs.initial_net import build_for_run
from bench.runs.scores import Score
from bench.runs.spec import RunSpec
from bench.studies import cifar_depth, imagenet
from bench.testing import cifar
from bench.testing.error_rate import fold
from bench.training import execution, loop
from bench.training.execution import Mode
from bench.training.feed import MemoryFeed
from bench.training.fused import OnePassBatchNorm2d, fuse
from bench.training.source import Source
from models.arch import Arch

CPU, GPU = torch.device("cpu"), torch.device("cuda")
COMPILED = pytest.mark.skipif(execution.compiler() is None, reason="needs a C++ compiler")


def train(run: RunSpec, folder: RunFolder, mode: Mode, **more: object) -> None:
    feed = MemoryFeed(run.cifar, memory.digits(), CPU)
    loop.train(run, loop.Session(folder, feed, choose=lambda earlier: mode, **more))  # type: ignore[arg-type]


@COMPILED
@pytest.mark.slow
def test_compiled_follows_the_plain_path_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """100 iterations at a rate at which rounding does not yet grow; the third run is stopped twice on its way."""
    run = spec(iterations=100, drops=(50, 75), lr=0.001, evaluate_every=1)
    plain, whole, parts = (RunFolder(tmp_path / name, run.run_id) for name in ("plain", "whole", "parts"))
    train(run, plain, "eager")
    train(run, whole, "compiled")
    curves = [[point["train_loss"] for point in folder.read_metrics()] for folder in (plain, whole)]
    assert curves[0][0] > 2
    assert curves[1] == pytest.approx(curves[0], rel=1e-3)
    assert weights(whole).keys() == weights(plain).keys()
    assert not all(torch.equal(weights(plain)[key], value) for key, value in weights(whole).items())  # it was compiled

    stops = iter([False] * 30 + [True] + [False] * 41 + [True] + [False] * 100)
    for _ in range(2):
        with pytest.raises(Interrupted):
            train(run, parts, "compiled", should_stop=lambda: next(stops))
    train(run, parts, "compiled", should_stop=lambda: next(stops))
    assert all(torch.equal(weights(parts)[key], value) for key, value in weights(whole).items())


@pytest.mark.parametrize("changes", [{}, {"warmup_lr": 0.01, "warmup_window": 4}, {"bn_group": 64}])
def test_the_steps_of_a_graph_are_the_plain_ones(tmp_path: Path, changes: dict[str, object]) -> None:
    """Without a GPU the steps that a graph would hold are taken one by one, on its buffers: to the same bits."""
    run = spec(seed=3, **changes)
    plain, captured = RunFolder(tmp_path / "plain", run.run_id), RunFolder(tmp_path / "captured", run.run_id)
    train(run, plain, "eager")
    train(run, captured, "captured")
    assert all(torch.equal(weights(plain)[key], value) for key, value in weights(captured).items())
    assert plain.read_metrics()[-1]["train_loss"] == captured.read_metrics()[-1]["train_loss"]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_begins_as_single_does(tmp_path: Path, precision: str) -> None:
    """A few iterations: CPUs are slow at fp16."""
    losses = []
    for one in ("fp32", precision):
        run = spec(precision=one, iterations=3, drops=(1, 2), evaluate_every=3, batch=16, lr=0.01)
        train(run, RunFolder(tmp_path, run.run_id), "eager")
        losses.append(RunFolder(tmp_path, run.run_id).read_metrics()[-1]["train_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]


def test_one_pass_batch_norm_is_batch_norm() -> None:
    """Output, gradients and moving averages, also where the mean is a hundred deviations away."""
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(4)
    nn.init.uniform_(plain.weight)
    nn.init.uniform_(plain.bias)
    fused = nn.Sequential(copy.deepcopy(plain))
    fuse(fused)
    assert isinstance(fused[0], OnePassBatchNorm2d)
    for offset, tolerance in ((0.0, 1e-5), (100.0, 2e-2), (100.0, 2e-2)):
        x = torch.randn(8, 4, 6, 6) + offset
        if offset:  # as after a few iterations, when the moving mean is near
            for layer in (plain, fused[0]):
                layer.running_mean.fill_(offset - 0.5)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        factor = torch.randn_like(x)
        (plain(a) * factor).sum().backward()
        (fused(b) * factor).sum().backward()
        torch.testing.assert_close(fused(x), plain(x), rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(b.grad, a.grad, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(fused[0].weight.grad, plain.weight.grad, rtol=tolerance, atol=10 * tolerance)
        torch.testing.assert_close(fused[0].bias.grad, plain.bias.grad, rtol=1e-5, atol=1e-4)
        for name, value in plain.named_buffers():
            torch.testing.assert_close(dict(fused[0].named_buffers())[name], value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("group", [None, 4])
def test_a_folded_net_is_the_same_net(group: int | None) -> None:
    net = build_for_run(spec(arch=Arch("cifar", 20, "B"), bn_group=group))
    net.train()
    for _ in range(3):  # so that the moving averages are no round numbers
        net(torch.randn(16, 3, 32, 32))
    net.eval()
    x = torch.randn(5, 3, 32, 32)
    folded = fold(net)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(x), net(x), rtol=1e-4, atol=1e-4)


def test_who_is_executed_how(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(depth: int, schedule: str = "paper") -> RunSpec:
        arch = Arch("cifar", depth, "A")
        return RunSpec(arch, cifar_depth.recipe(arch, schedule), "cifar10", 0)  # type: ignore[arg-type]

    monkeypatch.setattr(execution, "compiler", lambda: "g++")
    choose = execution.choose
    assert choose("auto", run(20), GPU, 100, None) == "captured"
    assert choose("auto", run(20), CPU, 3600, None) == "compiled"
    assert choose("auto", run(20, "smoke"), CPU, 20, None) == "eager"  # compiling would take longer than it saves
    assert choose("auto", run(1202), CPU, 1e6, None) == "eager"  # compiling would take many minutes
    assert choose("auto", run(20), CPU, 3600, "eager") == "eager"  # as it was begun
    assert choose("auto", run(20), CPU, 20, "compiled") == "compiled"
    assert choose("auto", run(20), CPU, 3600, "captured") == "compiled"  # begun on a GPU, goes on without one
    assert choose("eager", run(20), GPU, 3600, "captured") == "eager"
    arch = Arch("imagenet", 18, "A")
    big = RunSpec(arch, imagenet.recipe("paper"), "imagenet", 0)
    assert choose("auto", big, GPU, 1e6, None) == "eager"
    for device, one in ((CPU, run(20)), (GPU, big)):
        with pytest.raises(UserError, match="--execution captured needs a GPU and a CIFAR net: try compiled or eager"):
            choose("captured", one, device, 100, None)
    monkeypatch.setattr(execution, "compiler", lambda: None)
    assert choose("auto", run(20), CPU, 3600, None) == "eager"
    assert choose("auto", run(20), CPU, 3600, "compiled") == "eager"
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler: install g\+\+, or try eager"):
        choose("compiled", run(20), CPU, 3600, None)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's tunables")
def test_a_command_that_trains_keeps_its_memory_and_does_not_wait_for_long() -> None:
    """It starts itself again, once, with the same arguments, as the same process."""
    script = (
        "import os, sys\nfrom bench.device import environment\nprint(os.getpid(), sys.argv[1:], flush=True)\n"
        "environment.restart()\nprint({name: os.environ.get(name) for name in environment.ENVIRONMENT})\n"
    )
    others = {name: value for name, value in os.environ.items() if name not in environment.ENVIRONMENT}
    words = [sys.executable, "-c", script, "a b", "--c"]
    done = subprocess.run(words, cwd=ROOT, env=others, capture_output=True, text=True, check=True)
    first, second, values = done.stdout.splitlines()
    assert first == second
    assert first.endswith("['a b', '--c']")
    assert ast.literal_eval(values) == environment.ENVIRONMENT
    for name, lines in (("GOMP_SPINCOUNT", 3), (environment.NAME, 2)):  # a person's own value stands
        mine = subprocess.run(words, cwd=ROOT, env={**others, name: "7"}, capture_output=True, text=True, check=True)
        *before, values = mine.stdout.splitlines()
        assert len(before) == lines - 1
        assert ast.literal_eval(values)[name] == "7"


@pytest.fixture
def products() -> Iterator[Callable[[], tuple[bool, bool]]]:
    """How convolutions and matrices are multiplied on a GPU, from PyTorch's own defaults on: True is tf32."""

    def now() -> tuple[bool, bool]:
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    before = now()
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False
    yield now
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("tf32", True)])
def test_the_precision_is_set_before_a_run_is_described_and_trained(
    products: Callable[[], tuple[bool, bool]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    tf32: bool,
) -> None:
    seen = []

    def looking(do: Callable[..., object]) -> Callable[..., object]:
        def look(*arguments: object, **more: object) -> object:
            seen.append(products())
            return do(*arguments, **more)

        return look

    monkeypatch.setattr(provenance, "collect", looking(provenance.collect))
    monkeypatch.setattr(loop, "train", looking(loop.train))
    job.run(spec(iterations=2, drops=(), evaluate_every=2, precision=precision), Context(tmp_path, Source(tmp_path)))
    assert seen == [(tf32, tf32)] * 2


def test_weights_from_elsewhere_are_tested_in_single_precision(
    products: Callable[[], tuple[bool, bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def evaluate_file(*arguments: object) -> Score:
        seen.append(products())
        return Score(1, None, 2)

    monkeypatch.setattr(cifar, "evaluate_file", evaluate_file)
    assert run.main(["--evaluate", str(tmp_path / "net.pt"), "--arch", "resnet-8-A"]) == 0
    assert seen == [(False, False)]


def test_digests_do_not_know_how_a_run_is_executed() -> None:
    assert not hasattr(spec().recipe, "execution")
    assert replace(spec().recipe, precision="bf16") != spec().recipe

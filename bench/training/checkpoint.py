"""All that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import nn

from bench.errors import Unready, UserError
from bench.files import write_atomic
from bench.runs.folder import RunFolder
from bench.runs.initial_net import build_for_run
from bench.runs.ranges import Range, check
from bench.runs.spec import Spec

COUNT = Range("number", least=0)


@dataclass
class Progress:
    """Where a run stands between two iterations. Sums are over the images since the last evaluation point."""

    iteration: Annotated[int, COUNT] = 0
    warmup_ended: int | None = None
    recent_wrong: list[int] = field(default_factory=list)
    """Wrong images of each of the last `warmup_window` iterations, while warming up."""
    loss_sum: float = 0.0
    wrong: Annotated[int, COUNT] = 0
    seen: Annotated[int, COUNT] = 0
    train_seconds: float = 0.0
    """Seconds spent on iterations, all attempts."""
    wall_seconds: float = 0.0
    """Seconds spent in all, all attempts."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of them, by part: `first` iterations of each attempt, compiling included (also in `train_seconds`), `evaluation`,
    `checkpoints`, `metrics` (curves, logs, heartbeats), `looking` at gradients, and the tests at the very `end`."""
    saves: Annotated[int, COUNT] = 0
    """Checkpoints written, this one not counted."""
    attempts: Annotated[int, COUNT] = 0
    execution: Literal["eager", "compiled", "captured"] | None = None
    """How its iterations were executed."""
    metrics: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        check(self)
        if any(wrong < 0 for wrong in self.recent_wrong):
            raise ValueError("recent_wrong has a number below 0")


def save(folder: RunFolder, spec: Spec, net: nn.Module, optimiser: torch.optim.Optimizer, now: Progress) -> None:
    """Write the checkpoint atomically."""
    state = {
        "digest": spec.digest,
        "net": net.state_dict(),
        "optimiser": optimiser.state_dict(),
        "progress": asdict(now),
    }
    write_atomic(folder.checkpoint, lambda file: torch.save(state, file))


def load(folder: RunFolder, spec: Spec, net: nn.Module, optimiser: torch.optim.Optimizer) -> Progress:
    """Restore net and optimiser in place and say where the run stands; a fresh Progress without a checkpoint.

    Raises UserError where the file is damaged or of another spec. Runs no code from the file.
    """
    if not folder.checkpoint.exists():
        return Progress()
    try:
        state = read(folder.checkpoint, spec)
    except UserError as error:
        raise UserError(f"{folder.checkpoint} {error}: move it away to train from the start") from error
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    return Progress(**state["progress"])


def read(path: Path, spec: Spec) -> dict[str, Any]:
    """What a checkpoint of `spec` holds, on the CPU. Runs no code from the file.

    Raises UserError, in words that follow the file's name, where it is damaged or of another spec.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        digest = state["digest"]
    except Exception as error:  # torch.load raises many kinds for a damaged file
        raise UserError(f"is damaged ({type(error).__name__})") from error
    if digest != spec.digest:
        raise UserError(f"is a checkpoint of another run than {spec.run_id}")
    return state


def trained(spec: Spec, results: Path) -> nn.Module:
    """The net of a finished run, on the CPU, in evaluation mode.

    Raises Unready where the run has no result, has diverged, or its checkpoint is gone; UserError where that is damaged.
    """
    folder = RunFolder(results, spec.run_id)
    if not folder.finished():
        raise Unready(f"needs the net of {spec.run_id}, which has no result yet: give the same command again")
    if folder.read_result().status != "done":
        raise Unready(f"needs the net of {spec.run_id}, which has diverged")
    if not folder.checkpoint.exists():
        raise Unready(f"needs the net of {spec.run_id}: move {folder.result} away to train it again")
    net = build_for_run(spec)
    try:
        net.load_state_dict(read(folder.checkpoint, spec)["net"])
    except UserError as error:
        raise UserError(f"{folder.checkpoint} {error}: move {folder.path} away to train it again") from error
    return net.eval()


def digest_of(net: nn.Module) -> str:
    """Sixteen digits of every value in a net's state: which weights something was measured on."""
    found = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        found.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]

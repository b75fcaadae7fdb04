"""Validate a checkpoint from another machine against its run's spec before loading it."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import UserError
from bench.files import convert
from bench.runs.initial_net import build_of
from bench.runs.spec import Spec
from bench.training import checkpoint
from bench.training.checkpoint import Progress
from bench.training.loop import sgd

SLACK = 1 << 26
"""Bytes of a checkpoint besides its tensors: names, the curve so far."""


def inspect(path: Path, spec: Spec) -> Progress:
    """Where a checkpoint stands. Runs no code from the file.

    Holds the digest of the spec, the name, shape and type of every tensor of net and optimiser, and the kind of every
    other value against what this code would have written. Raises UserError in a few words, without the path.
    """
    with torch.device("meta"):  # shapes without memory
        net = build_of(spec)
        optimiser = sgd(net, spec.recipe)
    needed = sum(tensor.nbytes for tensor in (*net.state_dict().values(), *net.parameters()))  # and velocities
    _look_through(path, needed + SLACK)
    state = checkpoint.read(path, spec)
    if set(state) != {"digest", "net", "optimiser", "progress"}:
        raise UserError("has other parts than a checkpoint")
    if (wrong := _differing(net.state_dict(), state["net"])) is not None:
        raise UserError(f"does not fit {spec.arch.name} ({wrong})")
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    if not _is_of(optimiser.state_dict()["param_groups"], parameters, state["optimiser"]):
        raise UserError(f"has an optimiser of something else than {spec.arch.name}")
    return _progress(state["progress"], spec)


def _look_through(path: Path, most: int) -> None:
    """Refuse what torch.load would blow up: torch.save stores every part as it is, and a net has so many bytes at most."""
    try:
        if path.stat().st_size > most:
            raise UserError("is larger than it can be")
        with zipfile.ZipFile(path) as parts:
            if any(part.compress_type != zipfile.ZIP_STORED for part in parts.infolist()):
                raise UserError("is compressed, which no checkpoint is")
            if sum(part.file_size for part in parts.infolist()) > path.stat().st_size:
                raise UserError("claims to be larger than it is")
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"is damaged ({type(error).__name__})") from error


def _differing(own: Mapping[str, Tensor], theirs: Any) -> str | None:
    """What is not of the shape and type that it should have; None where all is."""
    if not isinstance(theirs, Mapping) or set(theirs) != set(own):
        return "other keys"
    for key, tensor in own.items():
        found = theirs[key]
        if not _like(found, tensor):
            return f"{key} is {tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__}"
    return None


def _like(found: Any, tensor: Tensor) -> bool:
    return isinstance(found, Tensor) and found.shape == tensor.shape and found.dtype == tensor.dtype


def _is_of(groups: list[dict[str, Any]], parameters: list[Tensor], theirs: Any) -> bool:
    """Whether an optimiser's state is of these parameters, every setting but the learning rate as it should be."""
    try:
        if set(theirs) != {"state", "param_groups"} or len(theirs["param_groups"]) != len(groups):
            return False
        for own, found in zip(groups, theirs["param_groups"], strict=True):
            same = all(found[key] == value for key, value in own.items() if key != "lr")
            if not same or not isinstance(found["lr"], float) or not 0 < found["lr"] < math.inf:
                return False
        return all(
            type(index) is int
            and 0 <= index < len(parameters)
            and set(state) == {"momentum_buffer"}
            and (state["momentum_buffer"] is None or _like(state["momentum_buffer"], parameters[index]))
            for index, state in theirs["state"].items()
        )
    except (KeyError, TypeError, AttributeError):
        return False


def _progress(data: Any, spec: Spec) -> Progress:
    try:
        now = convert(Progress, data)
    except ValueError as error:
        raise UserError(f"has no progress of this version ({error})") from error
    if now.iteration > spec.recipe.iterations:
        raise UserError(f"has iteration {now.iteration}, and its run ends at {spec.recipe.iterations}")
    return now

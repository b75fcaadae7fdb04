"""State dicts of others: files of other projects, and torchvision's released nets. No code in a file is ever run."""

from __future__ import annotations

import argparse
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UserError
from models.arch import Arch
from models.blocks import Bottleneck
from models.imagenet import BLOCKS

LAYOUTS = ("state_dict", "model_state_dict", "model", "net")
"""Where a checkpoint keeps its net: akamaster and FAIR's ports, tutorials, torchvision's references, this project."""

WRAPPERS = ("module.", "_orig_mod.")
"""What data-parallel training and torch.compile put before each key."""

ACCEPTED = f"give a file that torch.save wrote of a net's state_dict(), bare or under {', '.join(LAYOUTS)}"


def load_file(path: Path, option: str = "--weights") -> dict[str, Tensor]:
    """The state dict in a file that torch.save wrote, on the CPU, its keys without the prefixes of `WRAPPERS`.

    Only tensors and plain containers are read: a file that asks for code is refused and nothing of it is executed. Raises
    UserError where it is missing, damaged, of another kind, or holds no net or several; `option` is how the person gave it.
    """
    called = f"{option} {path}"
    try:
        # A training script's options are stored beside many nets; a Namespace does nothing but hold them.
        with torch.serialization.safe_globals([argparse.Namespace]):
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{called} cannot be read ({error.strerror or error}): {ACCEPTED}") from error
    except Exception as error:  # torch.load raises many kinds for a file that is not one of its own
        raise UserError(f"{called} {_refusal(path, error)}: nothing of it was executed: {ACCEPTED}") from error
    state = _unwrap(stored, called)
    stripped = {_strip(key): value.detach() for key, value in state.items()}
    if len(stripped) < len(state):
        raise UserError(f"{called} has two tensors of one name, with and without {' or '.join(WRAPPERS)}: {ACCEPTED}")
    return stripped


def _refusal(path: Path, error: Exception) -> str:
    """Why torch.load would not read a file, in a few words."""
    asked = re.search(r"GLOBAL ([\w.]+)", str(error))
    if asked:
        return f"asks for the Python object {asked[1]}"
    if path.stat().st_size == 0:
        return "is empty"
    with path.open("rb") as file:
        whole = file.read(2) != b"PK" or zipfile.is_zipfile(path)
    return f"is no checkpoint ({type(error).__name__})" if whole else "is cut off: its end is missing"


def _unwrap(stored: Any, called: str) -> Mapping[str, Tensor]:
    """The state dict in what was stored: that itself, or the one under a key of `LAYOUTS`. Raises UserError."""
    if isinstance(stored, Mapping):
        if _is_state(stored):
            return stored
        found = {key: stored[key] for key in LAYOUTS if _is_state(stored.get(key))}
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            raise UserError(f"{called} holds several nets ({', '.join(found)}): save one of them alone")
        what = f"the keys {_few(map(str, stored))}" if stored else "an empty dict"
    else:
        what = f"a {type(stored).__name__}"
    raise UserError(f"{called} holds {what} and no net: {ACCEPTED}")


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    )


def _strip(key: str) -> str:
    """A key without the prefixes of `WRAPPERS`, however many there are."""
    while (shorter := key.removeprefix(WRAPPERS[0]).removeprefix(WRAPPERS[1])) != key:
        key = shorter
    return key


def _few(words: Iterable[str], shown: int = 3) -> str:
    """The first few, and how many more. They stand in a file that may be anybody's: on one line, and not too long."""
    every = list(words)
    more = f" and {len(every) - shown} more" if len(every) > shown else ""
    return ", ".join(word[:80] if word.isprintable() else ascii(word[:80]) for word in every[:shown]) + more


def into(net: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load `state`, called `name` in errors, into `net`, every tensor of it into its place.

    Names of one thing are one: `fc` and `linear` for the classifier, `shortcut` and `downsample` for a projection. Counters
    of batches, which old files lack, are not asked for. Raises UserError, with `net` as it was, where a key is missing or
    unexpected or a shape differs: it says which, and which net of this project has those keys.
    """
    own = net.state_dict()
    renamed = {_as_in(own, state, key): value for key, value in state.items()}
    counters = {key for key in own if key.endswith(".num_batches_tracked")}
    missing = [key for key in own if key not in renamed and key not in counters]
    unexpected = [key for key in renamed if key not in own]
    differing = [key for key in own if key in renamed and renamed[key].shape != own[key].shape]
    faults = []
    if missing:
        faults.append(f"{len(missing)} of its {len(own) - len(counters)} keys missing ({_few(missing)})")
    if unexpected:
        faults.append(f"{len(unexpected)} unexpected ({_few(unexpected)})")
    if differing:
        shapes = [f"{key} is {_shape(renamed[key])}, expected {_shape(own[key])}" for key in differing]
        faults.append(f"{len(differing)} of another shape ({_few(shapes, 2)})")
    if faults:
        raise UserError(
            f"{name} does not fit {looks_like(own) or type(net).__name__}: {', '.join(faults)}: {_remedy(state, own)}"
        )
    net.load_state_dict(renamed)


def _as_in(own: Mapping[str, Tensor], state: Mapping[str, Tensor], key: str) -> str:
    """A key of `state` by the name that this net has for the same thing, where `state` has nothing of that name."""
    for theirs, ours in (("linear.", "fc."), ("fc.", "linear."), (".shortcut.", ".downsample.")):
        other = key.replace(theirs, ours)
        if key not in own and other in own and other not in state:
            return other
    return key


def _shape(tensor: Tensor) -> str:
    return "(" + ",".join(map(str, tensor.shape)) + ")"


def _remedy(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """What net to choose for `state`, as far as its keys and shapes tell."""
    theirs, ours = looks_like(state), looks_like(own)
    if theirs is None:
        return "it is of no net of this project"
    if theirs != ours:
        return f"choose {theirs}"
    found, expected = _classes(state), _classes(own)
    if found != expected:
        return f"it tells {found} classes apart and this net {expected}: choose weights for {expected}"
    return "it has the same blocks in other sizes, which no net of this project has"


def _classes(state: Mapping[str, Tensor]) -> int:
    return next((len(v) for k, v in state.items() if k in ("fc.weight", "linear.weight")), 0)


def looks_like(state: Mapping[str, Tensor]) -> str | None:
    """The nets of this project that have these blocks: "resnet-20-A or plain-20"; None where none has.

    Option A has no parameters of its own, and a stride none at all, so that keys alone cannot tell those apart.
    """
    blocks = {(int(m[1]), int(m[2])) for key in state if (m := re.match(r"layer(\d)\.(\d+)\.conv1\.", key))}
    counts = tuple(sum(stage == s for stage, _ in blocks) for s in range(1, 5))
    projected = {
        (int(m[1]), int(m[2])) for key in state if (m := re.match(r"layer(\d)\.(\d+)\.(downsample|shortcut)\.0\.", key))
    }
    prefix, depth, bottleneck = "", 0, any(re.match(r"layer\d\.\d+\.conv3\.", key) for key in state)
    if counts[3] == 0 and counts[0] and counts[0] == counts[1] == counts[2] and not bottleneck:
        depth = 6 * counts[0] + 2
    else:
        prefix = "imagenet-"
        depth = next((d for d, (block, n) in BLOCKS.items() if n == counts and (block is Bottleneck) == bottleneck), 0)
    if not depth:
        return None
    if not projected:
        return f"{prefix}resnet-{depth}-A or {prefix}plain-{depth}"
    name = f"{prefix}resnet-{depth}-{'C' if projected == blocks else 'B'}"
    return f"{name} or {name}-stride3x3" if bottleneck else name


def arch_of_torchvision(depth: int) -> Arch:
    """The net of this project that torchvision's resnet of `depth` is: option B, and a bottleneck strides in its 3x3.

    Basic blocks of 18 and 34 layers have one place to stride, whatever `stride_in` says. Raises UserError for a depth
    that is not in Table 1.
    """
    if depth not in BLOCKS:
        raise UserError(f"torchvision has no ResNet-{depth}: choose {', '.join(map(str, BLOCKS))}")
    return Arch("imagenet", depth, "B", "3x3")


def torchvision_state(arch: Arch) -> tuple[dict[str, Tensor], str]:
    """torchvision's released weights of `arch` and their name, from its cache or downloaded, the checksum verified.

    The first release, IMAGENET1K_V1: trained by the paper's recipe but for the augmentation (random area and aspect
    ratio). The second, of 50, 101 and 152 layers, has a recipe of another decade and is left out. Raises UserError where
    torchvision has no such net or the file cannot be had.
    """
    from torchvision.models import get_model_weights

    bottleneck = arch.family == "imagenet" and arch.depth in BLOCKS and BLOCKS[arch.depth][0] is Bottleneck
    if (
        arch.family != "imagenet"
        or arch.depth not in BLOCKS
        or arch.shortcut != "B"
        or (bottleneck and arch.stride_in != "3x3")
    ):
        depth = arch.depth if arch.depth in BLOCKS else 50
        instead = f"imagenet-resnet-{depth}-B" + ("-stride3x3" if BLOCKS[depth][0] is Bottleneck else "")
        raise UserError(f"torchvision released no weights of {arch.name}: choose {instead}, or give --weights FILE")
    release = get_model_weights(f"resnet{arch.depth}")["IMAGENET1K_V1"]
    try:
        state = release.get_state_dict(check_hash=True, progress=True, map_location="cpu", weights_only=True)
    except Exception as error:  # urllib, ssl, socket and damaged files, as they come
        file = Path(torch.hub.get_dir()) / "checkpoints" / Path(release.url).name
        cause = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{release.url} could not be had ({cause[:200]}): fetch it where there is a network "
            f"and give --weights FILE, or put it at {file}"
        ) from error
    return dict(state), f"torchvision {release}"

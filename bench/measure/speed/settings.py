"""What is timed: every net of the study, in the way that its runs take by themselves, and the other ways beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from bench.errors import UserError
from bench.runs.spec import Precision
from bench.studies import cifar_depth
from models.arch import Arch, parse_arch

How = Literal["reference", "eager", "compiled", "captured"]
Kind = Literal["cpu", "cuda"]
MemoryFormat = Literal["channels_last", "contiguous"]

CIFAR = tuple(arch.name for arch in cifar_depth.ARCHS)
DEEPEST = "resnet-1202-A"
IMAGENET = (
    *(f"imagenet-{kind}" for depth in (18, 34) for kind in (f"plain-{depth}", *(f"resnet-{depth}-{o}" for o in "ABC"))),
    "imagenet-resnet-50-B",
)
AIMED_AT = ("resnet-20-A", "resnet-56-A", "resnet-110-A")
"""The nets with an aim for speed: timed in more rounds, and in whole runs."""
WHOLE = "whole-"
"""Before the name of a net: a whole run of it, with evaluation and checkpoints."""
WHOLE_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
"""The paper's, and the fastest one that a CPU has."""
BATCHES: dict[tuple[str, Kind], int] = {
    ("cifar", "cpu"): 128, ("cifar", "cuda"): 128, ("imagenet", "cpu"): 16, ("imagenet", "cuda"): 128,
}  # fmt: skip
SMALL_BATCH = 16
"""Of ResNet-1202 where there is no GPU: a batch of 128 takes more memory than a laptop has."""


@dataclass(frozen=True)
class Setting:
    """One loop that is timed."""

    net: str
    how: How
    training: bool = True
    precision: Precision = "fp32"
    memory_format: MemoryFormat = "channels_last"
    batch: int = 128

    @property
    def arch(self) -> Arch:
        return parse_arch(self.net)

    @property
    def name(self) -> str:
        """`resnet-20-A-train-compiled-fp32`: what globs match."""
        words = [self.net, "train" if self.training else "test", self.how, self.precision]
        return "-".join(words + (["contiguous"] if self.memory_format == "contiguous" else []))

    @property
    def reference(self) -> Setting:
        """The common loop, of the same net and batch."""
        return Setting(self.net, "reference", self.training, "fp32", "contiguous", self.batch)

    @property
    def order(self) -> tuple[object, ...]:
        """Of pages, and of timing: settings that share a reference loop come after one another."""
        arch = self.arch
        net = (arch.family, not self.training, arch.depth, arch.residual, arch.shortcut or "", self.batch)
        return *net, self.precision != "fp32", self.memory_format == "contiguous", self.name


FASTEST: dict[Kind, How] = {"cpu": "compiled", "cuda": "captured"}
"""The way that the runs of CIFAR nets take by themselves."""
HALVES: dict[Kind, tuple[Precision, ...]] = {"cpu": ("bf16",), "cuda": ("tf32", "bf16", "fp16")}
"""The precisions beside the paper's."""


def settings(kind: Kind) -> list[Setting]:
    """All that is timed on a CPU or a GPU."""
    found = (*_of_cifar(kind), *_of_imagenet(kind))
    return sorted((replace(one, batch=batch(one.net, kind)) for one in found), key=lambda setting: setting.order)


def _of_cifar(kind: Kind) -> Iterator[Setting]:
    fast, halves = FASTEST[kind], HALVES[kind]
    few = AIMED_AT if kind == "cuda" else AIMED_AT[:2]
    yield from (Setting(net, fast) for net in CIFAR if net != DEEPEST or kind == "cuda")
    yield from (Setting(net, "eager") for net in ("plain-20", *AIMED_AT, DEEPEST))
    if kind == "cuda":
        yield from (Setting(net, "compiled") for net in few)
    yield from (Setting(net, fast, precision=half) for net in few for half in halves)
    yield Setting("resnet-20-A", "eager", memory_format="contiguous")
    yield from (Setting(net, "eager", training=False) for net in CIFAR)
    yield from (Setting("resnet-20-A", "eager", training=False, precision=half) for half in halves)


def _of_imagenet(kind: Kind) -> Iterator[Setting]:
    shallow, wide = "imagenet-resnet-18-A", "imagenet-resnet-50-B"
    for training in (True, False):
        yield from (Setting(net, "eager", training) for net in IMAGENET)
        yield from (Setting(wide, "eager", training, precision=half) for half in HALVES[kind])
    yield from (Setting(net, "compiled") for net in (shallow, wide))
    yield Setting(shallow, "eager", memory_format="contiguous")


def batch(net: str, kind: Kind) -> int:
    """Images of an iteration."""
    family = parse_arch(net).family
    return SMALL_BATCH if net == DEEPEST and kind == "cpu" else BATCHES[family, kind]


def kind() -> Kind:
    """What this machine times on."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class WholeRun:
    """A whole run that is timed."""

    net: str
    precision: Precision = "fp32"

    @property
    def name(self) -> str:
        """`whole-resnet-20-A`, `whole-resnet-20-A-bf16`: what globs match."""
        return f"{WHOLE}{self.net}" + (f"-{self.precision}" if self.precision != "fp32" else "")


WHOLES = tuple(WholeRun(net, precision) for net in AIMED_AT for precision in WHOLE_PRECISIONS)


@dataclass(frozen=True)
class Selection:
    """What is asked for."""

    settings: tuple[Setting, ...]
    wholes: tuple[WholeRun, ...]
    """Never without being asked for."""


def select(kind: Kind | None, glob: str | None = None, execution: str = "auto") -> Selection:
    """The settings whose net or name matches a glob, or those of one net that the study does not have; executed one way.

    `whole-*`, `whole-resnet-20-A` and `whole-*-bf16` ask for whole runs. `kind` None is either. Raises UserError where it
    matches nothing.
    """
    if glob and glob.lower().startswith(WHOLE):
        wholes = tuple(one for one in WHOLES if fnmatchcase(one.name.lower(), glob.lower()))
        if not wholes:
            raise UserError(f"--only {glob} matches no whole run: choose {', '.join(one.name for one in WHOLES)}")
        return Selection((), wholes)
    kinds: tuple[Kind, ...] = (kind,) if kind else ("cpu", "cuda")
    whole = [setting for each in kinds for setting in settings(each)]
    found = [one for one in whole if glob is None or _matches(glob, one)]
    found = found or _beyond(glob or "", kinds[0])
    chosen = tuple(one for one in found if execution in ("auto", one.how))
    if not chosen:
        ways = " or ".join(dict.fromkeys(one.how for one in found))
        raise UserError(f"--execution {execution} is not timed of these nets here: try {ways}")
    return Selection(chosen, ())


def _matches(glob: str, setting: Setting) -> bool:
    """Whether a glob, in any case, names a setting, or its net by any name: `imagenet-plain-18`, `plain-18`, `ResNet-34`."""
    names = (setting.net, setting.name)
    return any(
        fnmatchcase(name.lower(), glob.lower())
        for name in (*names, *(name.removeprefix("imagenet-") for name in names), setting.arch.label)
    )


def _beyond(net: str, kind: Kind) -> list[Setting]:
    """The ways of one net that the study does not have."""
    try:
        arch = parse_arch(net)
        if arch.family == "vgg":
            raise ValueError("not trained here")
    except ValueError as error:
        names = ", ".join((*CIFAR, *IMAGENET, *(one.name for one in WHOLES)))
        why = f": {error}" if "6n+2" in str(error) else f" matches nothing that is timed here: it has {names}"
        raise UserError(f"--only {net}{why}") from None
    fast = FASTEST[kind] if arch.family == "cifar" else "compiled"
    count = batch(net, kind)
    return [
        Setting(net, fast, batch=count),
        *(Setting(net, "eager", training, batch=count) for training in (True, False)),
    ]

"""The nouns of a run: Recipe, RunSpec, and the identity of a run.

Identity is the whole spec: a readable slug and a hash over every field, defaults included, so that a changed default
can never pass off an old result. Where results lie and how they are computed around the spec is not identity.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, Protocol

from bench.files import convert
from bench.runs import ranges, upgrades
from bench.runs.ranges import OutOfRange, Range
from models.arch import Arch

Schedule = Literal["paper", "short", "smoke"]
Selection = Literal["all", "val45k"]
Dataset = Literal["cifar10", "digits", "imagenet", "imagefolder"]
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
Execution = Literal["auto", "eager", "compiled", "captured"]
"""How iterations are executed. The numbers are the same to rounding, so that it is no part of a run's identity."""


ITERATIONS = Range("number of iterations", least=1, most=10**9)
BATCH = Range("batch", least=1, most=65_536)
DROPS = Range("iteration of a drop", least=1, most=10**9, rises=True)
BN_GROUP = Range("batch-norm group", least=2)
EVALUATE_EVERY = Range("number of iterations between evaluation points", least=1, most=10**9)


@dataclass(frozen=True)
class Recipe:
    """How a net is trained, as far as CIFAR and ImageNet nets have it in common (sections 3.4 and 4.2)."""

    schedule: Schedule = "paper"
    iterations: Annotated[int, ITERATIONS] = 64_000
    batch: Annotated[int, BATCH] = 128
    """Images of one iteration, over all processes."""
    lr: Annotated[float, Range("learning rate", above=0)] = 0.1
    drops: Annotated[tuple[int, ...], DROPS] = (32_000, 48_000)
    lr_divisor: Annotated[float, Range("divisor of the learning rate", least=1)] = 10.0
    warmup_lr: Annotated[float | None, Range("learning rate of the warm-up", above=0)] = None
    """Learning rate until the training error falls below `warmup_until_error`; None: no warm-up."""
    warmup_until_error: Annotated[float, Range("training error in percent", least=0, most=100)] = 80.0
    """Percent, over the images of the last `warmup_window` iterations."""
    warmup_window: Annotated[int, ITERATIONS] = 100
    momentum: Annotated[float, Range("momentum", least=0, below=1)] = 0.9
    momentum_form: Literal["caffe", "pytorch"] = "caffe"
    """Open. caffe: v = m v + lr g; pytorch: lr stays outside v. They differ for a while after each change of lr."""
    weight_decay: Annotated[float, Range("weight decay", least=0, most=1)] = 1e-4
    decay: Literal["all", "weights"] = "all"
    """Open. Weight decay on all parameters, or on the weights of convolutions and the classifier only."""
    init: Literal["fan_in", "fan_out"] = "fan_in"
    """Open. The mode of He initialisation."""
    bn_group: Annotated[int | None, BN_GROUP] = None
    """Images that share batch-norm statistics; None: the whole batch. The paper's GPUs saw 64 (CIFAR-10) and 32 each."""
    bn_statistics: Literal["moving", "recomputed"] = "moving"
    """Open. What batch norm uses at test time: moving averages, which lag behind the weights while the learning rate is high,
    or plain averages by the weights that are tested; of CIFAR nets at every evaluation point, else after training."""
    evaluate_every: Annotated[int, EVALUATE_EVERY] = 500
    """Iterations between evaluation points. Every second one is where Fig. 6 has its points, each 1,000 iterations."""
    precision: Precision = "fp32"
    """fp32 is the paper's. tf32 rounds the factors of products on a GPU; bf16 and fp16 compute them in half precision where
    PyTorch's autocast holds it safe, fp16 with the loss scaled by 1,024 against underflow."""
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    """Order of the numbers in memory. It changes speed and rounding."""
    flip: bool = True
    """Mirror half of the training images, at random."""

    def __post_init__(self) -> None:
        """Raise OutOfRange for a value that cannot be trained with."""
        ranges.check(self)
        if self.bn_group is not None and self.batch % self.bn_group:
            raise OutOfRange(
                "bn_group", self.bn_group, f"batch-norm group {self.bn_group} must divide the batch {self.batch}"
            )


@dataclass(frozen=True)
class CifarRecipe(Recipe):
    """Section 4.2. Every default is the paper's, or marked as what the paper leaves open."""

    normalise: Literal["per-pixel", "per-channel", "imagenet"] = "per-pixel"
    """Subtract the mean of each pixel, or mean and deviation of each channel: those of the data set, or ImageNet's."""
    crop_padding: Annotated[int, Range("padding in pixels", least=0, most=32)] = 4
    padding_value: Literal["mean", "black"] = "mean"
    """Open. Pad after subtracting the mean (so that the border is the mean), or before (so that it is black)."""
    selection: Selection = "all"
    """Open. Train on all training images, or on 45k of CIFAR-10's 50k with 5k held out."""


@dataclass(frozen=True)
class ImageNetRecipe(Recipe):
    """Section 3.4. Every default is the paper's, read off Fig. 4, or marked as what the paper leaves open."""

    iterations: Annotated[int, ITERATIONS] = 600_000
    batch: Annotated[int, BATCH] = 256
    drops: Annotated[tuple[int, ...], DROPS] = (150_000, 300_000)
    """30 and 60 epochs: where Fig. 4 shows them."""
    drop_on: Literal["iterations", "plateau"] = "iterations"
    """The text says "when the error plateaus": then `drops` are not used, and the next two fields say what that means."""
    plateau_points: Annotated[int, Range("number of evaluation points", least=1, most=10**6)] = 5
    """Open. Evaluation points without a gain after which the rate is divided."""
    plateau_gain: Annotated[float, Range("gain in points of error", least=0, most=100)] = 0.1
    """Open. Points of validation error that count as a gain."""
    bn_group: Annotated[int | None, BN_GROUP] = 32
    bn_statistics: Literal["moving", "recomputed"] = "recomputed"
    bn_images: Annotated[int, Range("number of images", least=1, most=10**9)] = 51_200
    """Open. Training images over which statistics are averaged after training."""
    evaluate_every: Annotated[int, EVALUATE_EVERY] = 5_005
    classes: Annotated[int, Range("number of classes", least=1, most=10**6)] = 1000
    scale: Annotated[tuple[int, int], Range("shorter side in pixels", least=1, most=8_192)] = (256, 480)
    """Shorter side of a training image, uniformly random, both ends included."""
    crop: Annotated[int, Range("crop in pixels", least=1, most=8_192)] = 224
    resize: Literal["box", "whole"] = "box"
    """Resize only what the crop shows, or the whole image as the text has it; the pixels differ slightly."""
    colour: Literal["pca", "none"] = "pca"
    """Krizhevsky's noise along the principal components of colour."""
    normalise: Literal["mean", "imagenet"] = "mean"
    """Subtract the mean of each channel; `imagenet` also divides by the deviation, as later libraries do."""

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.scale
        if low > high:
            raise OutOfRange("scale", self.scale, "shorter side must not fall: give the smaller one first")
        if self.crop > low:
            raise OutOfRange("crop", self.crop, f"crop {self.crop} must be <= the smallest shorter side {low}")


class Spec(Protocol):
    """What a folder of results answers: a training run, or a measurement of the nets of finished ones.

    Whatever sends, holds, resumes and watches work needs to know no more of it than this.
    """

    @property
    def run_id(self) -> str:
        """Its folder, below the results."""

    @property
    def digest(self) -> str:
        """SHA-256 over every field."""

    @property
    def name(self) -> str:
        """What a plan calls it, without its seed."""

    @property
    def arch(self) -> Arch:
        """The net that it computes with: decides memory and time."""

    @property
    def recipe(self) -> Recipe:
        """How the net is shown its images, and trained if it is."""

    @property
    def dataset(self) -> str: ...

    @property
    def seed(self) -> int: ...

    @property
    def needs(self) -> tuple[RunSpec, ...]:
        """The runs whose nets it takes: they must have ended before."""

    @property
    def steps(self) -> int:
        """Iterations of a training run, points of a measurement: what its progress counts."""

    @property
    def images(self) -> int:
        """That pass the net forward and backward; three that pass it forward only count as one."""

    @property
    def summary(self) -> str:
        """What it computes, in a few words."""

    @property
    def measures(self) -> bool:
        """Whether it measures a trained net, and ends with a `Measured`; else it trains one, and ends with a `Result`."""

    def to_json(self) -> dict[str, Any]:
        """All fields as plain JSON values, with the format version."""


@dataclass(frozen=True)
class RunSpec:
    """One training run, whole: what is trained, how, on what, from which seed."""

    arch: Arch
    recipe: Recipe
    dataset: str
    """cifar10, digits, imagenet; or imagefolder-DIGEST for a folder of images, by the digest of its listing."""
    seed: int

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise OutOfRange("seed", self.seed, "seed must be >= 0")

    @property
    def cifar(self) -> CifarRecipe:
        """The recipe of a CIFAR net."""
        assert isinstance(self.recipe, CifarRecipe)
        return self.recipe

    @property
    def imagenet(self) -> ImageNetRecipe:
        """The recipe of an ImageNet net."""
        assert isinstance(self.recipe, ImageNetRecipe)
        return self.recipe

    @cached_property
    def run_id(self) -> str:
        """`resnet-110-A-s3-1f0c9a2e`; schedules other than the paper's stand in the slug too."""
        return slug(self)

    @property
    def digest(self) -> str:
        """SHA-256 over the fields in canonical JSON."""
        return digest(self._fields())

    def same_but_seed(self, other: RunSpec) -> bool:
        """Whether the two are the same run, their seeds left aside."""
        return (self.arch, self.dataset, self.recipe) == (other.arch, other.dataset, other.recipe)

    @property
    def name(self) -> str:
        return self.arch.name

    @property
    def needs(self) -> tuple[RunSpec, ...]:
        return ()

    @property
    def measures(self) -> bool:
        return False

    @property
    def steps(self) -> int:
        return self.recipe.iterations

    @property
    def images(self) -> int:
        return self.recipe.iterations * self.recipe.batch

    @property
    def summary(self) -> str:
        first = "" if self.recipe.warmup_lr is None else f", first at learning rate {self.recipe.warmup_lr:g}"
        return f"{self.recipe.iterations:,} iterations of {self.recipe.batch} on {self.dataset}{first}"

    def to_json(self) -> dict[str, Any]:
        """All fields as plain JSON values, with the format version."""
        plain: dict[str, Any] = json.loads(json.dumps(self._fields()))
        return plain

    def _fields(self) -> dict[str, Any]:
        """The same, tuples among them, which JSON writes as lists."""
        nested = {
            "arch": vars(self.arch),
            "recipe": vars(self.recipe),
        }  # asdict copies deeply, for a ten times longer time
        return {"format": upgrades.FORMAT, **nested, "dataset": self.dataset, "seed": self.seed}

    @staticmethod
    def from_json(data: dict[str, Any]) -> RunSpec:
        """The inverse of `to_json`, of this format or an older one. Raises ValueError, naming field and value."""
        arch = data.get("arch")
        cifar = isinstance(arch, dict) and arch.get("family") == "cifar"
        kind: type[CifarFile | ImageNetFile] = CifarFile if cifar else ImageNetFile
        return convert(kind, upgrades.upgraded(data)).spec()


@dataclass(frozen=True)
class CifarFile:
    """spec.json of the training of a CIFAR net."""

    format: int
    arch: Arch
    recipe: CifarRecipe
    dataset: str
    seed: int

    def spec(self) -> RunSpec:
        return RunSpec(self.arch, self.recipe, self.dataset, self.seed)


@dataclass(frozen=True)
class ImageNetFile:
    """spec.json of the training of an ImageNet net."""

    format: int
    arch: Arch
    recipe: ImageNetRecipe
    dataset: str
    seed: int

    def spec(self) -> RunSpec:
        return RunSpec(self.arch, self.recipe, self.dataset, self.seed)


def digest(data: dict[str, Any]) -> str:
    """SHA-256 of a spec's fields, in canonical JSON. A field that was added later counts where it is not as before."""
    return hashlib.sha256(json.dumps(upgrades.identity(data), sort_keys=True).encode()).hexdigest()


def stem(spec: Spec) -> str:
    """Its name with the schedule, unless it is the paper's, and the seed."""
    schedule = "" if spec.recipe.schedule == "paper" else f"-{spec.recipe.schedule}"
    return f"{spec.name}{schedule}-s{spec.seed}"


def slug(spec: Spec) -> str:
    """The stem and the beginning of the digest."""
    return f"{stem(spec)}-{spec.digest[:8]}"

"""Measurements of the net of a finished run, and constructions on it: extended by identity layers, or its loss surface.

Each is a Spec like a training run: it has an identity and a folder of its own, and is sent, resumed, watched, exported and
published as runs are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from bench.files import convert
from bench.runs import upgrades
from bench.runs.spec import CifarFile, CifarRecipe, RunSpec, Spec, digest, slug
from bench.runs.upgrades import upgraded
from models.arch import Arch

EXTENSION, SURFACE, RESPONSES, GRADIENTS = "extension", "surface", "responses", "gradients"
"""What the specs say of their kind; that of a training run says nothing."""
FORWARD_ONLY = 3
"""A forward pass is a third of a training iteration."""


class OfRun:
    """What all kinds share. Each is of a run: of its data and its seed, and begins when the run has ended."""

    run: RunSpec

    @cached_property
    def run_id(self: Spec) -> str:
        """`plain-20-to-56-s0-1f0c9a2e`."""
        return slug(self)

    @property
    def digest(self: Spec) -> str:
        return digest(self.to_json())

    @property
    def dataset(self) -> str:
        return self.run.dataset

    @property
    def seed(self) -> int:
        return self.run.seed

    @property
    def needs(self) -> tuple[RunSpec, ...]:
        return (self.run,)

    @property
    def measures(self) -> bool:
        return False


class OfNet(OfRun):
    """A measurement of the run's own net."""

    @property
    def arch(self) -> Arch:
        return self.run.arch

    @property
    def recipe(self) -> CifarRecipe:
        return self.run.cifar


@dataclass(frozen=True)
class Extension(OfRun):
    """A trained plain net made deeper by layers that are the identity, and trained on.

    Section 1 of the paper: "There exists a solution by construction to the deeper model: the added layers are identity
    mapping, and the other layers are copied from the learned shallower model."
    """

    run: RunSpec
    """The shallower net, as it was trained."""
    arch: Arch
    """The deeper one."""
    recipe: CifarRecipe
    """Of the training that follows the construction."""

    def __post_init__(self) -> None:
        archs = (self.run.arch, self.arch)
        cifar = all(arch.family == "cifar" and not arch.residual for arch in archs)
        if not cifar or self.arch.depth <= self.run.arch.depth:
            names = f"{self.run.arch.name} cannot be extended to {self.arch.name}"
            raise ValueError(f"{names}: give two plain nets, the deeper one second")

    @property
    def name(self) -> str:
        """`plain-20-to-56`."""
        return f"{self.run.arch.name}-to-{self.arch.depth}"

    @property
    def steps(self) -> int:
        return self.recipe.iterations

    @property
    def images(self) -> int:
        return self.recipe.iterations * self.recipe.batch

    @property
    def summary(self) -> str:
        return f"{self.run.name} extended, then {self.recipe.iterations:,} iterations of {self.recipe.batch}"

    def to_json(self) -> dict[str, Any]:
        own = RunSpec(self.arch, self.recipe, self.dataset, self.seed).to_json()
        parts = {"run": self.run.to_json(), "arch": own["arch"], "recipe": own["recipe"]}
        return {"format": upgrades.FORMAT, "kind": EXTENSION, **parts}


@dataclass(frozen=True)
class Grid:
    """Where the loss around a trained net is measured (Li et al., "Visualizing the Loss Landscape of Neural Nets", 2018).

    `lines`: along random directions, a row for each of them. `plane`: over the plane of the first two of them, a row for
    each step along the second.
    """

    kind: Literal["lines", "plane"]
    rows: int
    columns: int
    """Points along a direction, evenly spaced: an odd number, so that the net itself is one of them."""
    images: int
    """The first images of the training set, not augmented."""
    reach: float = 1.0
    """The grid ends where each filter has been moved by so many times its own norm."""
    seed: int = 0
    """Of the directions."""
    scaling: Literal["filter"] = "filter"
    """Of a direction: Gaussian, each filter then given the norm of the net's own. Biases and batch norm are not moved."""
    statistics: Literal["kept"] = "kept"
    """What batch norm uses beside the net: the averages that the net was trained to."""

    def __post_init__(self) -> None:
        through_the_net = (self.columns,) if self.kind == "lines" else (self.columns, self.rows)
        odd = all(count % 2 and count > 1 for count in through_the_net)
        if not odd or min(self.rows, self.images) < 1 or not 0 < self.reach < math.inf or self.seed < 0:
            raise ValueError(f"a grid of {self.rows} by {self.columns} points: give odd numbers from 3 on")

    def coefficient(self, column: int) -> float:
        """Of the direction of a row (`lines`), or of the first direction."""
        return _spread(column, self.columns, self.reach)

    def second(self, row: int) -> float:
        """The coefficient of the second direction of a plane."""
        return _spread(row, self.rows, self.reach)


def _spread(index: int, count: int, reach: float) -> float:
    return reach * (2 * index / (count - 1) - 1)


@dataclass(frozen=True)
class SurfacePart(OfNet):
    """Some rows of the loss around a trained net: as much of it as one task measures."""

    run: RunSpec
    grid: Grid
    start: int
    stop: int
    """The rows from `start` to before `stop`."""

    def __post_init__(self) -> None:
        if self.run.arch.family != "cifar" or not 0 <= self.start < self.stop <= self.grid.rows:
            raise ValueError(f"rows {self.start} to {self.stop} around {self.run.arch.name} cannot be measured")

    @property
    def name(self) -> str:
        """`plain-56-plane-0-5`."""
        return f"{self.run.name}-{self.grid.kind}-{self.start}-{self.stop}"

    @property
    def measures(self) -> bool:
        return True

    @property
    def steps(self) -> int:
        return (self.stop - self.start) * self.grid.columns

    @property
    def images(self) -> int:
        return self.steps * self.grid.images // FORWARD_ONLY

    @property
    def summary(self) -> str:
        return f"{self.steps:,} points of {self.grid.images:,} images of {self.dataset}"

    @property
    def points(self) -> list[tuple[int, int]]:
        """Row and column of each point, in the order in which they are measured."""
        return [(row, column) for row in range(self.start, self.stop) for column in range(self.grid.columns)]

    def to_json(self) -> dict[str, Any]:
        rows = {"start": self.start, "stop": self.stop}
        return {
            "format": upgrades.FORMAT,
            "kind": SURFACE,
            "run": self.run.to_json(),
            "grid": {**vars(self.grid)},
            **rows,
        }


@dataclass(frozen=True)
class Responses(OfNet):
    """How strongly every layer of a trained net responds (Fig. 7)."""

    run: RunSpec
    train_images: int
    """Images of the training set that are shown besides the whole test set."""

    def __post_init__(self) -> None:
        if self.run.arch.family != "cifar" or self.train_images < 1:
            raise ValueError(f"responses of {self.run.arch.name} to {self.train_images} images cannot be measured")

    @property
    def name(self) -> str:
        """`plain-56-responses`."""
        return f"{self.run.name}-responses"

    @property
    def measures(self) -> bool:
        return True

    @property
    def steps(self) -> int:
        """Passes: over the images of either set, by either way of batch norm."""
        return 4

    @property
    def images(self) -> int:
        return self.steps * self.train_images // FORWARD_ONLY

    @property
    def summary(self) -> str:
        return f"{self.steps} passes over test images and {self.train_images:,} training images of {self.dataset}"

    def to_json(self) -> dict[str, Any]:
        return {
            "format": upgrades.FORMAT,
            "kind": RESPONSES,
            "run": self.run.to_json(),
            "train_images": self.train_images,
        }


@dataclass(frozen=True)
class GradientRun(OfNet):
    """A training during which the gradient of every layer is measured.

    Its net may be one that the paper only speaks of, without batch norm or badly initialised, so that these are no fields of
    `Arch` or `Recipe`: they would change the identity of every other run.
    """

    run: RunSpec
    """The training as it is with batch norm and He's weights, and nobody looking."""
    batch_norm: bool
    init_scale: float
    """Factor on the initial weights of the convolutions; 1 is He's initialisation."""
    probe_images: int
    """Training images whose gradient is measured, always the same and not augmented."""
    probe_at: tuple[int, ...]
    """Iterations done when it is measured."""

    def __post_init__(self) -> None:
        ordered = list(self.probe_at) == sorted({*self.probe_at}) and all(0 <= i <= self.steps for i in self.probe_at)
        if self.run.arch.family != "cifar" or not self.probe_at or not ordered or self.probe_images < 1:
            raise ValueError(f"gradients of {self.run.arch.name} cannot be measured at {self.probe_at}")

    @property
    def name(self) -> str:
        """`plain-56-bn`, `plain-56-no-bn-x0.5`: the net with what was changed of it."""
        scale = "" if self.init_scale == 1 else f"-x{self.init_scale:g}"
        return f"{self.run.name}-{'bn' if self.batch_norm else 'no-bn'}{scale}"

    @property
    def needs(self) -> tuple[RunSpec, ...]:
        return ()

    @property
    def steps(self) -> int:
        return self.run.steps

    @property
    def images(self) -> int:
        return self.run.images + len(self.probe_at) * self.probe_images

    @property
    def summary(self) -> str:
        return f"{self.run.summary}, looked at {len(self.probe_at)} times"

    def to_json(self) -> dict[str, Any]:
        probe = {"probe_images": self.probe_images, "probe_at": list(self.probe_at)}
        changed = {"batch_norm": self.batch_norm, "init_scale": self.init_scale}
        return {"format": upgrades.FORMAT, "kind": GRADIENTS, "run": self.run.to_json(), **changed, **probe}


def parts(run: RunSpec, grid: Grid, rows: int) -> tuple[SurfacePart, ...]:
    """The parts of a surface, of so many rows each."""
    starts = range(0, grid.rows, rows)
    return tuple(SurfacePart(run, grid, start, min(start + rows, grid.rows)) for start in starts)


@dataclass(frozen=True)
class ExtensionFile:
    """spec.json of each kind; `kind` says which one it is."""

    format: int
    kind: Literal["extension"]
    run: CifarFile
    arch: Arch
    recipe: CifarRecipe

    def spec(self) -> Extension:
        return Extension(self.run.spec(), self.arch, self.recipe)


@dataclass(frozen=True)
class SurfaceFile:
    format: int
    kind: Literal["surface"]
    run: CifarFile
    grid: Grid
    start: int
    stop: int

    def spec(self) -> SurfacePart:
        return SurfacePart(self.run.spec(), self.grid, self.start, self.stop)


@dataclass(frozen=True)
class ResponsesFile:
    format: int
    kind: Literal["responses"]
    run: CifarFile
    train_images: int

    def spec(self) -> Responses:
        return Responses(self.run.spec(), self.train_images)


@dataclass(frozen=True)
class GradientsFile:
    format: int
    kind: Literal["gradients"]
    run: CifarFile
    batch_norm: bool
    init_scale: float
    probe_images: int
    probe_at: tuple[int, ...]

    def spec(self) -> GradientRun:
        return GradientRun(self.run.spec(), self.batch_norm, self.init_scale, self.probe_images, self.probe_at)


Files: TypeAlias = ExtensionFile | SurfaceFile | ResponsesFile | GradientsFile
FILES: dict[str, type[Files]] = {
    EXTENSION: ExtensionFile, SURFACE: SurfaceFile, RESPONSES: ResponsesFile, GRADIENTS: GradientsFile
}  # fmt: skip


def from_json(data: Any) -> Spec:
    """The Spec whose `to_json` this is, of this format or an older one. Raises ValueError, naming field and value."""
    if not isinstance(data, dict):
        raise ValueError("no object")
    if "kind" not in data:
        return RunSpec.from_json(data)
    kind = FILES.get(data["kind"]) if isinstance(data["kind"], str) else None
    if kind is None:
        raise ValueError(f"kind is {data['kind']!r:.80}; expected {', '.join(FILES)} or none")
    run = data.get("run")
    return convert(kind, upgraded({**data, "run": upgraded(run) if isinstance(run, dict) else run})).spec()

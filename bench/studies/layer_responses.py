"""Fig. 7: the standard deviations of the layers' responses, of nets that the depth study trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.runs.derived import Responses
from bench.runs.spec import RunSpec, Spec
from bench.studies.seeds import Seeds
from models.arch import Arch

TITLE = "Standard deviations of layer responses (Fig. 7)"

ARCHS = (*(Arch("cifar", depth) for depth in (20, 56)), *(Arch("cifar", depth, "A") for depth in (20, 56, 110)))
"""In the order of the paper's legend."""
TRAIN_IMAGES = 10_000
"""Images of the training set that are shown besides the test set: as many as that has."""

CHOICES = {
    "data": {"test": "the test set", "train": f"the first {TRAIN_IMAGES:,} training images, not augmented"},
    "batch norm": {
        "eval": "the moving averages",
        "batch": "each batch's own statistics, of 128 images, as in training",
    },
    "reduction": {"tensor": "over all values of a layer", "channel": "over each channel, averaged over channels"},
}
"""What the paper leaves open, with the words for each choice; the first of each is ours."""


def responses(run: RunSpec) -> Responses:
    """What is measured of the net of a run."""
    return Responses(run, TRAIN_IMAGES)


def works(run: Callable[[Arch, int], RunSpec], seeds: Seeds, archs: Sequence[Arch] = ARCHS) -> tuple[Spec, ...]:
    """The trainings, which the depth study has too, and what is measured of their nets."""
    trained = [run(arch, seed) for arch in archs for seed in seeds.of(arch)]
    return (*trained, *map(responses, trained))


def published_id(arch: Arch) -> str:
    """Of the mean over layers, as it was read off the figure."""
    return f"Fig7/{arch.label}/mean_std_over_layers"

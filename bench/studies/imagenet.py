"""Tables 2, 3, 4 and 5 and Fig. 4: plain against residual, shortcuts A, B and C, and depth on ImageNet."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.runs.datasets import IMAGENET
from bench.runs.spec import ImageNetRecipe, RunSpec, Schedule
from bench.studies.seeds import ONE, Seeds
from models.arch import Arch

PLAIN_VS_RESIDUAL = (
    Arch("imagenet", 18),
    Arch("imagenet", 34),
    Arch("imagenet", 18, "A"),
    Arch("imagenet", 34, "A"),
)
SHORTCUTS = (
    Arch("imagenet", 34),
    *(Arch("imagenet", 34, option) for option in ("A", "B", "C")),
    *(Arch("imagenet", depth, "B") for depth in (50, 101, 152)),
)
MULTISCALE = (
    *(Arch("imagenet", 34, option) for option in ("B", "C")),
    *(Arch("imagenet", depth, "B") for depth in (50, 101, 152)),
)

PAPER = ImageNetRecipe()
SHORT = replace(
    PAPER,
    schedule="short",
    iterations=PAPER.iterations // 16,
    drops=tuple(drop // 16 for drop in PAPER.drops),
    evaluate_every=2_502,
)
SMOKE = replace(
    PAPER,
    schedule="smoke",
    iterations=20,
    batch=16,
    lr=0.02,
    drops=(12, 16),
    bn_group=8,
    bn_images=64,
    evaluate_every=10,
)
"""Minutes on a CPU with a handful of images: to see every part work, and no number of it means anything."""
SCHEDULES: dict[Schedule, ImageNetRecipe] = {"paper": PAPER, "short": SHORT, "smoke": SMOKE}


@dataclass(frozen=True)
class Study:
    """One table: its nets, the protocol under which the paper tested them, and the ids of its numbers."""

    name: str
    title: str
    heading: str
    archs: tuple[Arch, ...]
    protocol: str
    published: str
    """Prefix of the ids of the published numbers: `T3`."""
    top5: bool
    cited: tuple[str, ...] = ()
    """Rows that the paper cites from others; the harness does not re-run them."""

    def published_id(self, arch: Arch, quantity: str) -> str:
        """`T3/ResNet-34_B/top1_error`; the table's own way of naming a net."""
        label = arch.label
        if arch.residual and arch.depth == 34:
            label += "_(A)" if self.published == "T2" else f"_{arch.shortcut}"
        return f"{self.published}/{label}/{quantity}"


STUDIES = {
    study.name: study
    for study in (
        Study(
            "imagenet_plain_vs_residual",
            "Plain and residual, 18 and 34 (Table 2, Fig. 4)",
            "ImageNet: plain against residual",
            PLAIN_VS_RESIDUAL,
            "10-crop",
            "T2",
            top5=False,
        ),
        Study(
            "imagenet_shortcuts",
            "Shortcuts A, B and C, 34 to 152 layers (Table 3)",
            "ImageNet: shortcuts, and depth with bottlenecks",
            SHORTCUTS,
            "10-crop",
            "T3",
            top5=True,
            cited=("VGG-16", "GoogLeNet", "PReLU-net"),
        ),
        Study(
            "imagenet_multiscale",
            "Multi-scale testing and ensembles (Tables 4 and 5)",
            "ImageNet: multi-scale testing, and ensembles",
            MULTISCALE,
            "multi-scale",
            "T4",
            top5=True,
            cited=("VGG_(ILSVRC14)", "GoogLeNet_(ILSVRC14)", "VGG_(v5)", "PReLU-net", "BN-inception"),
        ),
    )
}


def recipe(schedule: Schedule, classes: int = IMAGENET.classes) -> ImageNetRecipe:
    """Section 3.4, the same for every net."""
    return replace(SCHEDULES[schedule], classes=classes)


def runs(
    study: Study, schedule: Schedule, seeds: Seeds = ONE, dataset: str = "imagenet", classes: int = IMAGENET.classes
) -> tuple[RunSpec, ...]:
    """Every run of a table. Runs that two tables share are the same runs."""
    return tuple(
        RunSpec(arch, recipe(schedule, classes), dataset, seed) for arch in study.archs for seed in seeds.of(arch)
    )


def deviations(spec: RunSpec) -> list[str]:
    """How a run differs from the paper; one sentence each."""
    r = spec.imagenet
    said = []
    if spec.dataset != "imagenet":
        said.append(f"The images are a folder of {r.classes} classes, not ImageNet: no number is the paper's.")
    if r.schedule != "paper":
        drops = " and ".join(f"{drop:,}" for drop in r.drops)
        said.append(
            f"Schedule `{r.schedule}`: {r.iterations:,} iterations of {r.batch} instead of 600,000 of 256, "
            f"learning rate {r.lr}, divided at {drops}."
        )
    if r.drop_on == "iterations":
        said.append(
            'The learning rate is divided at fixed iterations, where Fig. 4 shows it; the text says "when the error '
            'plateaus" (`drop_on`).'
        )
    if r.resize == "box":
        said.append("Only the crop's part of an image is resized, which moves pixels slightly (`resize=box`).")
    if r.precision != "fp32":
        said.append(f"Computed in {r.precision}; the paper's precision is single (`precision`).")
    return said


def choices(spec: RunSpec) -> list[str]:
    """What the paper leaves open, and what this run took; one sentence each."""
    r = spec.imagenet
    decay = (
        "all parameters, batch norm's included" if r.decay == "all" else "the weights of convolutions and classifier"
    )
    statistics = (
        f"a plain average over {r.bn_images:,} training images after training"
        if r.bn_statistics == "recomputed"
        else "moving averages"
    )
    return [
        f"Batch norm's statistics in training are of {r.bn_group or r.batch} images (`bn_group`).",
        f"Batch norm is tested with {statistics} (`bn_statistics={r.bn_statistics}`); points of a curve with moving averages.",
        f"Weight decay acts on {decay} (`decay={r.decay}`).",
        "The mean of each channel is subtracted, not of each pixel"
        + (", and the deviation divided by" if r.normalise == "imagenet" else "")
        + f" (`normalise={r.normalise}`).",
        f"He initialisation uses {r.init.replace('_', '-')}, for the classifier fan-in (`init={r.init}`).",
        f"Momentum has the form of {'Caffe' if r.momentum_form == 'caffe' else 'PyTorch'} "
        f"(`momentum_form={r.momentum_form}`).",
        "Max pooling pads by one, as PyTorch does; Caffe rounds up. Borders differ, sizes do not.",
    ]

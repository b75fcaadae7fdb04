"""Table 6, Fig. 6 and Fig. 1: depth on CIFAR-10, plain against residual."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.runs.spec import CifarRecipe, Dataset, RunSpec, Schedule, Selection
from bench.studies.seeds import ONE, Seeds
from models.arch import Arch

TITLE = "Error against depth (Table 6, Fig. 1, Fig. 6)"

PLAIN = tuple(Arch("cifar", depth) for depth in (20, 32, 44, 56, 110))
RESIDUAL = tuple(Arch("cifar", depth, "A") for depth in (20, 32, 44, 56, 110, 1202))
ARCHS = PLAIN + RESIDUAL

PAPER = CifarRecipe()
SHORT = replace(
    PAPER,
    schedule="short",
    iterations=PAPER.iterations // 16,
    drops=tuple(drop // 16 for drop in PAPER.drops),
    warmup_window=PAPER.warmup_window // 16,
    evaluate_every=391,  # an epoch: more points than every 500 would give
)
SMOKE = replace(
    PAPER,
    schedule="smoke",
    iterations=120,
    lr=0.01,  # the paper's rate for the warm-up of ResNet-110
    drops=(80, 100),
    warmup_window=6,
    bn_statistics="recomputed",  # a hundred iterations are few for moving averages
    evaluate_every=20,
)
"""On the digits, every residual net learns and plain nets of 56 and 110 layers do not, whatever the seed and the number of
threads. At rates of 0.05 and more it depends on both: residual nets can stall for good."""
SCHEDULES: dict[Schedule, CifarRecipe] = {"paper": PAPER, "short": SHORT, "smoke": SMOKE}

DEFAULT_DATASET: dict[Schedule, Dataset] = {"paper": "cifar10", "short": "cifar10", "smoke": "digits"}


def recipe(arch: Arch, schedule: Schedule, dataset: str = "cifar10", selection: Selection = "all") -> CifarRecipe:
    """The recipe of one net: section 4.2, with the warm-up for ResNet-110 and, by our choice, deeper ones."""
    base = replace(SCHEDULES[schedule], selection=selection)
    if arch.residual and arch.depth >= 110:
        base = replace(base, warmup_lr=base.lr / 10)
    if dataset == "digits":  # 8x8 images, and a mirrored digit is no digit
        base = replace(base, crop_padding=1, flip=False)
    return base


def runs(
    schedule: Schedule, seeds: Seeds = ONE, dataset: str | None = None, selection: Selection = "all"
) -> tuple[RunSpec, ...]:
    """Every run of the study, shallow nets first. The smoke schedule leaves out 1202 layers."""
    data = dataset or DEFAULT_DATASET[schedule]
    archs = [arch for arch in ARCHS if schedule != "smoke" or arch.depth < 1000]
    return tuple(
        RunSpec(arch, recipe(arch, schedule, data, selection), data, seed)
        for arch in sorted(archs, key=lambda arch: arch.depth)
        for seed in seeds.of(arch)
    )


@dataclass(frozen=True)
class Published:
    """Ids of the published numbers that answer one net: an error rate, and the spread or the second number with it."""

    error: str
    spread: str | None = None
    best_of_5: str | None = None


PUBLISHED: dict[str, Published] = {
    **{f"plain-{d}": Published(f"Fig6-left/plain-{d}/test_error_at_64k") for d in (20, 32, 44, 56)},
    "plain-110": Published("Fig6_caption/plain-110/error_bound"),
    **{f"resnet-{d}-A": Published(f"T6/ResNet-{d}/test_error") for d in (20, 32, 44, 56, 1202)},
    "resnet-110-A": Published(
        "T6/ResNet-110/test_error_mean", "T6/ResNet-110/test_error_std", "T6/ResNet-110/test_error_best_of_5"
    ),
}
"""Net -> the published numbers of its test error."""

CITED = ("Maxout", "NIN", "DSN", "FitNet-19", "Highway-19", "Highway-32")
"""Rows of Table 6 that the paper cites from others; the harness does not re-run them."""


def deviations(spec: RunSpec) -> list[str]:
    """How a run differs from the paper, and what it chose where the paper is silent; one sentence each."""
    r = spec.cifar
    said = []
    if spec.dataset != "cifar10":
        said.append("The images are scikit-learn's 8x8 handwritten digits, not CIFAR-10: no number is the paper's.")
    if r.schedule != "paper":
        said.append(
            f"Schedule `{r.schedule}`: {r.iterations:,} iterations instead of {PAPER.iterations:,}, "
            f"learning rate divided at {' and '.join(f'{d:,}' for d in r.drops)}."
        )
    if r.lr != PAPER.lr:
        said.append(f"The learning rate starts at {r.lr} instead of {PAPER.lr}, for plain and residual nets alike.")
    if r.bn_group is None:
        said.append("Batch norm sees the whole batch of 128; the paper's two GPUs saw 64 each (`bn_group`).")
    if r.warmup_lr is not None and spec.arch.depth > 110:
        said.append("Warmed up like ResNet-110; the paper does not say whether ResNet-1202 was.")
    if r.selection == "val45k":
        said.append("Trained on 45k images, with 5k held out; the natural reading of the paper is 50k (`selection`).")
    if r.precision != "fp32":
        said.append(f"Computed in {r.precision}; the paper's precision is single (`precision`).")
    if r.bn_statistics == "moving":
        said.append(
            "Batch norm is tested with moving averages, which lag behind the weights while the learning rate is high; the "
            "authors' ImageNet notes take a plain average after training (`bn_statistics`)."
        )
    return said


def choices(spec: RunSpec) -> list[str]:
    """What the paper leaves open, and what this run took; one sentence each."""
    r = spec.cifar
    images = "all 50k training images" if r.selection == "all" else "45k of the 50k training images"
    padding = {
        "mean": "after the mean is subtracted, so that the border is the mean",
        "black": "before the mean is subtracted, so that the border is black",
    }[r.padding_value]
    decay = (
        "all parameters, batch norm's included" if r.decay == "all" else "the weights of convolutions and classifier"
    )
    return [
        f"Trained on {images} (`selection={r.selection}`).",
        f"Weight decay acts on {decay} (`decay={r.decay}`).",
        f"Crops are padded {padding} (`padding_value={r.padding_value}`).",
        f"He initialisation uses {r.init.replace('_', '-')}, for the classifier fan-in (`init={r.init}`).",
        f"Momentum has the form of {'Caffe' if r.momentum_form == 'caffe' else 'PyTorch'} "
        f"(`momentum_form={r.momentum_form}`).",
        f"Images are normalised {r.normalise}, without division by a deviation (`normalise={r.normalise}`)."
        if r.normalise == "per-pixel"
        else f"Images are normalised {r.normalise} (`normalise={r.normalise}`).",
        *(
            ["Batch norm is tested with plain averages over training images (`bn_statistics=recomputed`)."]
            if r.bn_statistics == "recomputed"
            else []
        ),
        "Batches are always full: epochs follow one another without a gap, and 64,000 iterations are 163.84 epochs.",
    ]

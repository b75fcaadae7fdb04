"""The paper's sentences as data: every claim, its nets, and the published number that each quantity answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from bench.runs.spec import Schedule
from bench.studies import cifar_depth
from bench.studies.cifar_depth import PUBLISHED
from bench.studies.claim import (
    Claim,
    Comparison,
    Net,
    Quantity,
    Step,
    above,
    alike,
    below,
    harms_more,
    increasing,
    less,
    not_above,
)
from bench.studies.imagenet import STUDIES
from models.arch import Arch

PLAIN = {arch.depth: Net(arch) for arch in cifar_depth.PLAIN}
RESIDUAL = {arch.depth: Net(arch) for arch in cifar_depth.RESIDUAL}
COLD_110 = Net(Arch("cifar", 110, "A"), (("warmup_lr", "none"),), "without warm-up")
"""ResNet-110 at the rate of 0.1 from its first iteration."""
PLAIN_18, PLAIN_34 = (Net(Arch("imagenet", depth)) for depth in (18, 34))
RESIDUAL_18, RESIDUAL_34 = (Net(Arch("imagenet", depth, "A")) for depth in (18, 34))
THREE_TIMES = (("drops", "450000,900000"), ("iterations", "1800000"))
LONG_18, LONG_34 = (Net(Arch("imagenet", depth), THREE_TIMES, "three times as long") for depth in (18, 34))
OPTIONS = tuple(Net(Arch("imagenet", 34, option)) for option in ("A", "B", "C"))
DEEPER = tuple(Net(Arch("imagenet", depth, "B")) for depth in (34, 50, 101, 152))
VGG = tuple(Arch("vgg", depth) for depth in (16, 19))
RESNET_152 = Arch("imagenet", 152, "B")

BOTH: tuple[Quantity, ...] = ("train_error", "test_error")
ALIKE = 0.5
"""Points within which errors are called alike: three times the spread of seeds that the paper prints (0.16)."""
SMALL = 1.0
"""Points that a step between shortcut options stays under; the paper's own are 0.51 and 0.33."""


def same_cost(archs: Sequence[Arch]) -> tuple[Comparison, ...]:
    """Residual nets of option A have the parameters and multiply-adds of their plain nets."""
    return tuple(
        Comparison(quantity, arch, "=", Arch(arch.family, arch.depth))
        for arch in archs
        for quantity in ("parameters", "multiply_adds")
    )


COST = (
    Claim(
        "same-cost", "complexity", "section 3.3",
        "A shortcut without parameters is free: residual nets (A) cost what their plain nets cost.",
        same_cost([*(net.arch for depth, net in RESIDUAL.items() if depth <= 110), RESIDUAL_18.arch, RESIDUAL_34.arch]),
    ),
    Claim(
        "152-cheaper-than-vgg", "complexity", "section 4.1",
        "152 layers take fewer multiply-adds than VGG-16 and VGG-19.",
        tuple(Comparison("multiply_adds", RESNET_152, "<", vgg) for vgg in VGG),
    ),
    Claim(
        "110-thinner", "complexity", "section 4.2, Table 6",
        "ResNet-110 has fewer parameters than the FitNet and the Highway nets of Table 6.",
        tuple(
            Comparison("parameters", RESIDUAL[110].arch, "<", f"T6/{net}/params")
            for net in ("FitNet-19", "Highway-19", "Highway-32")
        ),
        remark="True of FitNet-19 and Highway-19; Highway-32, in the same table, has fewer.",
    ),
)  # fmt: skip

DEPTH = (
    Claim(
        "plain-test", "cifar_depth", "section 4.2, Fig. 6 left",
        "Plain nets err more on the test set the deeper they are, 20 to 56 layers.",
        increasing("test_error", *(PLAIN[d] for d in (20, 32, 44, 56))),
    ),
    Claim(
        "plain-training", "cifar_depth", "section 4.2, Fig. 6 left",
        "Plain nets err more in training too, so that it is not overfitting: 20, 44, 56 layers.",
        increasing("train_error", *(PLAIN[d] for d in (20, 44, 56))),
    ),
    Claim(
        "plain-32-training", "cifar_depth", "Fig. 6 left",
        "From 20 to 32 plain layers the training error hardly changes: the paper's own curves cross.",
        alike("train_error", PLAIN[32], PLAIN[20], ALIKE),
        remark="The text speaks of all plain nets. In its figure the training errors of plain-20 and plain-32 are 1.3 and "
        "1.5 in the mean over the last 14,000 iterations, and the other way round at the end.",
    ),
    Claim(
        "residual-gains", "cifar_depth", "section 4.2, Fig. 6 middle",
        "Residual nets err less on the test set the deeper they are, 20 to 110 layers.",
        increasing("test_error", *(RESIDUAL[d] for d in (110, 56, 44, 32, 20))),
    ),
    Claim(
        "residual-beats-plain", "cifar_depth", "section 4.2, Fig. 6",
        "At equal depth a residual net errs less on the test set than a plain one, 20 to 110 layers.",
        tuple(step for d, plain in PLAIN.items() for step in less("test_error", RESIDUAL[d], plain)),
    ),
    Claim(
        "plain-110-fails", "cifar_depth", "Fig. 6, caption",
        "110 plain layers do not train: their error stays above 60 %.",
        above("test_error", PLAIN[110], "Fig6_caption/plain-110/error_bound"),
    ),
    Claim(
        "110-starts-late", "cifar_depth", "section 4.2, footnote 5",
        "Without a warm-up ResNet-110 starts to learn epochs later.",
        (Step("epochs_to_start", ((1, COLD_110), (-1, RESIDUAL[110])), "above", 1.0),),
        remark="Started: a training error below 89 % over an epoch. Guessing is 90, give or take 0.13. Later: by more than "
        "one epoch, the distance of two evaluation points.",
    ),
    Claim(
        "110-ends-alike", "cifar_depth", "section 4.2, footnote 5",
        "With a warm-up and without, ResNet-110 ends with the same test error.",
        alike("test_error", COLD_110, RESIDUAL[110], ALIKE),
        remark=f"The same: within {ALIKE} points.",
    ),
    Claim(
        "1202-fits", "cifar_depth", "section 4.2, Fig. 6 right",
        "1202 layers learn the training set, to an error below 0.1 %.",
        below("train_error_full", RESIDUAL[1202], "sec4.2/ResNet-1202/train_error_bound"),
        remark="Over the whole training set, not augmented, by the last iterate.",
    ),
    Claim(
        "1202-overfits", "cifar_depth", "section 4.2, Table 6",
        "1202 layers err more on the test set than 110 layers do.",
        less("test_error", RESIDUAL[110], RESIDUAL[1202]),
    ),
    Claim(
        "short-plain", "cifar_depth", "Fig. 1, shortened",
        "56 plain layers err more than 20, in training as in test.",
        (*less("train_error", PLAIN[20], PLAIN[56]), *less("test_error", PLAIN[20], PLAIN[56])),
        only_at="short",
    ),
    Claim(
        "short-residual", "cifar_depth", "Fig. 6 middle, shortened",
        "56 residual layers err no more than 20, in training as in test.",
        tuple(
            step
            for quantity in BOTH
            for step in not_above(quantity, RESIDUAL[56], RESIDUAL[20], ALIKE)
        ),
        only_at="short",
        remark=f"No more: by less than {ALIKE} points.",
    ),
    Claim(
        "short-cure", "cifar_depth", "Fig. 6, shortened",
        "Going from 20 to 56 layers costs plain nets more than residual ones, in training as in test.",
        tuple(
            step
            for quantity in BOTH
            for step in harms_more(quantity, (PLAIN[20], PLAIN[56]), (RESIDUAL[20], RESIDUAL[56]))
        ),
        only_at="short",
    ),
)  # fmt: skip

IMAGENET = (
    Claim(
        "plain-34-worse", "imagenet_plain_vs_residual", "section 4.1, Table 2",
        "34 plain layers err more than 18 plain ones.",
        less("top1_10crop", PLAIN_18, PLAIN_34),
    ),
    Claim(
        "plain-34-training", "imagenet_plain_vs_residual", "section 4.1, Fig. 4 left",
        "34 plain layers err more than 18 in training too.",
        less("train_error", PLAIN_18, PLAIN_34),
    ),
    Claim(
        "plain-34-longer", "imagenet_plain_vs_residual", "section 4.1, footnote 3",
        "Three times the iterations do not cure 34 plain layers.",
        less("top1_10crop", LONG_18, LONG_34),
        only_at="paper",
    ),
    Claim(
        "resnet-34-over-18", "imagenet_plain_vs_residual", "section 4.1, Table 2",
        "34 residual layers err less than 18, by 2.8 points.",
        less("top1_10crop", RESIDUAL_34, RESIDUAL_18),
        size="sec4.1/ResNet-34_vs_ResNet-18/top1_gain",
    ),
    Claim(
        "resnet-34-over-plain", "imagenet_plain_vs_residual", "section 4.1, Table 2",
        "34 residual layers err less than 34 plain ones, by 3.5 points.",
        less("top1_10crop", RESIDUAL_34, PLAIN_34),
        size="sec4.1/ResNet-34_vs_plain-34/top1_gain",
    ),
    Claim(
        "18-alike", "imagenet_plain_vs_residual", "section 4.1, Table 2",
        "18 layers err about the same with shortcuts and without.",
        alike("top1_10crop", RESIDUAL_18, PLAIN_18, ALIKE),
        remark=f"The same: within {ALIKE} points.",
    ),
    Claim(
        "resnet-18-faster", "imagenet_plain_vs_residual", "section 4.1, Fig. 4",
        "18 layers converge faster with shortcuts than without.",
        less("epochs_to_55", RESIDUAL_18, PLAIN_18),
        remark="Faster: a validation error (1-crop) below 55 % at an earlier epoch; in the paper's curves 4 against 7.",
    ),
    Claim(
        "all-options", "imagenet_shortcuts", "section 4.1, Table 3",
        "34 layers with shortcuts of any kind, A, B or C, err less than plain ones.",
        tuple(step for net in OPTIONS for step in less("top1_10crop", net, PLAIN_34)),
    ),
    Claim(
        "a-b-c", "imagenet_shortcuts", "section 4.1, Table 3",
        "B errs a little less than A, and C than B.",
        increasing("top1_10crop", *reversed(OPTIONS)),
    ),
    Claim(
        "a-b-c-small", "imagenet_shortcuts", "section 4.1, Table 3",
        "The steps from A to B to C are small: projections are not what it takes.",
        tuple(
            Step("top1_10crop", ((1, worse), (-1, better)), "below", SMALL)
            for worse, better in pairwise(OPTIONS)
        ),
        remark=f"Small: under {SMALL:.0f} point each.",
    ),
    Claim(
        "deeper-is-better", "imagenet_shortcuts", "section 4.1, Table 3",
        "Residual nets err less the deeper they are: 34, 50, 101, 152 layers.",
        increasing("top1_10crop", *reversed(DEEPER)),
    ),
    Claim(
        "deeper-is-better-multiscale", "imagenet_multiscale", "section 4.1, Table 4",
        "Residual nets err less the deeper they are under multi-scale testing too.",
        increasing("top1_multiscale", *reversed(DEEPER)),
    ),
    Claim(
        "one-net-beats-ensembles", "imagenet_multiscale", "section 4.1, Tables 4 and 5",
        "One net of 152 layers has a lower top-5 error than any earlier ensemble.",
        below("top5_multiscale", DEEPER[-1], "T5/BN-inception/top5_error"),
        remark="The best of them has 4.82, on the test server; ours, as the paper's 4.49, is on validation images.",
    ),
)  # fmt: skip

VANISHED = -2.0
"""As a power of ten: what is left of a gradient, or of a signal, that has vanished from one end of a net to the other."""

INSIDE = (
    Claim(
        "training-misses-identities", "constructed_solution", "section 1",
        "Training does not find the solution that a plain net of 56 layers has by construction.",
        less("train_error_full", PLAIN[20], PLAIN[56]),
        remark="That solution is plain-20 with identities added, and has its error to rounding; both errors are over the whole "
        "training set, not augmented, by the last iterate.",
    ),
    Claim(
        "residual-finds-as-good", "constructed_solution", "sections 1 and 3.1",
        "With shortcuts 56 layers find a solution at least as good as the constructed one.",
        less("train_error_full", RESIDUAL[56], PLAIN[20]),
        remark="Of the same errors.",
    ),
    Claim(
        "responses-below-plain", "layer_responses", "section 4.2, Fig. 7",
        "At equal depth the layers of a residual net respond less than those of a plain one.",
        tuple(step for d in (20, 56) for step in less("layer_response", RESIDUAL[d], PLAIN[d])),
        remark="Response: the standard deviation of a 3x3 layer's output after batch norm, in the mean over layers.",
    ),
    Claim(
        "responses-fall", "layer_responses", "section 4.2, Fig. 7",
        "The deeper a residual net, the less its layers respond: 20, 56, 110 layers.",
        increasing("layer_response", *(RESIDUAL[d] for d in (110, 56, 20))),
    ),
    Claim(
        "gradients-healthy", "gradients", "section 4.1",
        "Gradients of plain nets with batch norm do not vanish, so that this is not why they degrade.",
        tuple(step for d in (20, 56) for step in above("gradient_ratio", PLAIN[d], VANISHED)),
        remark="Vanish: the norm of the loss's gradient at the first layer's weights is under a hundredth of that at the "
        "last 3x3 layer's, before the training or while it lasts. The paper says it of plain-34; the nets of CIFAR-10 are "
        "asked here.",
    ),
    Claim(
        "signals-healthy", "gradients", "section 4.1",
        "Signals of plain nets with batch norm keep a variance on their way forward.",
        tuple(step for d in (20, 56) for step in above("signal_ratio", PLAIN[d], VANISHED)),
        remark="Keep: the standard deviation of the last 3x3 layer's response is no less than a hundredth of the first "
        "one's, before the training and while it lasts.",
    ),
)  # fmt: skip

CLAIMS: tuple[Claim, ...] = (*COST, *DEPTH, *IMAGENET, *INSIDE)

RUNS_OF = {"constructed_solution": "cifar_depth", "layer_responses": "cifar_depth"}
"""Tables without runs of their own -> the table whose finished runs they look into."""


def of_table(table: str, schedule: Schedule) -> tuple[Claim, ...]:
    """The claims over runs of a table, as far as they are asked of a schedule."""
    found = (claim for claim in CLAIMS if claim.table == table and not claim.exact)
    return tuple(claim for claim in found if claim.only_at in (None, schedule))


_MULTISCALE, _SHORTCUTS, _TABLE_2 = (
    STUDIES[name] for name in ("imagenet_multiscale", "imagenet_shortcuts", "imagenet_plain_vs_residual")
)


def published_id(quantity: Quantity, net: Net) -> str | None:
    """The id of the paper's own number; None where it printed and drew none, or only of another recipe."""
    arch = net.arch
    if net.changes:
        return None
    if quantity == "test_error" and arch.name in PUBLISHED:
        return PUBLISHED[arch.name].error
    if quantity == "train_error" and arch.family == "cifar" and arch.depth <= 56:
        return f"Fig6-{'mid' if arch.residual else 'left'}/{arch.label}/train_error_at_64k"
    if quantity == "train_error_full" and arch.depth == 1202:
        return "sec4.2/ResNet-1202/train_error_bound"
    if quantity == "train_error" and arch.family == "imagenet":
        return f"Fig4/{arch.label}/train_error_at_55e4"
    if quantity == "layer_response":
        return f"Fig7/{arch.label}/mean_std_over_layers"
    if quantity in ("top1_10crop", "top5_10crop"):
        study = _TABLE_2 if arch in _TABLE_2.archs else _SHORTCUTS
        return study.published_id(arch, f"{quantity[:4]}_error")
    if quantity in ("top1_multiscale", "top5_multiscale"):
        return _MULTISCALE.published_id(arch, f"{quantity[:4]}_error")
    return None

"""Table 6, Fig. 6 and Fig. 1: depth on CIFAR-10, plain against residual."""

from __future__ import annotations

from dataclasses import replace

from bench.spec import Arch, Recipe

PLAIN = tuple(Arch("cifar", depth) for depth in (20, 32, 44, 56, 110))
RESIDUAL = tuple(Arch("cifar", depth, "A") for depth in (20, 32, 44, 56, 110, 1202))

PAPER = Recipe()


def recipe(arch: Arch, schedule: str, selection: str = "all") -> Recipe:
    """The recipe of one net: section 4.2, with the warm-up for ResNet-110 (and, by our choice, ResNet-1202)."""
    base = SCHEDULES[schedule]
    if arch.residual and arch.depth >= 110:
        base = replace(base, warmup_lr=base.lr / 10)
    return replace(base, selection=selection)  # type: ignore[arg-type]


SHORT = replace(
    PAPER,
    schedule="short",
    iterations=PAPER.iterations // 16,
    drops=tuple(drop // 16 for drop in PAPER.drops),
    warmup_window=PAPER.warmup_window // 16,
)
SMOKE = replace(
    PAPER,
    schedule="smoke",
    iterations=320,
    drops=(160, 240),
    warmup_window=6,
    crop_padding=1,
    flip=False,  # a mirrored digit is no digit
    evaluate_every=20,
)
SCHEDULES = {"paper": PAPER, "short": SHORT, "smoke": SMOKE}

"""Section 4.2: "a learning rate of 0.1, divide it by 10 at 32k and 48k iterations, terminate training at 64k".

Section 3.4, ImageNet: "divided by 10 when the error plateaus", which Fig. 4 shows at 150k and 300k iterations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.runs.spec import ImageNetRecipe, Recipe


def learning_rate(
    recipe: Recipe, iteration: int, warming_up: bool = False, drops: Sequence[int] | None = None
) -> float:
    """Learning rate of iteration `iteration`, counted from 0, divided at each of `drops` (default: the recipe's).

    The warm-up moves no drop (section 4.2).
    """
    if warming_up and recipe.warmup_lr is not None:
        return recipe.warmup_lr
    passed = sum(iteration >= drop for drop in (recipe.drops if drops is None else drops))
    return recipe.lr / recipe.lr_divisor**passed


def drops_so_far(recipe: Recipe, metrics: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """The iterations at which the rate is divided, as far as they are known from the evaluation points.

    On plateau: where the lowest test error since the last division is `plateau_points` points old, a gain being
    `plateau_gain` or more. A function of the points alone, so that a resumed run divides where the whole one does.
    """
    if not isinstance(recipe, ImageNetRecipe) or recipe.drop_on == "iterations":
        return recipe.drops
    drops: list[int] = []
    best, since = float("inf"), 0
    for point in metrics:
        if point["test_error"] <= best - recipe.plateau_gain:
            best, since = point["test_error"], 0
        else:
            since += 1
        if since == recipe.plateau_points:
            drops.append(point["iteration"])
            best, since = point["test_error"], 0
    return tuple(drops)

"""Section 4.2: "a learning rate of 0.1, divide it by 10 at 32k and 48k iterations, terminate training at 64k"."""

from __future__ import annotations

from bench.spec import Recipe


def learning_rate(recipe: Recipe, iteration: int, warming_up: bool = False) -> float:
    """Learning rate of iteration `iteration`, counted from 0. The warm-up moves no drop (section 4.2)."""
    if warming_up and recipe.warmup_lr is not None:
        return recipe.warmup_lr
    drops = sum(iteration >= drop for drop in recipe.drops)
    return recipe.lr / recipe.lr_divisor**drops

"""How often a run writes a checkpoint, which is what a kill may lose."""

from __future__ import annotations

CHECKPOINT_SECONDS = 60.0
"""From one checkpoint to the next, where writing takes next to nothing."""
SAVING_SHARE = 0.005
"""Of the time, that writing them may take."""
PATIENCE = 10
"""Times as long, at most, where a net is large or a disk slow."""


def seconds_between(cost: float) -> float:
    """Seconds from one checkpoint to the next where writing one takes `cost` seconds."""
    return min(max(CHECKPOINT_SECONDS, cost / SAVING_SHARE), PATIENCE * CHECKPOINT_SECONDS)

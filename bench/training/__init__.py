"""Data, augmentation, schedule, loop, checkpoint and evaluation of a run."""

"""Checks of a machine: what it has, whether that fits together, and each way to train, run for a few iterations."""

"""Runs as jobs: one, or several side by side, with heartbeats and progress."""

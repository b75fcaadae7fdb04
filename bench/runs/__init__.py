"""Runs: identity, folder, result, provenance."""

"""The pages of `--table imagenet_shortcuts`: Table 3."""

from __future__ import annotations

from bench.report.sections import imagenet
from bench.report.sections.imagenet import page, render_terminal
from bench.report.sections.runs import Found
from bench.studies.imagenet import STUDIES
from bench.studies.variant import ImageNetVariant

__all__ = ["page", "render_terminal", "variants"]


def variants(found: Found) -> list[ImageNetVariant]:
    """The pages for which something is finished, the paper's schedule first."""
    return imagenet.variants(STUDIES["imagenet_shortcuts"], found)

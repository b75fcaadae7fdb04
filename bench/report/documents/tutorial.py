"""What `report --table table6` prints of the committed runs, as a part of docs/tutorial.md."""

from __future__ import annotations

from pathlib import Path

from bench.report.render.markdown import fenced
from bench.report.sections.runs import Found
from bench.report.tables import cifar_depth
from bench.runs.finished import FinishedRun
from bench.studies.variant import PAPER


def render(finished: dict[str, FinishedRun]) -> str:
    """The table as a terminal shows it, in a block of code."""
    return fenced(cifar_depth.render_terminal(Found(finished, (Path(), Path())), PAPER))

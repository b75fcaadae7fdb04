"""Where the data of a run come from, how they are read, how its iterations are executed, and who else gets its curves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.runs.spec import Execution


@dataclass(frozen=True)
class Source:
    """What a person says of data and execution: no part of a run's identity."""

    folder: Path
    download: bool = False
    skip_broken: bool = False
    workers: int | None = None
    """Processes that load images for each process that trains; None: as many as it has cores."""
    execution: Execution = "auto"
    tensorboard: bool = False
    """Whether curves are written for TensorBoard too."""

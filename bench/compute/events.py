"""Curves of a run as TensorBoard events, written while it is trained: `results/<run_id>/tensorboard/`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from bench.runs.folder import RunFolder

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

TAGS = {"train/loss": "train_loss", "train/error": "train_error", "test/error": "test_error", "lr": "lr"}
"""Tag -> the value of an evaluation point. Errors are in percent; a step is an iteration."""


class Curves:
    """Writer of one attempt's events. Imports TensorBoard at the first evaluation point."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._writer: SummaryWriter | None = None

    def add(self) -> None:
        """Write the last evaluation point. The first time write all, in place of what earlier attempts wrote.

        So the curves are whole where an attempt was without them, or wrote points after its last checkpoint.
        """
        with contextlib.suppress(OSError):  # a full disk must not end a run by its curves
            points = self.folder.read_metrics()
            if self._writer is None:
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(str(self.folder.events), purge_step=0)
            else:
                points = points[-1:]
            for point in points:
                for tag, name in TAGS.items():
                    self._writer.add_scalar(tag, point[name], point["iteration"])
            self._writer.flush()

    def close(self) -> None:
        if self._writer:
            with contextlib.suppress(OSError):
                self._writer.close()

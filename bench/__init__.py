"""The harness: plan the runs of a table, send what is missing, compare what came out with the paper.

`bench.results("results")` gives finished runs as data frames of pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bench.exchange.frames import Results


def results(folder: Path | str = "results") -> Results:
    """The finished trainings of a results folder, or of `tables/measured`.

    `.runs` has a row for each training, indexed by its id; `.points` has a row for each evaluation point. Both are data
    frames of pandas, with errors in percent. A folder of a run that cannot be read is named on standard error and left
    out. Raises UserError where there is no such folder.
    """
    from bench.exchange import frames

    return frames.load(folder)

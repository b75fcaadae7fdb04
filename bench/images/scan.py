"""Whether every image of a data set can be decoded, before a run of a week meets the one that cannot."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from bench.errors import UserError
from bench.files import read_json, write_json
from bench.images.decode import BrokenImage, read
from bench.images.folder import ImageList
from bench.images.loader import in_workers

FORMAT = 1
AT_ONCE = 64
"""Images that a worker looks at between two words."""

Array = npt.NDArray[Any]


def preflight(
    images: ImageList, cache: Path, report: Callable[[int, int], None] | None = None, workers: int = 0
) -> Array:
    """The images that cannot be decoded: their indices, sorted, int64. Every one is decoded, in `workers` processes.

    Which files were whole, and their sizes and times of change, is kept in the folder `cache`: they are not decoded again.
    Broken ones are, and those that have changed. `report` gets how many of how many have been looked at. Raises
    UserError where `cache` cannot be written.
    """
    file = cache / f"decoded-{images.digest[:16]}.json"
    seen = _load(file, images)
    whole = seen.copy()
    broken: list[int] = []
    try:
        starts = range(0, len(images), AT_ONCE)
        for start, marks in zip(starts, in_workers(_Looks(images, seen), starts, workers), strict=True):
            whole[start : start + len(marks)] = marks
            broken += (start + np.flatnonzero(marks == 0)).tolist()
            if report:
                report(start + len(marks), len(images))
    finally:  # what has been looked at is kept, even if a person has had enough
        if not np.array_equal(seen, whole):
            _save(file, images, whole)
    return np.array(broken, np.int64)


def raise_or_skip(images: ImageList, broken: Array, skip: bool) -> tuple[ImageList, int]:
    """The images without the broken ones, and how many those are. Raises UserError if there are any and `skip` is false."""
    if len(broken) == 0:
        return images, 0
    if not skip or len(broken) == len(images):
        path = images.path(int(broken[0]))
        remedy = "replace them" if skip else "replace them, or give --skip-broken"
        raise UserError(
            f"{len(broken)} of {len(images)} images cannot be decoded, first {path} ({_why(path)}): {remedy}"
        )
    return images.only(np.setdiff1d(np.arange(len(images)), broken)), len(broken)


def _why(path: Path) -> str:
    try:
        read(path)
    except BrokenImage as error:
        return error.why
    return "it has changed meanwhile"


class _Looks(Dataset[Any]):
    """A stretch of images to their marks: of each file as it was when it was whole, 0 where it is broken."""

    def __init__(self, images: ImageList, seen: Array) -> None:
        self.images, self.seen = images, seen

    def __getitem__(self, start: int) -> Array:
        stop = min(start + AT_ONCE, len(self.images))
        return np.array([self._look(i) for i in range(start, stop)], np.uint64)

    def _look(self, i: int) -> int:
        path = self.images.path(i)
        try:
            now = _mark(path)
            if now != self.seen[i]:
                read(path)
        except (OSError, BrokenImage):
            return 0
        return now


def _mark(path: Path) -> int:
    """A number for the size and time of change of a file, never 0."""
    status = os.stat(path)
    return (status.st_mtime_ns * 1_000_003 + status.st_size) % 2**64 or 1


def _load(file: Path, images: ImageList) -> Array:
    """The marks of the files that were whole, 0 for the others: (N,) uint64."""
    nothing = np.zeros(len(images), np.uint64)
    try:
        data = read_json(file)
        marks = np.frombuffer(base64.b64decode(data["marks"]), "<u8").astype(np.uint64)
    except (UserError, KeyError, TypeError, ValueError):  # missing or damaged: it is made anew
        return nothing
    fits = (data.get("format"), data.get("digest"), len(marks)) == (FORMAT, images.digest, len(images))
    return marks if fits else nothing


def _save(file: Path, images: ImageList, marks: Array) -> None:
    text = base64.b64encode(marks.astype("<u8").tobytes()).decode()
    write_json(file, {"format": FORMAT, "digest": images.digest, "images": len(images), "marks": text})

"""The data sets: which are found, and whether they are whole."""

from __future__ import annotations

from collections.abc import Iterator

from bench.doctor.finding import Finding, Question
from bench.errors import UserError

SECTION = "data"


def check_data(question: Question) -> Iterator[Finding]:
    """Digits, CIFAR-10 by its checksums, ImageNet by its folders."""
    from bench.images import folder, memory
    from bench.runs.datasets import IMAGENET

    digits = memory.digits()
    found = f"{len(digits.train):,} and {len(digits.test):,} images, bundled with scikit-learn"
    yield Finding(SECTION, "digits", "ok", found, needed=True)
    data = question.source.folder
    where = data.parent if data.name == memory.CIFAR10_FOLDER else data
    if not (where / memory.CIFAR10_FOLDER).is_dir():
        remedy = "give --data DIR, or --download with the first run"
        yield Finding(SECTION, "CIFAR-10", "skip", f"not in {data}", remedy)
    else:
        try:
            memory.check_cifar10(data)
            yield Finding(SECTION, "CIFAR-10", "ok", f"{data}: every file has its checksum")
        except UserError as error:
            said, _, remedy = str(error).rpartition(": ")
            yield Finding(SECTION, "CIFAR-10", "fail", said, remedy)
    try:
        folder.look_for(data, IMAGENET.classes)
        yield Finding(SECTION, "ImageNet", "ok", f"{data}: train and val with {IMAGENET.classes:,} classes")
    except UserError:
        yield Finding(SECTION, "ImageNet", "skip", f"not in {data}", "give --data DIR for ImageNet tables")

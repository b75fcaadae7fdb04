"""--check: what is committed is what tables/measured gives, to the byte, and tables/measured holds nothing but whole runs."""

from __future__ import annotations

import io
import re
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from bench.command import documents, pages, report
from bench.command import tables as register
from bench.command.options import Options
from bench.exchange import validate
from bench.exchange.validate import Unsound
from bench.runs.folder import RunFolder

UNCOMMITTED = ("*.smoke*", "report.html")
"""What .gitignore names, and the check passes over."""
OF_PEOPLE = ("measured", "published")
"""What is in tables/ and no program renders."""
SVG_ID = re.compile(r"\b[a-z][0-9a-f]{10}\b")
"""An id that matplotlib makes."""
SHOWN = 120
"""Characters of a line that are shown where it differs."""


def check(options: Options) -> int:
    """Print a line for each fault of these tables. Returns the exit status: 0, or 1 where there are some."""
    if lines := list(measured(pages.MEASURED)):
        return _say("tables/measured is not what --publish has put there", lines)  # nothing can be rendered from it
    lines = [*_counts()] if "complexity" in options.table else []
    with tempfile.TemporaryDirectory() as scratch:
        expected = Path(scratch)
        written = [path.relative_to(expected) for path in report.write(options.table, pages.MEASURED, expected)]
        for path in sorted(written):
            lines += differences(expected / path, options.tables / path)
        lines += _strays(options.tables, {str(path) for path in written}, options.table)
    if "cifar_depth" in options.table:
        for document, text in documents.render(pages.MEASURED).items():
            there = document.is_file()
            lines += (
                _text_differs(document, text, document.read_text(encoding="utf-8"))
                if there
                else [f"{document}: missing"]
            )
    return _say("what is committed is not what tables/measured gives", lines)


def _say(heading: str, lines: Collection[str]) -> int:
    if lines:
        print("\n".join([f"{heading}:", *(f"  {line}" for line in lines)]), file=sys.stderr)
    return 1 if lines else 0


def differences(expected: Path, found: Path) -> list[str]:
    """A line where a file is missing or is not as expected: text to the byte, pictures to the pixel."""
    if not found.is_file():
        return [f"{found}: missing"]
    want, have = expected.read_bytes(), found.read_bytes()
    if want == have:
        return []
    if found.suffix == ".png":  # compressed alike only by the same zlib, and the pixels are what a reader sees
        return _pixels_differ(found, want, have)
    try:
        texts = want.decode(), have.decode()
        if found.suffix == ".svg" and _numbered(texts[0]) == _numbered(texts[1]):
            return []
        return _text_differs(found, *texts)
    except UnicodeDecodeError:
        return [f"{found}: other bytes than expected"]


def _numbered(svg: str) -> str:
    """A picture whose ids are numbers in the order in which they appear.

    matplotlib makes ids of places that are not rounded, so that the last bit of a processor is in a name, and in no line.
    """
    seen: dict[str, int] = {}
    return SVG_ID.sub(lambda match: f"#{seen.setdefault(match[0], len(seen))}", svg)


def _text_differs(path: Path, want: str, have: str) -> list[str]:
    if want == have:
        return []
    pairs = zip([*want.splitlines(True), ""], [*have.splitlines(True), ""], strict=False)
    number, (one, other) = next((i, pair) for i, pair in enumerate(pairs, start=1) if pair[0] != pair[1])
    column = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, column - SHOWN // 2) if max(len(one), len(other)) > SHOWN else 0
    shown = [text[start : start + SHOWN] for text in (one.rstrip("\n"), other.rstrip("\n"))]
    if shown[0] == shown[1]:
        shown = [one, other]  # they differ in how the line ends
    return [f"{path}:{number}: expected {shown[0]!r}, found {shown[1]!r}"]


def _pixels_differ(path: Path, want: bytes, have: bytes) -> list[str]:
    import numpy as np
    from PIL import Image

    try:
        one, other = (np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")) for data in (want, have))
    except OSError as error:
        return [f"{path}: no picture ({error})"]
    if one.shape != other.shape:
        return [f"{path}: expected {one.shape[1]}x{one.shape[0]} pixels, found {other.shape[1]}x{other.shape[0]}"]
    count = int((one != other).any(axis=2).sum())
    return [f"{path}: {count:,} of {one.shape[0] * one.shape[1]:,} pixels are others"] if count else []


def _strays(tables: Path, written: Collection[str], names: Collection[str]) -> list[str]:
    """Files among the tables that nothing writes: those of the tables asked for, and everybody's when all are asked for."""
    lines = []
    for path in sorted(tables.rglob("*")):
        name = path.relative_to(tables)
        if path.is_dir() or name.parts[0] in OF_PEOPLE or any(map(path.match, UNCOMMITTED)) or str(name) in written:
            continue
        if path.name.split(".")[0] in names or set(names) >= register.TABLES.keys():
            lines.append(f"{path}: no results in tables/measured give this page")
    return lines


def _counts() -> Iterator[str]:
    """What the regression check has to say of parameters and multiply-adds, counted again."""
    from bench.measure.counts.fvcore_count import measure
    from bench.report.tables import complexity
    from bench.studies.complexity import ARCHS

    counts = {arch.name: measure(arch) for arch in ARCHS}
    yield from complexity.regressions(counts, complexity.load(pages.MEASURED / "complexity.json"))


def measured(folder: Path) -> Iterator[str]:
    """A line for each file that --publish would not have put there: all is read as strictly as what is imported."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name == "weights":
            for weights in sorted(path.iterdir()):
                yield from _folder(weights, (validate.EVALUATION,))
        elif path.is_dir():
            yield from _folder(path, [name for name in validate.FILES if name != validate.CHECKPOINT])
        elif path.suffix != ".json" or path.name.split(".")[0] not in register.TABLES:
            yield f"{path}: of no table"


def _folder(path: Path, allowed: Collection[str]) -> Iterator[str]:
    """A line for each fault of the folder of a run, or of an evaluation."""
    if not path.is_dir():
        yield f"{path}: of no run"
        return
    for file in sorted(path.iterdir()):
        if file.name not in allowed:
            yield f"{file}: no part of what is published of a run"
    try:
        if path.parent.name == "weights":
            validate.evaluation(path / validate.EVALUATION)
        elif not register.shown_by(validate.read(RunFolder(path.parent, path.name)).spec):
            yield f"{path}: no table shows this run"
    except Unsound as error:
        yield f"{path}: {error}"

"""The page of `--table loading`: how many images one core makes ready for an ImageNet net, as `make benchmarks` measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench.files import read_as, write_json
from bench.report.page import Cell, Page, Table, Value, behind, cells
from bench.report.render import markdown, terminal
from bench.report.sections import manifest
from bench.report.sections.runs import Found

FORMAT = 1


@dataclass(frozen=True)
class Way:
    """One way from files to a batch."""

    name: str
    seconds: tuple[float, ...]
    """Of each round over all images."""
    images: int

    @property
    def rate(self) -> float:
        """Images per second of one core."""
        return self.images / median(self.seconds)


@dataclass(frozen=True)
class Loading:
    """What was measured, and where."""

    machine: str
    versions: str
    commit: str
    mean_difference: float
    """Of box from whole crops, in grey levels, over all pixels of the sample."""
    largest_difference: float
    ways: tuple[Way, ...]


WORDS = {
    "ours[box]": "ours, `resize=box`: only what the crop shows is resized",
    "ours[whole]": "ours, `resize=whole`: the paper's words to the letter",
    "usual": "the usual way: the paper's crop, image by image",
    "reference": "torchvision's reference: RandomResizedCrop, image by image",
}
HEADERS = ["way", "images/s of one core", "over the usual way", "over torchvision's reference", "rounds"]


def save(path: Path, loading: Loading) -> None:
    write_json(path, {"format": FORMAT, **asdict(loading)})


def load(path: Path) -> Loading:
    """The committed figures. Raises UserError where the file is missing, damaged or of another version."""
    return read_as(Loading, path, FORMAT, "measure again with `make benchmarks`")


def table(loading: Loading) -> Table:
    return Table(HEADERS, [_cells(loading, way) for way in loading.ways], (1, 2, 3, 4))


def _cells(loading: Loading, way: Way) -> tuple[Cell, ...]:
    rates = {way.name: way.rate for way in loading.ways}
    found = cells(
        WORDS[way.name],
        f"{way.rate:.0f}",
        f"{way.rate / rates['usual']:.2f}",
        f"{way.rate / rates['reference']:.2f}",
        str(len(way.seconds)),
    )
    rounds = f"seconds of each round over {way.images} images: " + ", ".join(
        f"{seconds:.3f}" for seconds in way.seconds
    )
    return behind(found, manifest.of_benchmark(WORDS[way.name], rounds, _where(loading)), range(1, 5))


def _where(loading: Loading) -> str:
    return f"{loading.machine}, {loading.versions}; commit {loading.commit}"


def render_terminal(found: Found) -> str:
    """The columns that fit a terminal."""
    return terminal.render(table(load(found.measured / "loading.json")))


def render(loading: Loading) -> str:
    """The page in Markdown."""
    return markdown.render(page(loading))


def page(loading: Loading) -> Page:
    images = loading.ways[0].images
    return Page(
        "loading",
        "Loading images",
        [
            f"From {images} genuine ImageNet files to normalised batches on one core, colour noise included in ours; medians "
            "of rounds, all ways in one run on the same images. The aim is 2 times the usual way and 1.5 times the reference.",
            table(loading),
            "Decoding alone takes most of it, and every way decodes with libjpeg-turbo. Ours stays in uint8 until the whole "
            "batch is normalised at once.",
            f"`box` crops differ from `whole` ones by {loading.mean_difference:.3f} grey levels in the mean over all pixels, "
            f"and by {loading.largest_difference:.0f} at most.",
            f"Measured on {_where(loading)}.",
        ],
        [
            Value(way.name, "image loading", "images/s", measured=way.rate, source=loading.machine)
            for way in loading.ways
        ],
    )


def pages(found: Found) -> Iterator[Page]:
    """The page of what is committed; none where nothing is."""
    if (path := found.measured / "loading.json").exists():
        yield page(load(path))

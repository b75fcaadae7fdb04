"""export --csv, --latex, --points and --figures: results for other programs, from --results and tables/measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.command import pages, plan
from bench.command import tables as register
from bench.errors import UserError
from bench.files import check_file, check_folder, write_bytes
from bench.runs.finished import without_damaged

if TYPE_CHECKING:
    from bench.command.options import Options
    from bench.report.page import Page


def export(options: Options) -> int:
    """Write the files that are asked for. Returns 0; raises UserError, with nothing written, before a file is made."""
    asked = [(f"--{name}", path, make) for name, make in FORMATS.items() if (path := getattr(options.moving, name))]
    for option, path, _ in asked:
        check_file(path, option, exists=False)
        if path.exists() and not options.force:
            raise UserError(f"{option} {path} is there already: give another name, or --force to replace it")
    figures = options.moving.figures
    if figures:
        check_folder(figures, "--figures")
    made = [(path, without_damaged(partial(make, options, path))) for _, path, make in asked]
    for path, data in made:
        write_bytes(path, data)
        print(f"wrote {path}")
    if figures:
        _write_figures(options, figures)
    return 0


def _pages(options: Options) -> list[Page]:
    """Every page of the tables asked for, or of all."""
    return register.pages(options.table or register.TABLES, plan.found(options.results, pages.MEASURED))


def _csv(options: Options, path: Path) -> bytes:
    from bench.report.render import csv

    return csv.render(_pages(options)).encode()


def _latex(options: Options, path: Path) -> bytes:
    from bench.report.render import latex

    if text := latex.render(_pages(options)):
        return text.encode()
    raise UserError(f"--latex {path}: these tables have no published numbers: choose others, such as cifar_depth")


def _points(options: Options, path: Path) -> bytes:
    from bench.exchange import frames

    runs = frames.trainings(pages.MEASURED) | frames.trainings(options.results)
    shown = [register.TABLES[name].shows for name in options.table]
    found = [run for run in runs.values() if not shown or any(shows(run.spec) for shows in shown)]
    if not found:
        raise UserError(f"--points {path}: none of these runs is finished: run them first, or choose other tables")
    return frames.points_as(frames.of_runs(found).points, path.suffix[1:])


FORMATS: dict[str, Callable[[Options, Path], bytes]] = {"csv": _csv, "latex": _latex, "points": _points}
"""Option -> what makes its file."""


def _write_figures(options: Options, folder: Path) -> None:
    """Every figure as PDF, none of which is there yet unless --force is given."""
    figures = [part for page in _pages(options) for part in page.figures]
    there = [path for each in figures if (path := folder / f"{each.name}.pdf").exists()]
    if there and not options.force:
        raise UserError(f"--figures {folder}: {there[0].name} is there already: give another folder, or --force")
    for path, data in _drawn(options, folder):
        write_bytes(path, data)
    print(f"wrote {len(figures)} figures into {folder}")


def _drawn(options: Options, folder: Path) -> Iterator[tuple[Path, bytes]]:
    from bench.report.figures import drawing

    for page in _pages(options):
        for part in page.figures:
            yield from drawing.save(part.draw(), folder / part.name, ("pdf",), pages.source(page)).items()

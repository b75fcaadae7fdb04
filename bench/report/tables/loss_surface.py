"""The page of `--table loss_surface`: the loss around trained nets, with and without shortcuts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bench.files import read_json
from bench.measure.probes import surface_record
from bench.measure.probes.surface_record import NOTHING_LEFT, RAYS, Surface
from bench.report.figures import surfaces as pictures
from bench.report.page import Cell, Figure, Manifest, Page, Picture, Section, Table, Value, behind, cells, grid
from bench.report.render import terminal
from bench.report.render.markdown import thousands
from bench.report.sections import manifest, values
from bench.report.sections.runs import Found, mean_and_spread, provenance, sentences
from bench.report.sections.titles import SEEDS, measured, titled
from bench.runs.finished import FinishedRun
from bench.runs.spec import RunSpec
from bench.studies import loss_surface as study
from bench.studies.cifar_depth import choices, deviations
from bench.studies.variant import PAPER, Variant, ordered
from models.arch import Arch

TABLE = "loss_surface"


@dataclass(frozen=True)
class Row:
    """A net with the surfaces around its runs, seeds in order."""

    arch: Arch
    runs: tuple[FinishedRun, ...]
    """Those around which some part is measured: what no one asked for is not missing."""
    lines: tuple[Surface, ...]
    planes: tuple[Surface, ...]
    diverged: bool = False
    """Whether there are runs, and none can be measured around."""

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        return self.lines + self.planes


def rows(found: Found, variant: Variant) -> list[Row]:
    """A row for each net of the table, and for each other of which a surface is measured."""
    others = {run.spec.arch for run in found.runs.values() if run.spec.arch.family == "cifar"} - {*study.ARCHS}
    of_others = [_row(found, variant, arch) for arch in sorted(others, key=lambda arch: (arch.residual, arch.depth))]
    return [*(_row(found, variant, arch) for arch in study.ARCHS), *(row for row in of_others if row.runs)]


def _row(found: Found, variant: Variant, arch: Arch) -> Row:
    runs = found.of(variant.spec(arch, 0))
    of_kind: dict[str, list[Surface]] = {"lines": [], "plane": []}
    begun = [run for run in runs if _begun(found, run.spec)]
    for run in begun:
        for kind, members in of_kind.items():
            mine = tuple(part for part in study.surface(run.spec) if part.grid.kind == kind)
            if (surface := surface_record.load(mine, *found.folders)) is not None:
                members.append(surface)
    diverged = bool(runs) and all(run.result.status == "diverged" for run in runs)
    return Row(arch, tuple(begun), tuple(of_kind["lines"]), tuple(of_kind["plane"]), diverged)


def _begun(found: Found, run: RunSpec) -> bool:
    return run in found.with_surfaces and any(found.find(part) for part in study.surface(run))


def variants(found: Found) -> list[Variant]:
    """The pages for which some of a surface is measured."""
    cifar = [run.spec for run in found.runs.values() if run.spec.arch.family == "cifar"]
    return ordered({PAPER, *(Variant.of(spec) for spec in cifar if _begun(found, spec))})


Number = Callable[[Surface], float | None]


def _radius(level: Callable[[float], float]) -> Number:
    return lambda surface: surface_record.radius(surface, level)


HEADERS = [
    "net", "loss", "error, %", "lines: loss doubles at", "plane: loss doubles at", "lines: one nat more at",
    "plane: one nat more at", "lines: roughness, %", "plane: roughness, %", "seeds", "points",
]  # fmt: skip
NUMERIC = range(1, 11)
NARROW = (0, 1, 3, 5, 7, 10)
FIRST = (0, 1, 2, 3, 4, 7, 8, 9)


def _cells(row: Row, variant: Variant) -> tuple[Cell, ...]:
    lines, planes = row.lines, row.planes
    if not row.surfaces:
        word = "diverged" if row.diverged else "missing"
        return cells(row.arch.title, Cell(word, word, manifest=_manifest(row, variant)), *[""] * 8, _points(row))
    found = cells(
        row.arch.title,
        mean_and_spread([surface.loss for surface in lines or planes], 3),
        mean_and_spread([surface.error for surface in lines or planes]),
        _number(lines, _radius(surface_record.doubled)),
        _number(planes, _radius(surface_record.doubled)),
        _number(lines, _radius(surface_record.one_more)),
        _number(planes, _radius(surface_record.one_more)),
        _number(lines, surface_record.roughness),
        _number(planes, surface_record.roughness),
        str(max(len(lines), len(planes))),
        _points(row),
    )
    return behind(found, _manifest(row, variant), NUMERIC)


def _points(row: Row) -> str:
    """`880 of 880`: measured, and asked for."""
    wanted = [part for run in row.runs for part in study.surface(run.spec)]
    if not wanted:
        return ""
    done = sum(surface.part.grid.rows * surface.part.grid.columns for surface in row.surfaces)
    return f"{thousands(done)} of {thousands(sum(part.steps for part in wanted))}"


def _number(surfaces: Sequence[Surface], of: Number) -> str:
    """The mean over the seeds, or that the grid ends before."""
    values = [value for surface in surfaces if (value := of(surface)) is not None]
    if any(map(math.isinf, values)):
        return f"> {surfaces[0].part.grid.reach:g}"
    return mean_and_spread(values)


def _manifest(row: Row, variant: Variant) -> Manifest:
    """What stands behind a row: the parts of its surfaces. What was trained is told with the runs."""
    title, again = f"The loss around {row.arch.title}", f"{variant.command(TABLE)} --only {row.arch.name}"
    if not row.surfaces:
        return manifest.of_nothing(title, again, None)
    seeds = 1 + max(run.spec.seed for run in row.runs)
    return Manifest(title, lambda: [manifest.anew(f"{again} --seeds {seeds}"), _parts([row])])


def table(all_rows: Sequence[Row], variant: Variant) -> Table:
    command = "" if all(row.lines and row.planes for row in all_rows) else variant.command(TABLE)
    return Table(HEADERS, [_cells(row, variant) for row in all_rows], NUMERIC, NARROW, FIRST, command=command)


def render_terminal(found: Found, variant: Variant) -> str:
    """The columns that fit a terminal."""
    variant = found.in_one_precision(variant, study.ARCHS, lambda spec: _begun(found, spec))
    return terminal.render(table(rows(found, variant), variant))


def page(found: Found, variant: Variant) -> Page:
    """The page of what is measured around the nets of these runs."""
    variant = found.in_one_precision(variant, study.ARCHS, lambda spec: _begun(found, spec))
    all_rows = rows(found, variant)
    members = [run for row in all_rows if row.surfaces for run in row.runs]
    return Page(
        variant.page(TABLE),
        titled("The loss around trained nets", variant),
        [
            "The paper argues that plain nets of great depth have solutions which solvers do not find, and that shortcuts make "
            "them easier to find. Li et al. (2018, arXiv 1712.09913) drew what a solver sees: the loss along random directions "
            "from the weights of a trained net, each filter scaled to the norm of the net's own. The paper prints no such "
            "number.",
            table(all_rows, variant),
            *_figures(variant, all_rows),
            _seen(all_rows),
            _definitions(variant),
            *sentences(members, deviations, choices),
            *provenance(members),
            *([Section("Surfaces", [_parts(all_rows)])] if members else []),
        ],
        [value for row in all_rows for value in _values(row, variant)],
    )


def _values(row: Row, variant: Variant) -> list[Value]:
    """What is read off the surfaces around a net: of lines and of planes; a radius beyond the grid is infinite."""
    measures: tuple[tuple[str, str, Number], ...] = (
        ("loss", "nats", lambda surface: surface.loss),
        ("test error", "%", lambda surface: surface.error),
        ("distance at which the loss doubles", "norms of the filters", _radius(surface_record.doubled)),
        ("distance at which the loss is one nat more", "norms of the filters", _radius(surface_record.one_more)),
        ("roughness", "%", surface_record.roughness),
    )
    found = []
    for kind, surfaces in (("lines", row.lines), ("plane", row.planes)):
        for quantity, unit, of in measures:
            known = [float(number) for surface in surfaces if (number := of(surface)) is not None]
            value = Value(row.arch.title, quantity, unit, kind, **values.setting(variant))
            if any(map(math.isinf, known)):
                found.append(replace(value, seeds=len(known), measured=math.inf))
            else:
                found.append(values.of_seeds(value, known))
    return found


def _figures(variant: Variant, all_rows: Sequence[Row]) -> list[Figure | Picture]:
    """Of the first seed of each net."""
    name, said = variant.page(TABLE), variant.heading
    along, planes = ([found[0] for row in all_rows if (found := of(row))] for of in (_lines, _planes))
    drawn: list[Figure | Picture] = []
    if along:
        drawn += [
            Figure(
                f"{name}.lines",
                "Loss along random lines",
                "The loss along random directions from the trained net, which is at 0; every direction of one seed, the same "
                "axes for plain and residual nets. The dotted line is what guessing costs. Above 10 nats nothing of the net is "
                "left, and the axis ends.",
                lambda: replace(pictures.losses(along), heading=said),
            ),
            Figure(
                f"{name}.errors",
                "Error along random lines",
                "The error along the same directions.",
                lambda: replace(pictures.errors(along), heading=said),
            ),
        ]
    if planes:
        drawn += [
            Picture(
                f"{name}.contours",
                "Contours of the loss",
                "The loss over the plane of two random directions, the same levels and axes for every net; the cross is the "
                "trained net, the dashed line where its loss has risen by one nat.",
                lambda: pictures.contours(planes, said),
            ),
            Picture(
                f"{name}.surface",
                "The loss as a surface",
                "The same as surfaces, all on one scale, seen from the same side.",
                lambda: pictures.surfaces(planes, said),
            ),
        ]
    return drawn


def _lines(row: Row) -> tuple[Surface, ...]:
    return row.lines


def _planes(row: Row) -> tuple[Surface, ...]:
    return row.planes


def _seen(all_rows: Sequence[Row]) -> str:
    """What shortcuts change, in a sentence for each depth of which both nets are measured."""
    said = []
    for plain in all_rows:
        for other in all_rows:
            if plain.arch.residual or not other.arch.residual or plain.arch.depth != other.arch.depth:
                continue
            pairs = zip((plain, other), (one_more(plain), one_more(other)), strict=True)
            far = [f"{row.arch.title} {'beyond the grid' if math.isinf(r) else f'{r:.2f}'}" for row, r in pairs if r]
            if len(far) == 2:
                said.append(" and ".join(far))
    if not said:
        return ""
    return (
        "Along random lines the loss is one nat higher, in the mean over the seeds shown, at: " + "; ".join(said) + "."
    )


def one_more(row: Row) -> float | None:
    """How far one can go along random lines before the loss is one nat higher: the mean over seeds of each one's median."""
    found = [surface_record.radius(surface, surface_record.one_more) for surface in row.lines]
    return fmean(found) if found else None


def _definitions(variant: Variant) -> Section:
    lines, plane = study.GRIDS[variant.schedule]
    return measured(
        f"*Loss*, in nats, and *error*: mean cross-entropy and top-1 error over the first {lines.images:,} training images, "
        "not augmented, in evaluation mode. The columns are those of the net itself.",
        f"*Lines*: {lines.rows} random directions, {lines.columns} points on each; *plane*: that of the first two, "
        f"{plane.rows} by {plane.columns} points; both from -{lines.reach:g} to {lines.reach:g}, where each filter has been "
        "moved by its own norm.",
        "*Directions* are Gaussian; each filter, and each logit's weights, get the norm of the net's own (`scaling="
        f"{lines.scaling}`). Biases and batch norm are not moved, and batch norm keeps the averages that the net was trained "
        f"to (`statistics={lines.statistics}`), as Li et al. have it. The draws (`seed={lines.seed}`) are the same for a plain "
        "net and the residual net of its depth.",
        "*Loss doubles at*: how far one can go before the loss has doubled, the median over all ways out: both ways along each "
        f"line, {RAYS} rays of the plane. It is relative to what the net has reached: a net that has learnt nothing is "
        "flat by this measure, so that nets of very different loss must not be compared by it.",
        "*One nat more at*: the same until the loss is one nat higher, which compares nets of different loss.",
        "*Roughness*: of all ups and downs of the logarithm of the loss between neighbouring points, going outwards, the share "
        f"of the downs. 0 is a bowl; 50 is as much down as up. Losses count up to {NOTHING_LEFT:g} nats. It depends on "
        "how fine the grid is, and compares nets on the same grid.",
        f"{SEEDS}; a seed trains anew, and keeps the directions.",
    )


def _parts(all_rows: Sequence[Row]) -> Table:
    """Where the points come from."""
    lines = []
    for row in all_rows:
        for surface in row.surfaces:
            facts = [read_json(folder.provenance) for folder in surface.folders]
            results = [folder.read_measured() for folder in surface.folders]
            where = surface.part.grid
            lines.append(
                [
                    f"`{surface.part.run.run_id}`",
                    f"{where.kind}, {where.rows} by {where.columns}",
                    str(len(results)),
                    results[0].weights,
                    "; ".join(dict.fromkeys(fact["device"]["name"] for fact in facts)),
                    f"{sum(result.wall_seconds for result in results) / 3600:.2f}",
                    str(sum(fact["restarts"] for fact in facts)),
                    "; ".join(dict.fromkeys((fact["code"]["commit"] or "unknown")[:10] for fact in facts)),
                ]
            )
    return grid(lines, ["around", "grid", "parts", "weights", "device", "hours", "restarts", "commit"], (2, 5, 6))

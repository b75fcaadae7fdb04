"""Which runs a command line asks for, and how each of them stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from bench.command import names
from bench.compute import heartbeat
from bench.errors import UserError
from bench.runs import overrides
from bench.runs.derived import Extension
from bench.runs.finished import FinishedRun, finished_runs
from bench.runs.folder import RunFolder
from bench.runs.spec import RunSpec, Spec
from bench.studies import cifar_depth as study
from bench.studies import gradients as of_gradients
from bench.studies import imagenet as imagenet_study
from bench.studies.seeds import Seeds
from bench.studies.variant import GradientVariant, ImageNetVariant, Variant
from models.arch import Arch

if TYPE_CHECKING:
    from bench.command.options import Options
    from bench.report.sections.runs import Found

Finished: TypeAlias = dict[str, FinishedRun]


@dataclass(frozen=True)
class Plan:
    """What a command line asks of a table: its runs and the work on their nets, and the pages that show them."""

    specs: tuple[Spec, ...]
    variants: tuple[Any, ...]
    """The pages: what the report module of the table calls a variant."""
    archs: tuple[Arch, ...] = ()
    """All nets of the table, whatever `--only` leaves."""


class Study(Protocol):
    """A module of bench/studies whose work is done on the runs of CIFAR nets."""

    @property
    def ARCHS(self) -> Sequence[Arch]:  # noqa: N802
        """The nets of the table; with none, `--only` can name no further net."""

    def works(self, run: Callable[[Arch, int], RunSpec], seeds: Seeds, archs: Sequence[Arch], /) -> Sequence[Spec]:
        """The runs of these nets and seeds, and the measurements of them; `run` gives the depth study's own run."""


Planner: TypeAlias = "Callable[[str, Options], Plan]"
"""From the name of a table and a command line to a plan. Raises UserError."""


def depth_study(table: str, options: Options) -> Plan:
    """The runs of cifar_depth, narrowed by --only. Raises UserError."""
    _cifar_images(table, options)
    specs = study.runs(options.schedule, options.seeds, options.dataset, options.selection)
    if options.only is not None:
        archs = names.chosen(options.only, [spec.arch for spec in specs], table)
        specs = tuple(spec for spec in specs if spec.arch in archs) or _beyond(options.only, options)
    changed = overrides.parse(options.set)
    overrides.within(overrides.apply(specs[0].recipe, changed), changed)
    specs = tuple(replace(spec, recipe=overrides.apply(spec.recipe, changed)) for spec in specs)
    return Plan(specs, tuple(dict.fromkeys(Variant.of(spec) for spec in specs)), study.ARCHS)


def _cifar_images(table: str, options: Options) -> str:
    """The data set of a table of CIFAR nets. Raises UserError for another."""
    dataset = options.dataset or study.DEFAULT_DATASET[options.schedule]
    if dataset not in ("cifar10", "digits"):
        raise UserError(f"--dataset {dataset} is no data set of {table}: choose cifar10 or digits")
    return dataset


def of_study(module: Study) -> Planner:
    """Plans what a study does with CIFAR nets, narrowed by --only. The planner raises UserError."""

    def plan(table: str, options: Options) -> Plan:
        dataset, changed, archs = _cifar_images(table, options), overrides.parse(options.set), tuple(module.ARCHS)
        if varied := set(dict(changed)) & set(getattr(module, "VARIES", ())):
            name = min(varied)
            raise UserError(
                f"--set {name} is what the table {table} varies by itself: leave it out, or take cifar_depth"
            )
        base = study.recipe(study.ARCHS[0], options.schedule, dataset, options.selection)
        first = RunSpec(study.ARCHS[0], overrides.apply(base, changed), dataset, 0)
        overrides.within(first.recipe, changed)
        variant = Variant.of(first)  # a change that changes nothing has no page of its own
        run = partial(variant.spec, precision=first.recipe.precision)
        seeds = options.seeds
        if archs and options.only is not None and not names.chosen(options.only, archs, table):
            specs = tuple(module.works(run, seeds, (one_net(options.only, table, archs),)))
        else:
            specs = _narrowed(table, module.works(run, seeds, archs), options.only)
        return Plan(specs, (variant,), archs)

    return plan


def gradients(table: str, options: Options) -> Plan:
    """The runs of the table, shallow nets first, narrowed by --only: a net, or a run's own name. Raises UserError."""
    dataset = _cifar_images(table, options)
    seeds, only = options.seeds, options.only
    specs = of_gradients.works(options.schedule, dataset, seeds)
    if only is not None:
        named = tuple(run for run in specs if names.matches(only, run.arch) or names.fits(only, run.name))
        specs = named or of_gradients.works(
            options.schedule, dataset, seeds, [one_net(only, table, of_gradients.ARCHS)]
        )
    return Plan(specs, tuple(dict.fromkeys(map(GradientVariant.of, specs))), of_gradients.ARCHS)


def _narrowed(table: str, specs: Sequence[Spec], only: str | None) -> tuple[Spec, ...]:
    """Those that a glob names, by net or by their own name, and before them the runs that they need. Raises UserError."""
    if only is None:
        return tuple(specs)
    chosen = [
        s for s in specs if names.fits(only, s.name) or (not isinstance(s, Extension) and names.matches(only, s.arch))
    ]
    if not chosen:
        raise UserError(f"--only {only} matches nothing of {table}: {_it_has(only, [spec.name for spec in specs])}")
    return tuple(dict.fromkeys([*(run for spec in chosen for run in spec.needs), *chosen]))


def _beyond(name: str, options: Options) -> tuple[RunSpec, ...]:
    """The runs of a CIFAR net that the table does not have."""
    arch = one_net(name)
    data = options.dataset or study.DEFAULT_DATASET[options.schedule]
    recipe = study.recipe(arch, options.schedule, data, options.selection)
    return tuple(RunSpec(arch, recipe, data, seed) for seed in options.seeds.of(arch))


def imagenet(name: str, options: Options) -> Plan:
    """The runs of an ImageNet table, narrowed by --only. Raises UserError."""
    dataset: str = options.dataset or ("imagefolder" if options.schedule == "smoke" else "imagenet")
    if dataset not in ("imagenet", "imagefolder"):
        raise UserError(f"--dataset {dataset} is no data set of {name}: choose imagenet or imagefolder")
    classes = 1000
    if dataset == "imagefolder":
        from bench.images import folder

        train, _ = folder.find(options.data)
        dataset, classes = f"imagefolder-{train.digest[:8]}", len(train.classes)
    base = imagenet_study.recipe(options.schedule, classes)
    given = overrides.parse(options.set)
    overrides.within(overrides.apply(base, given), given)
    changed = overrides.between(base, overrides.apply(base, given))
    variant = ImageNetVariant(imagenet_study.STUDIES[name], options.schedule, dataset, classes, changed)
    specs = variant.specs(options.seeds)
    if options.only is not None:
        archs = names.chosen(options.only, variant.study.archs, name)
        if not archs:
            nets = [arch.name.removeprefix("imagenet-") for arch in variant.study.archs]
            raise UserError(f"--only {options.only} matches no net of {name}: {_it_has(options.only, nets)}")
        specs = tuple(spec for spec in specs if spec.arch in archs)
    return Plan(specs, (variant,), variant.study.archs)


def _it_has(text: str, nets: Sequence[str]) -> str:
    """The nets there are, and before them the nearest to a misspelt one."""
    near = names.nearest(text, nets)
    return f"{near + ' ' if near else ''}it has {', '.join(dict.fromkeys(nets))}"


def one_net(name: str, table: str = "cifar_depth", archs: Sequence[Arch] = study.ARCHS) -> Arch:
    """A CIFAR net beyond the table's rows. Raises UserError, saying what would work."""
    try:
        arch = names.arch_of(name)
    except ValueError as error:
        if "6n+2" in str(error):
            raise UserError(f"--only {name}: {error}") from None
        nets = [arch.name for arch in archs]
        raise UserError(f"--only {name} matches no net of {table}: {_it_has(name, nets)}") from None
    if arch.family != "cifar":
        raise UserError(f"--only {name} is no CIFAR net: try resnet-{study.RESIDUAL[0].depth}-A")
    return arch


def describe(specs: Sequence[Spec], results: Path) -> str:
    """The plan: a line for each run, with how it stands."""
    lines = [f"{len(specs)} runs in {results}"]
    for spec in specs:
        lines.append(f"  {spec.run_id:<40}  {spec.summary}  {state(RunFolder(results, spec.run_id))}")
    return "\n".join(lines)


def unfinished(specs: Sequence[Spec], options: Options) -> list[Spec]:
    """The runs that have no result, or all of them with --force."""
    return [spec for spec in specs if options.force or not is_done(spec, options.results)]


def is_done(spec: Spec, results: Path) -> bool:
    """Whether a run has its result in a folder."""
    return RunFolder(results, spec.run_id).finished()


def state(folder: RunFolder) -> str:
    """How a run stands: done, running, to go on, or new."""
    if folder.finished():
        return "done"
    beat = heartbeat.read(folder)
    if beat and beat.alive():
        return f"running, {beat.iteration:,} of {beat.iterations:,}" if beat.iterations else "starting"
    if folder.checkpoint.exists():
        return "goes on from its checkpoint"
    return "goes on from its points" if folder.points.exists() else "new"


def load(results: Path, measured: Path) -> Finished:
    """Every finished run, of --results and of tables/measured; the former win."""
    mine = finished_runs(results) if results.is_dir() else {}
    return {**finished_runs(measured), **mine}


def found(results: Path, measured: Path, specs: Sequence[Spec] | None = None) -> Found:
    """All that pages are made of; logs of these runs, or of all, that were started and have no result."""
    from bench.report.sections.runs import Found

    ids = (
        [spec.run_id for spec in specs]
        if specs is not None
        else sorted(p.parent.name for p in results.glob("*/log.txt"))
    )
    folders = [RunFolder(results, run_id) for run_id in ids]
    logs = {folder.run_id: str(folder.log) for folder in folders if not folder.finished() and folder.log.exists()}
    return Found(load(results, measured), (results, measured), logs)

"""Which runs a command line asks for, and how each of them stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

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
from bench.studies.variant import GradientVariant, ImageNetVariant, Variant
from models.arch import Arch, parse_arch

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

    def works(
        self, run: Callable[[Arch, int], RunSpec], seeds: Sequence[int], archs: Sequence[Arch], /
    ) -> Sequence[Spec]:
        """The runs of these nets and seeds, and what is done with them; `run` gives the depth study's own run."""


Planner: TypeAlias = "Callable[[str, Options], Plan]"
"""From the name of a table and a command line to a plan. Raises UserError."""


def depth_study(table: str, options: Options) -> Plan:
    """The runs of cifar_depth, narrowed by --only. Raises UserError."""
    _cifar_images(table, options)
    specs = study.runs(options.schedule, options.seeds, options.dataset, options.selection)
    if options.only is not None:
        specs = tuple(spec for spec in specs if matches(options.only, spec.arch)) or _beyond(options.only, options)
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
        seeds = range(options.seeds)
        if archs and options.only is not None and not any(matches(options.only, arch) for arch in archs):
            specs = tuple(module.works(run, seeds, (one_net(options.only, table, archs),)))
        else:
            specs = _narrowed(table, module.works(run, seeds, archs), options.only)
        return Plan(specs, (variant,), archs)

    return plan


def gradients(table: str, options: Options) -> Plan:
    """The runs of the table, shallow nets first, narrowed by --only: a net, or a run's own name. Raises UserError."""
    dataset = _cifar_images(table, options)
    for given, option in ((options.set, "--set"), (options.selection != "all", "--selection")):
        if given:
            differ = "whose runs differ in batch norm and initial scale"
            raise UserError(f"{option} is not for gradients, {differ}: leave it out")
    seeds, only = range(options.seeds), options.only
    specs = of_gradients.works(options.schedule, dataset, seeds)
    if only is not None:
        named = tuple(run for run in specs if matches(only, run.arch) or fnmatchcase(run.name, only))
        specs = named or of_gradients.works(
            options.schedule, dataset, seeds, [one_net(only, table, of_gradients.ARCHS)]
        )
    return Plan(specs, tuple(dict.fromkeys(map(GradientVariant.of, specs))), of_gradients.ARCHS)


def _narrowed(table: str, specs: Sequence[Spec], only: str | None) -> tuple[Spec, ...]:
    """Those that a glob names, by net or by their own name, and before them the runs that they need. Raises UserError."""
    if only is None:
        return tuple(specs)
    chosen = [s for s in specs if fnmatchcase(s.name, only) or (not isinstance(s, Extension) and matches(only, s.arch))]
    if not chosen:
        names = ", ".join(dict.fromkeys(spec.name for spec in specs))
        raise UserError(f"--only {only} matches nothing of {table}: it has {names}")
    return tuple(dict.fromkeys([*(run for spec in chosen for run in spec.needs), *chosen]))


def _beyond(name: str, options: Options) -> tuple[RunSpec, ...]:
    """The runs of a CIFAR net that the table does not have."""
    arch = one_net(name)
    data = options.dataset or study.DEFAULT_DATASET[options.schedule]
    recipe = study.recipe(arch, options.schedule, data, options.selection)
    return tuple(RunSpec(arch, recipe, data, seed) for seed in range(options.seeds))


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
        names = ", ".join(dict.fromkeys(spec.arch.name.removeprefix("imagenet-") for spec in specs))
        specs = tuple(spec for spec in specs if matches(options.only, spec.arch))
        if not specs:
            raise UserError(f"--only {options.only} matches no net of {name}: it has {names}")
    return Plan(specs, (variant,), variant.study.archs)


def matches(glob: str, arch: Arch) -> bool:
    """Whether a glob names a net, by its name (`imagenet-resnet-34-A`, `resnet-34-A`) or the paper's (`ResNet-34`)."""
    return any(fnmatchcase(name, glob) for name in (arch.name, arch.name.removeprefix("imagenet-"), arch.label))


def one_net(name: str, table: str = "cifar_depth", archs: Sequence[Arch] = study.ARCHS) -> Arch:
    """A CIFAR net beyond the table's rows. Raises UserError, saying what would work."""
    try:
        arch = parse_arch(name)
    except ValueError as error:
        if "6n+2" in str(error):
            raise UserError(f"--only {name}: {error}") from None
        names = ", ".join(arch.name for arch in archs)
        raise UserError(f"--only {name} matches no net of {table}: it has {names}") from None
    if arch.family != "cifar":
        raise UserError(f"--only {name} is no CIFAR net: try resnet-{study.RESIDUAL[0].depth}-A")
    return arch


def describe(specs: Sequence[Spec], results: Path) -> str:
    """The plan: a line for each run, with how it stands."""
    lines = [f"{len(specs)} runs in {results}"]
    for spec in specs:
        lines.append(f"  {spec.run_id:<40}  {spec.summary}  {state(RunFolder(results, spec.run_id))}")
    return "\n".join(lines)


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

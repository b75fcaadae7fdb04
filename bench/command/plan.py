"""Which runs a command line asks for, and how each of them stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from bench.compute import heartbeat
from bench.errors import UserError
from bench.runs import overrides
from bench.runs.derived import Extension, GradientRun
from bench.runs.finished import FinishedRun, finished_runs
from bench.runs.folder import RunFolder
from bench.runs.spec import RunSpec, Spec
from bench.studies import INSIDE, constructed_solution, layer_responses, loss_surface, warmup
from bench.studies import cifar_depth as study
from bench.studies import gradients as of_gradients
from bench.studies import imagenet as imagenet_study
from models.arch import Arch, parse_arch

if TYPE_CHECKING:
    from bench.command.options import Options
    from bench.studies.variant import ImageNetVariant, Variant

Finished: TypeAlias = dict[str, FinishedRun]


def cifar_depth(options: Options) -> tuple[RunSpec, ...]:
    """The runs of the table, narrowed by --only. Raises UserError."""
    if options.dataset not in (None, "cifar10", "digits"):
        raise UserError(f"--dataset {options.dataset} is no data set of cifar_depth: choose cifar10 or digits")
    specs = study.runs(options.schedule, options.seeds, options.dataset, options.selection)
    if options.only is not None:
        specs = tuple(spec for spec in specs if matches(options.only, spec.arch)) or _beyond(options.only, options)
    changed = overrides.parse(options.set)
    overrides.within(overrides.apply(specs[0].recipe, changed), changed)
    return tuple(replace(spec, recipe=overrides.apply(spec.recipe, changed)) for spec in specs)


def inside(table: str, options: Options) -> tuple[Variant, tuple[Spec, ...]]:
    """The page and the work of a table that looks inside CIFAR nets, narrowed by --only. Raises UserError."""
    from bench.studies.variant import Variant

    dataset = options.dataset or study.DEFAULT_DATASET[options.schedule]
    if dataset not in ("cifar10", "digits"):
        raise UserError(f"--dataset {dataset} is no data set of {table}: choose cifar10 or digits")
    changed = overrides.parse(options.set)
    if table == "warmup" and "warmup_lr" in dict(changed):
        raise UserError("--set warmup_lr is what the table warmup varies by itself: leave it out, or take cifar_depth")
    asked = Variant(options.schedule, dataset, options.selection, changed)
    overrides.within(asked.spec(study.ARCHS[0], 0).recipe, changed)
    variant = Variant.of(asked.spec(study.ARCHS[0], 0))  # a change that changes nothing has no page of its own
    seeds = range(options.seeds)
    if table == "constructed_solution":
        return variant, _narrowed(table, constructed_solution.works(variant.spec, seeds), options.only)
    archs, works = {
        "layer_responses": (layer_responses.ARCHS, layer_responses.works),
        "loss_surface": (loss_surface.ARCHS, loss_surface.works),
        "warmup": (warmup.ARCHS, warmup.works),
    }[table]
    if options.only is not None and not any(matches(options.only, arch) for arch in archs):
        return variant, tuple(works(variant.spec, seeds, (one_net(options.only, table, archs),)))
    return variant, _narrowed(table, works(variant.spec, seeds, archs), options.only)


def gradients(options: Options) -> tuple[GradientRun, ...]:
    """The runs of the table, shallow nets first, narrowed by --only: a net, or a run's own name. Raises UserError."""
    dataset = options.dataset or study.DEFAULT_DATASET[options.schedule]
    if dataset not in ("cifar10", "digits"):
        raise UserError(f"--dataset {dataset} is no data set of gradients: choose cifar10 or digits")
    for given, option in ((options.set, "--set"), (options.selection != "all", "--selection")):
        if given:
            differ = "whose runs differ in batch norm and initial scale"
            raise UserError(f"{option} is not for gradients, {differ}: leave it out")
    seeds, only = range(options.seeds), options.only
    whole = of_gradients.works(options.schedule, dataset, seeds)
    if only is None:
        return whole
    chosen = tuple(run for run in whole if matches(only, run.arch) or fnmatchcase(run.name, only))
    if chosen:
        return chosen
    return of_gradients.works(options.schedule, dataset, seeds, [one_net(only, "gradients", of_gradients.ARCHS)])


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


def imagenet(name: str, options: Options) -> tuple[ImageNetVariant, tuple[RunSpec, ...]]:
    """The page and the runs of an ImageNet table, narrowed by --only. Raises UserError."""
    from bench.studies.imagenet import STUDIES
    from bench.studies.imagenet import recipe as imagenet_recipe
    from bench.studies.variant import ImageNetVariant

    dataset: str = options.dataset or ("imagefolder" if options.schedule == "smoke" else "imagenet")
    if dataset not in ("imagenet", "imagefolder"):
        raise UserError(f"--dataset {dataset} is no data set of {name}: choose imagenet or imagefolder")
    classes = 1000
    if dataset == "imagefolder":
        from bench.images import folder

        train, _ = folder.find(options.data)
        dataset, classes = f"imagefolder-{train.digest[:8]}", len(train.classes)
    base = imagenet_recipe(options.schedule, classes)
    given = overrides.parse(options.set)
    overrides.within(overrides.apply(base, given), given)
    changed = overrides.between(base, overrides.apply(base, given))
    variant = ImageNetVariant(STUDIES[name], options.schedule, dataset, classes, changed)
    specs = variant.specs(options.seeds)
    if options.only is None:
        return variant, specs
    chosen = tuple(spec for spec in specs if matches(options.only, spec.arch))
    if not chosen:
        names = ", ".join(dict.fromkeys(spec.arch.name.removeprefix("imagenet-") for spec in specs))
        raise UserError(f"--only {options.only} matches no net of {name}: it has {names}")
    return variant, chosen


def runs(name: str, options: Options) -> tuple[Spec, ...]:
    """The runs of any table, and what is done with their nets, narrowed by --only.

    None of one that is not filled by runs. Raises UserError.
    """
    if name == "cifar_depth":
        return cifar_depth(options)
    if name in ("layer_responses", *INSIDE):
        return inside(name, options)[1]
    if name == "gradients":
        return gradients(options)
    return imagenet(name, options)[1] if name in imagenet_study.STUDIES else ()


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


def claims(options: Options, measured: Path) -> str:
    """The claims at a schedule with the runs that each needs, and how those stand. Raises UserError."""
    from bench.report.tables.claims import families
    from bench.studies.claims import CLAIMS, of_table
    from bench.verdicts.claims import name

    exact = [claim for claim in CLAIMS if claim.exact]
    lines = [f"  {claim.id:<28}  {claim.table}: counted, needs no run" for claim in exact]
    needed: dict[Spec, None] = {}
    for family in families(load(options.results, measured), options.schedule, (options.results, measured)):
        for claim in of_table(family.table, options.schedule):
            has = ", ".join(f"{name(net)} has {len(family.setting.runs(net))}" for net in claim.nets)
            lines.append(f"  {claim.id:<28}  {family.table}: {has}")
            specs = (family.setting.wanted(net, seed) for net in claim.nets for seed in range(options.seeds))
            needed.update(dict.fromkeys(work for spec in specs for work in family.work(spec)))
    return "\n".join(
        [f"{len(lines)} claims; the runs are those of the tables", *lines, describe([*needed], options.results)]
    )


def load(results: Path, measured: Path) -> Finished:
    """Every finished run, of --results and of tables/measured; the former win."""
    mine = finished_runs(results) if results.is_dir() else {}
    return {**finished_runs(measured), **mine}


def unfinished_logs(specs: Sequence[Spec], results: Path) -> dict[str, str]:
    """Run id -> path of the log, for runs that were started and have no result."""
    folders = [RunFolder(results, spec.run_id) for spec in specs]
    return {folder.run_id: str(folder.log) for folder in folders if not folder.finished() and folder.log.exists()}


def all_unfinished_logs(results: Path) -> dict[str, str]:
    """The same for every run in a results folder."""
    folders = [RunFolder(results, path.parent.name) for path in sorted(results.glob("*/log.txt"))]
    return {folder.run_id: str(folder.log) for folder in folders if not folder.finished()}

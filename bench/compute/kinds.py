"""The kinds of work: how each is computed, which files its folder has, how they are read and checked, and who shows them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.compute.context import Context
from bench.measure.probes import validate_points
from bench.runs.derived import Extension, GradientRun, Responses, SurfacePart
from bench.runs.folder import Measured, Result, RunFolder
from bench.runs.spec import CifarRecipe, RunSpec, Spec

if TYPE_CHECKING:
    import torch

    from bench.device.processes import Processes
    from bench.training.execution import Mode
    from bench.training.feed import Feed
    from bench.training.loop import Session


def _parameters(spec: Spec) -> int:
    from bench.measure.counts.closed_form import count

    return count(spec.arch).parameters


def _parameters_of_watched(spec: GradientRun) -> int:
    from bench.measure.counts.closed_form import with_offsets

    return _parameters(spec) if spec.batch_norm else with_offsets(spec.arch)


CURVE = ("spec.json", "metrics.jsonl", "provenance.json")
POINTS = ("spec.json", "points.jsonl", "provenance.json")


@dataclass(frozen=True)
class Kind:
    """What is known of all specs of one class. By default it is a training."""

    compute: Callable[[Any, RunFolder, Context], Result | Measured]
    """Bring one to its result, from wherever its folder stands. Writes everything but `result.json`."""
    read: Callable[[RunFolder], Result | Measured] = RunFolder.read_result
    """The result in a finished folder. Raises UserError."""
    validate: Callable[[Any, Sequence[Any], int], str | None] | None = None
    """What is wrong with the lines of its `points.jsonl`, of which those before a step must be there; None where nothing is."""
    needed: tuple[str, ...] = CURVE
    """Files that a folder has which can be moved to another machine."""
    optional: tuple[str, ...] = ("evaluation.json", "checkpoint.pt", "result.json")
    """Files that it may have."""
    parameters: Callable[[Any], int] = _parameters
    """Of its net, by closed form. Raises KeyError for a net that is not of the paper's kind."""


def _measurement(
    compute: Callable[[Any, RunFolder, Context], Measured], validate: Callable[[Any, Sequence[Any], int], str | None]
) -> Kind:
    """What measures a net that is trained; it is moved only when it is finished."""
    return Kind(compute, RunFolder.read_measured, validate, (*POINTS, "result.json"), ())


def of(spec: Spec) -> Kind:
    """The kind of a spec."""
    return KINDS[type(spec)]


def _train(spec: Spec, folder: RunFolder, context: Context) -> Result:
    from bench.training import loop

    with _session(spec, folder, context) as session:
        return loop.train(spec, session)


def _extend(spec: Extension, folder: RunFolder, context: Context) -> Result:
    from bench.training import constructed, loop

    with _session(spec, folder, context) as session:
        constructed.begin(spec, session.folder, session.feed)
        return loop.train(spec, session)


def _watch_gradients(spec: GradientRun, folder: RunFolder, context: Context) -> Result:
    from bench.measure.probes.gradients import Watch, without_denormals
    from bench.training import loop

    with _session(spec, folder, context, judges_training=False) as session, without_denormals():
        return loop.train(spec, session, Watch(spec, session.folder, session.feed))


def _measure_responses(spec: Responses, folder: RunFolder, context: Context) -> Measured:
    from bench.measure.probes import responses

    with _session(spec, folder, context) as session:
        return responses.measure(spec, session)


def _measure_surface(spec: SurfacePart, folder: RunFolder, context: Context) -> Measured:
    from bench.measure.probes import surface

    with _session(spec, folder, context) as session:
        return surface.measure(spec, session)


KINDS: dict[type, Kind] = {
    RunSpec: Kind(_train),
    Extension: Kind(_extend, needed=(*CURVE, "construction.json")),
    GradientRun: Kind(
        _watch_gradients,
        validate=validate_points.of_gradients,
        needed=(*CURVE, "points.jsonl"),
        parameters=_parameters_of_watched,
    ),
    Responses: _measurement(_measure_responses, validate_points.of_responses),
    SurfacePart: _measurement(_measure_surface, validate_points.of_surface),
}
"""Class of spec -> what is known of it."""


@contextlib.contextmanager
def _session(spec: Spec, folder: RunFolder, context: Context, judges_training: bool = True) -> Iterator[Session]:
    """The data, the device and the other processes of one attempt, for as long as it lasts."""
    from bench.device import lanes
    from bench.device.processes import connected
    from bench.training.loop import Session

    device = device_of(spec)
    with (
        connected(*context.process, device) as processes,
        lanes.lane(device, own_stream=isinstance(spec.recipe, CifarRecipe)),
        contextlib.closing(_feed(spec, context, device, processes, judges_training)) as feed,
    ):
        if feed.facts and processes.first:
            folder.note(**feed.facts)

        def choose(earlier: str | None) -> Mode:
            from bench.measure.counts.estimate import Estimator
            from bench.training import execution

            seconds = 3600 * Estimator(device.type, ())(spec).hours
            threads = context.company.threads
            mode = execution.choose(context.source.execution, spec, device, seconds, earlier, threads)
            if processes.first:
                folder.note(execution=mode)
            return mode

        yield Session(folder, feed, context.on_report, context.should_stop, processes, choose)


def _feed(spec: Spec, context: Context, device: torch.device, processes: Processes, judges_training: bool) -> Feed:
    """The data of a run. `judges_training`: whether the trained net is tested on the whole training set."""
    source = context.source
    if isinstance(spec.recipe, CifarRecipe):
        from bench.images import memory
        from bench.training.feed import MemoryFeed

        dataset = memory.held(spec.dataset, source.folder, spec.recipe.selection, source.download, device)
        return MemoryFeed(spec.recipe, dataset, device, processes, judges_training)
    from bench.training.folder_feed import open_folder

    return open_folder(spec, source, device, processes, _looked)


def _looked(done: int, of: int) -> None:
    """Show how far the first look at all images is: on one line of a terminal, else at every tenth part."""
    if sys.stderr.isatty():
        print(f"\rlooking at {done:,} of {of:,} images", end="" if done < of else "\n", file=sys.stderr, flush=True)
    elif of >= 10_000 and done * 10 // of > (done - 64) * 10 // of:
        print(f"looked at {done:,} of {of:,} images", file=sys.stderr, flush=True)


def device_of(spec: Spec) -> torch.device:
    """Where this process computes, in the precision of the recipe."""
    import torch

    from bench.device.precision import set_precision

    set_precision(spec.recipe.precision)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

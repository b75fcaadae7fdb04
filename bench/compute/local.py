"""Runs on this machine: on each GPU one at a time, or several; on a CPU one after another, or several."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from bench.compute import progress
from bench.compute.context import Context
from bench.compute.side_by_side import (
    PERSON,
    Ending,
    Outcome,
    Place,
    Supervisor,
    listening,
    run_in_turn,
    share_a_process,
)
from bench.errors import Interrupted, UserError
from bench.runs.spec import CifarRecipe, Spec

STATUS: dict[Ending, int] = {"done": 0, "failed": 1, "busy": 2}
ENDS: frozenset[Ending] = frozenset({"mistake", "interrupted"})
"""Outcomes that end the command: no other run would escape the mistake."""


def run_all(specs: Sequence[Spec], context: Context, pack: int = 1, threads: bool | None = None) -> int:
    """Run what is missing, `pack` runs at a time on each GPU, or on the CPU where there is none; what is needed comes first.

    `threads` says whether those of one GPU are threads of one process; None: where that pays. Returns the exit status: 0,
    1 where a run failed, 2 where a run was held by another command. A run that fails is reported, and the others go on.
    Raises UserError for a mistake that no other run would escape, Interrupted when asked to stop.
    """
    places = find_places(pack)[: len(specs)]
    if threads is None:
        on_gpu = any(place.gpu is not None for place in places)
        threads = on_gpu and share_a_process(specs, context.source.execution)
    if places[0].gpu is None:
        _warn(specs)
    watch = progress.watcher()
    try:
        with listening(*PERSON) as asked:
            stoppable = replace(context, should_stop=lambda: bool(asked))
            if len(places) == 1:
                outcomes = run_in_turn(specs, stoppable, watch, ENDS)
            else:
                _load_data(specs, context)
                outcomes = Supervisor(specs, stoppable, places, threads and pack > 1, watch, ENDS).run()
            return _status(list(outcomes.values()), bool(asked), len(specs))
    finally:
        watch.close()
        sys.stdout.flush()


def _warn(specs: Sequence[Spec]) -> None:
    """Say, once for each, which precisions are slower than single precision on this CPU."""
    from bench.device import precision

    for name in dict.fromkeys(spec.recipe.precision for spec in specs):
        if precision.emulated(name):
            said = f"this CPU has no instructions for {name} and computes it many times more slowly than fp32"
            print(f"run.py: warning: --set precision={name}: {said}", file=sys.stderr)


def _status(outcomes: Sequence[Outcome], asked: bool, total: int) -> int:
    """The exit status. Raises UserError for a mistake, Interrupted where runs were stopped or did not begin."""
    texts = {outcome.kind: outcome.text for outcome in reversed(outcomes)}
    if "mistake" in texts:
        raise UserError(texts["mistake"])
    if "interrupted" in texts:
        raise Interrupted(texts["interrupted"])
    if asked and (len(outcomes) < total or "failed" in texts):
        raise Interrupted("stopped")
    return max((STATUS[outcome.kind] for outcome in outcomes), default=0)


def find_places(pack: int) -> list[Place]:
    """Where runs may go at the same time on this machine; GPUs in turn, so that two runs are on two of them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = named.split(",") if named else [str(number) for number in range(count)]
    if count:
        return [Place(gpu, None) for _ in range(pack) for gpu in gpus[:count]]
    return [Place(None, max(1, torch.get_num_threads() // pack) if pack > 1 else None) for _ in range(pack)]


def _load_data(specs: Sequence[Spec], context: Context) -> None:
    """Load each data set once before several processes do, so that it is downloaded once and a mistake is said once."""
    recipes = [(spec.dataset, spec.recipe) for spec in specs]
    for dataset, selection in dict.fromkeys((d, r.selection) for d, r in recipes if isinstance(r, CifarRecipe)):
        from bench.images import memory

        memory.load(dataset, context.source.folder, selection, context.source.download)

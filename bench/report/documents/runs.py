"""The runs behind report.html: groups that differ in the seed alone, and the record of single runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from bench.report.render.report import RunGroup, Runs
from bench.report.sections.runs import Found, mean_and_spread
from bench.runs.derived import Extension, GradientRun
from bench.runs.finished import Finished, finished
from bench.runs.spec import Spec

POINTS = 65
"""Evaluation points of a run's curve that the report keeps; more are thinned out evenly."""
LOG_LINES, LOG_CHARACTERS = 15, 2_000
CHUNK = 50
"""Runs that are unpacked together."""
CHARACTERS = 1_200_000
"""Of all records, as JSON, before they are packed: the file stays under 5 MB. Other runs are only listed."""
OWN = ("started", "ended", "host", "slurm", "restarts", "wall_seconds", "seconds", "packed")
"""Parts of a provenance that each run has for itself."""
AnyRun = Finished[Any]


def runs(found: Found) -> Runs:
    """All finished trainings, and those that were started and have a log."""
    trained = _trained(found)
    shared = _Shared()
    return Runs(_groups(trained), shared.values, list(_chunks(trained, found.logs, shared)))


def _trained(found: Found) -> dict[str, AnyRun]:
    """Every finished training by id, whatever was watched or done before; those of the first folder win."""
    more: dict[str, AnyRun] = {}
    for folder in reversed(found.folders):
        more |= finished(folder, GradientRun)
        more |= finished(folder, Extension)
    return {**found.runs, **more}


def _groups(trained: Mapping[str, AnyRun]) -> list[RunGroup]:
    members: dict[tuple[str, Any, str], list[tuple[str, AnyRun]]] = {}
    for id_, run in trained.items():
        members.setdefault((_stem(id_), run.spec.recipe, run.spec.dataset), []).append((id_, run))
    groups = []
    for (stem, recipe, dataset), several in members.items():
        several.sort(key=lambda item: item[1].spec.seed)
        errors = [run.result.test_error for _, run in several if run.result.test_error is not None]
        title = f"{stem}, {dataset}, {recipe.precision}"
        groups.append(RunGroup(title, [id_ for id_, _ in several], [str(len(several)), mean_and_spread(errors)]))
    return sorted(groups, key=lambda group: group.title)


def _stem(run_id: str) -> str:
    """An id without seed and digest."""
    return re.sub(r"-s\d+-[0-9a-f]+$", "", run_id)


def _chunks(trained: Mapping[str, AnyRun], logs: Mapping[str, str], shared: _Shared) -> Iterator[dict[str, Any]]:
    """The records of runs, low seeds and the paper's schedule first, as far as there is room."""
    order = sorted(trained, key=lambda id_: (trained[id_].spec.seed, trained[id_].spec.recipe.schedule != "paper", id_))
    waiting = iter([*({"id": id_, "log": _end(Path(path))} for id_, path in logs.items())][:CHUNK])
    records = _within(_records(waiting, (trained[id_] for id_ in order), shared))
    while chunk := {record["id"]: record for record in islice(records, CHUNK)}:
        yield chunk


def _records(waiting: Iterator[dict[str, Any]], trained: Iterator[AnyRun], shared: _Shared) -> Iterator[dict[str, Any]]:
    yield from waiting
    for run in trained:
        yield record(run, shared)


def _within(records: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """As many records as there is room for."""
    left = CHARACTERS
    for each in records:
        left -= len(json.dumps(each))
        if left < 0:
            return
        yield each


@dataclass
class _Shared:
    """Values that several runs have, each once."""

    values: list[Any] = field(default_factory=list)
    _known: dict[str, int] = field(default_factory=dict)

    def place(self, value: Any) -> int:
        """Where the value stands."""
        key = json.dumps(value, sort_keys=True)
        if key not in self._known:
            self._known[key] = len(self.values)
            self.values.append(value)
        return self._known[key]


def record(run: AnyRun, shared: _Shared) -> dict[str, Any]:
    """What the view of one run shows. Raises UserError where a file of the run is damaged."""
    spec, facts = _plain(run.spec), dict(run.provenance)
    own = {name: facts.pop(name) for name in OWN if name in facts}
    code = facts.get("code", {})
    if patch := code.get("patch"):
        facts["code"] = {**code, "patch": f"{len(patch):,} characters"}
    return {
        "id": run.folder.run_id,
        "seed": run.spec.seed,
        "spec": shared.place(spec),
        "facts": shared.place(facts),
        "own": own,
        "result": {name: value for name, value in asdict(run.result).items() if value is not None},
        "curve": curve(run.metrics),
        "log": _end(run.folder.log),
    }


def _plain(spec: Spec) -> dict[str, Any]:
    """The fields of a spec but its seed."""
    fields = spec.to_json()
    fields.pop("seed", None)
    if "run" in fields:
        fields["run"].pop("seed", None)
    return fields


def curve(points: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Test and training error in percent against iterations, at `POINTS` points at most; the last one is kept."""
    step = max(1, -(-len(points) // POINTS))
    kept = [*points[::-1][::step]][::-1]
    names = ("iteration", "test_error", "train_error")
    return {name: [_short(point.get(name)) for point in kept] for name in names}


def _short(value: Any) -> float | None:
    return None if value is None else round(value, 2)


def _end(log: Path) -> str:
    """The last lines of a log; nothing where there is none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")[-20 * LOG_CHARACTERS :]
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-LOG_LINES:])[-LOG_CHARACTERS:]

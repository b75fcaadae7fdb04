"""What `--table throughput` has measured, and whether it has dropped.

Never compared with the paper, nor seconds of one machine with those of another: what is compared is the ratio to the
reference loop, measured in the same minutes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import or_
from pathlib import Path
from statistics import fmean, median
from typing import Any

from bench.files import Damaged, convert, read_json, write_json
from bench.measure.speed.ceilings import Ceilings, floor
from bench.measure.speed.settings import Kind, Setting, WholeRun
from bench.runs.spec import Precision
from models.arch import parse_arch

FORMAT = 2
DROP = 0.10
"""Of the ratio to the reference loop: what a regression check calls a drop."""
SIGNIFICANT = 0.01
NOTHING = Ceilings({}, 0.0)
THIRD_MINUTE = 180.0
"""Seconds from which on whole runs are judged: by then nets are compiled."""

Timeline = tuple[tuple[float, int], ...]
"""(seconds since the start, images trained on so far)."""


@dataclass(frozen=True)
class Session:
    """In what state a machine was when it was timed."""

    date: str
    software: str
    commit: str
    ceilings: Ceilings
    threads: int | None = None
    clocks: tuple[tuple[str, float], ...] = ()
    """What clocks, in MHz, right after the ceilings were measured."""
    load: float | None = None
    """What others were using before, in cores."""


@dataclass(frozen=True)
class Speed:
    """One loop, timed in rounds, each beside a round of the reference loop."""

    setting: Setting
    seconds: tuple[float, ...]
    """Of an iteration, one value a round."""
    reference_seconds: tuple[float, ...]
    first_seconds: float
    """From nothing to the end of the first iteration, compiling included."""
    peak_mb: int
    session: Session

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.setting.batch / median(self.seconds)

    @property
    def reference_rate(self) -> float:
        return self.setting.batch / median(self.reference_seconds)

    @property
    def log_ratios(self) -> list[float]:
        return [math.log(r / s) for s, r in zip(self.seconds, self.reference_seconds, strict=True)]

    @property
    def ratio(self) -> float:
        """How many times as fast as the reference loop: the geometric mean over rounds."""
        return math.exp(fmean(self.log_ratios))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the ratio (Student t over rounds)."""
        from scipy import stats

        logs = self.log_ratios
        low, high = stats.t.interval(0.95, len(logs) - 1, loc=fmean(logs), scale=stats.sem(logs))
        return math.exp(low), math.exp(high)

    def of_ceilings(self, best: Ceilings) -> tuple[float | None, float]:
        """Shares of the matrix product's rate, where it was measured, and of the copy's that an iteration reaches."""
        operations, moved = floor(self.setting, best)
        return operations / median(self.seconds) if operations else None, moved / median(self.seconds)

    def of_floor(self, best: Ceilings) -> float | None:
        """The larger of the two: 1 is as fast as these two ceilings allow."""
        product, copied = self.of_ceilings(best)
        return max(product, copied) if product else None


@dataclass(frozen=True)
class Whole:
    """A whole run beside the reference loop with its own tests, in turns."""

    net: str
    execution: str
    images: str
    """What it was trained on: CIFAR-10, or random images."""
    ours: Timeline
    reference: Timeline
    session: Session
    precision: Precision = "fp32"
    """Ours; the reference's is single."""

    @property
    def run(self) -> WholeRun:
        return WholeRun(self.net, self.precision)

    def rates(self, start: float = 0.0) -> tuple[float, float] | None:
        """Images per second of ours and of the reference from `start` to the end of each; None where one had ended."""
        both = [rate_from(line, start) for line in (self.ours, self.reference)]
        return (both[0], both[1]) if both[0] and both[1] else None


def rate_from(line: Timeline, start: float) -> float | None:
    """Images per second from `start` seconds to the end, tests and compiling included; None where the end was before."""
    import numpy as np

    seconds, images = zip((0.0, 0), *line, strict=True)
    if seconds[-1] <= start:
        return None
    return float((images[-1] - np.interp(start, seconds, images)) / (seconds[-1] - start))


@dataclass(frozen=True)
class Machine:
    """What was measured on one machine."""

    name: str
    kind: Kind
    speeds: tuple[Speed, ...] = ()
    wholes: tuple[Whole, ...] = ()
    best: Ceilings = NOTHING
    """What it reached before, in sessions too of which no figure stands any more."""

    @property
    def sessions(self) -> list[Session]:
        """Those in which something was measured that still stands, oldest first."""
        found: list[Session] = []
        for session in (*(speed.session for speed in self.speeds), *(whole.session for whole in self.wholes)):
            if session not in found:
                found.append(session)
        return sorted(found, key=lambda session: session.date)

    @property
    def ceilings(self) -> Ceilings:
        """The best that it ever did: a neighbour, or a clock that was down, spoils the ceilings of a session."""
        return reduce(or_, (session.ceilings for session in self.sessions), self.best)


def save(path: Path, machines: Sequence[Machine]) -> None:
    write_json(path, {"format": FORMAT, "machines": [_to_json(machine) for machine in machines]})


def _to_json(machine: Machine) -> dict[str, Any]:
    """Sessions by themselves, and their number where they were."""
    sessions = machine.sessions
    return {
        "name": machine.name,
        "kind": machine.kind,
        "best": asdict(machine.best),
        "sessions": [asdict(session) for session in sessions],
        "speeds": [{**asdict(speed), "session": sessions.index(speed.session)} for speed in machine.speeds],
        "wholes": [{**asdict(whole), "session": sessions.index(whole.session)} for whole in machine.wholes],
    }


def load(path: Path) -> list[Machine]:
    """What was kept; nothing where there is no file. Raises UserError where it is damaged or of another version."""
    if not path.exists():
        return []
    data = read_json(path)
    try:
        if data["format"] not in (1, FORMAT):
            raise ValueError(f"not of version {FORMAT}")
        return [_machine(_from_first(each) if data["format"] == 1 else each) for each in data["machines"]]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise Damaged(path, error, "measure again with --table throughput") from error


def _from_first(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had one session a machine, on CPUs, and ceilings of single precision."""
    best = {"flops": {"fp32": data["ceilings"]["flops"]}, "bytes": data["ceilings"]["bytes"]}
    software = f"{data['software']}; by an earlier benchmark (10,000 random images, the compiler's caches as they were)"
    session = {"date": "", "software": software, "commit": data["commit"], "ceilings": best}
    speeds = [{**speed, "session": 0} for speed in data["speeds"]]
    return {"name": data["name"], "kind": "cpu", "sessions": [session], "speeds": speeds, "wholes": []}


def _machine(data: dict[str, Any]) -> Machine:
    sessions = [
        Session(
            **{
                **session,
                "ceilings": Ceilings(**session["ceilings"]),
                "clocks": tuple((name, value) for name, value in session.get("clocks", ())),
            }
        )
        for session in data["sessions"]
    ]
    speeds = [
        Speed(
            **{
                **speed,
                "setting": Setting(**speed["setting"]),
                "seconds": tuple(speed["seconds"]),
                "reference_seconds": tuple(speed["reference_seconds"]),
                "session": sessions[speed["session"]],
            }
        )
        for speed in data["speeds"]
    ]
    wholes = [
        Whole(
            **{
                **whole,
                "ours": tuple((seconds, images) for seconds, images in whole["ours"]),
                "reference": tuple((seconds, images) for seconds, images in whole["reference"]),
                "session": sessions[whole["session"]],
            }
        )
        for whole in data["wholes"]
    ]
    best = Ceilings(**data["best"]) if "best" in data else NOTHING
    machine = Machine(data["name"], data["kind"], tuple(speeds), tuple(wholes), best)
    return convert(Machine, asdict(machine))  # each value of its type


def merge(old: Sequence[Machine], new: Machine) -> list[Machine]:
    """All machines, what is new in place of what was measured of the same loop on the same machine before."""
    before = next((machine for machine in old if machine.name == new.name), Machine(new.name, new.kind))
    speeds = {speed.setting: speed for speed in (*before.speeds, *new.speeds)}
    wholes = {whole.run: whole for whole in (*before.wholes, *new.wholes)}
    ordered = tuple(speeds[setting] for setting in sorted(speeds, key=lambda setting: setting.order))
    by_depth = sorted(wholes.values(), key=lambda one: (parse_arch(one.net).depth, one.precision != "fp32"))
    best = reduce(or_, (machine.ceilings for machine in (before, new)))
    whole = _sessions_joined(Machine(new.name, new.kind, ordered, tuple(by_depth), best))
    return sorted([*(m for m in old if m.name != new.name), whole], key=lambda machine: machine.name)


def load_all(*paths: Path) -> list[Machine]:
    """The machines of several files; where two have the same one, the later file wins."""
    machines: list[Machine] = []
    for path in paths:
        for machine in load(path):
            machines = merge(machines, machine)
    return machines


def _sessions_joined(machine: Machine) -> Machine:
    """Its ceilings are measured again and again in a session, which has the best of them."""
    best: dict[str, Ceilings] = {}
    for session in machine.sessions:
        best[session.date] = best.get(session.date, session.ceilings) | session.ceilings

    def joined(session: Session) -> Session:
        return replace(session, ceilings=best[session.date])

    speeds = tuple(replace(speed, session=joined(speed.session)) for speed in machine.speeds)
    wholes = tuple(replace(whole, session=joined(whole.session)) for whole in machine.wholes)
    return replace(machine, speeds=speeds, wholes=wholes)


def held_against(old: Sequence[Machine], new: Machine) -> Machine | None:
    """The machine of the same name; else one of the same kind, since ratios are less a machine's own than seconds are."""
    return next((m for m in old if m.name == new.name), next((m for m in old if m.kind == new.kind), None))


def regressions(old: Machine, new: Machine) -> list[str]:
    """A line for each loop whose ratio to the reference has dropped: significantly (Welch, one-sided), and by over 10 %.

    The statistics come first: a drop that the noise of the rounds explains is none, however large.
    """
    from scipy import stats

    before = {speed.setting: speed for speed in old.speeds}
    lines = []
    for speed in new.speeds:
        if (was := before.get(speed.setting)) is None:
            continue
        p = stats.ttest_ind(speed.log_ratios, was.log_ratios, equal_var=False, alternative="less").pvalue
        if p < SIGNIFICANT and speed.ratio < (1 - DROP) * was.ratio:
            lines.append(
                f"{speed.setting.name}: {speed.ratio:.2f} times the reference loop, {was.ratio:.2f} before (p = {p:.1g})"
            )
    return lines


def check(path: Path, new: Machine) -> tuple[list[str], str]:
    """What `regressions` finds of `new` since the figures in a file, and a line on what was compared with what.

    Where nothing in the file can be compared, that itself is a line: a check that looks at nothing must not pass.
    """
    old = held_against(load(path), new)
    settings = {speed.setting for speed in old.speeds} if old else set()
    compared = [speed for speed in new.speeds if speed.setting in settings]
    if old is None or not compared:
        return [f"{path} has nothing of these loops on a {new.kind}: nothing was compared"], ""
    machine = "this machine" if old.name == new.name else f"{old.name} (none of this machine there)"
    said = f"{len(compared)} of {len(new.speeds)} loops compared with those of {machine} in {path}, by their ratios"
    return regressions(old, new), said


def label(net: str) -> str:
    """The paper's way of writing a net, with the shortcut's option where that is not always A."""
    arch = parse_arch(net)
    several = arch.residual and arch.family == "imagenet" and arch.depth < 50
    return f"{arch.label} {arch.shortcut}" if several else arch.label

"""The page of `--table throughput`: how fast nets train and are tested, beside the common loop and the machine's best.

Never held against the paper, nor seconds of one machine against those of another: what is compared is the ratio to the
reference loop, measured in the same minutes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean, median
from typing import Any

from bench.errors import UserError
from bench.measure.throughput import Ceilings, Setting, floor
from bench.report import manifest, markdown, terminal
from bench.report.page import Cell, Manifest, Page, Part, Table, behind, cells, grid
from bench.store import read_json, write_json

FORMAT = 1
DROP = 0.10
"""Of the ratio to the reference loop: what a regression check calls a drop."""
SIGNIFICANT = 0.01
COMMAND = "python bench/run.py --table throughput --publish"
HEADERS = [
    "net", "execution", "precision", "images/s", "ms/iteration", "over the reference", "95 % interval",
    "first iteration, s", "peak, MB", "of the floor",
]  # fmt: skip


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

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.setting.batch / median(self.seconds)

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


@dataclass(frozen=True)
class Machine:
    """What was measured on one machine."""

    name: str
    software: str
    commit: str
    ceilings: Ceilings
    speeds: tuple[Speed, ...]


def save(path: Path, machines: Sequence[Machine]) -> None:
    write_json(path, {"format": FORMAT, "machines": [asdict(machine) for machine in machines]})


def load(path: Path) -> list[Machine]:
    """What was kept; nothing where there is no file. Raises UserError where it is damaged or of another version."""
    if not path.exists():
        return []
    data = read_json(path)
    try:
        if data["format"] != FORMAT:
            raise ValueError(f"not of version {FORMAT}")
        return [_machine(each) for each in data["machines"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): measure anew with --table throughput") from error


def _machine(data: dict[str, Any]) -> Machine:
    speeds = tuple(
        Speed(
            Setting(**speed["setting"]),
            tuple(speed["seconds"]),
            tuple(speed["reference_seconds"]),
            speed["first_seconds"],
            speed["peak_mb"],
        )
        for speed in data["speeds"]
    )
    return Machine(data["name"], data["software"], data["commit"], Ceilings(**data["ceilings"]), speeds)


def of_benchmarks(benchmarks: Sequence[Any]) -> Machine:
    """What pytest-benchmark has timed in one session."""
    speeds, machine = [], {}
    for measured in benchmarks:
        extra = dict(measured.extra_info)
        machine = extra["machine"]
        setting = Setting(**{field.name: extra[field.name] for field in fields(Setting)})
        seconds = tuple(round(s / extra["iterations"], 6) for s in measured.stats.data)
        reference = tuple(round(s, 6) for s in extra["reference_seconds"])
        speeds.append(Speed(setting, seconds, reference, extra["first_seconds"], extra["peak_mb"]))
    versions = {"Python": machine["python"], **machine["packages"]}
    software = ", ".join(f"{name} {versions[name]}" for name in ("Python", "torch", "torchvision"))
    driver = machine["device"].get("driver")
    commit = (machine["code"]["commit"] or "unknown")[:10] + (" + patch" if machine["code"]["patch"] else "")
    ceilings = Ceilings(machine["flops"], machine["bytes"])
    return Machine(
        machine["device"]["name"], software + (f", driver {driver}" if driver else ""), commit, ceilings, tuple(speeds)
    )


def merge(old: Sequence[Machine], new: Machine) -> list[Machine]:
    """All machines, what is new in place of what was measured of the same loop on the same machine before."""
    before = next((machine for machine in old if machine.name == new.name), None)
    known = {speed.setting: speed for speed in (before.speeds if before else ())}
    known.update({speed.setting: speed for speed in new.speeds})
    ordered = tuple(known[setting] for setting in sorted(known, key=_order))
    whole = Machine(new.name, new.software, new.commit, new.ceilings, ordered)
    return sorted([*(m for m in old if m.name != new.name), whole], key=lambda machine: machine.name)


def _order(setting: Setting) -> tuple[object, ...]:
    return not setting.training, setting.arch.depth, setting.arch.residual, setting.precision != "fp32", setting.name


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


def _cells(machine: Machine, speed: Speed) -> tuple[Cell, ...]:
    low, high = speed.interval
    least = max(floor(speed.setting, machine.ceilings))
    single = speed.setting.precision == "fp32"
    found = cells(
        speed.setting.arch.label,
        speed.setting.how,
        speed.setting.precision,
        f"{speed.rate:,.0f}",
        f"{1000 * median(speed.seconds):.1f}",
        f"{speed.ratio:.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{speed.first_seconds:.0f}" if speed.first_seconds >= 10 else f"{speed.first_seconds:.1f}",
        f"{speed.peak_mb:,}",
        f"{100 * least / median(speed.seconds):.0f} %" if single else "",
    )
    return behind(found, _manifest(machine, speed), range(3, len(HEADERS)))


def _manifest(machine: Machine, speed: Speed) -> Manifest:
    """What stands behind the row: every round."""

    def parts() -> list[Part]:
        rounds = [
            [str(number), f"{1000 * ours:.1f}", f"{1000 * reference:.1f}", f"{reference / ours:.2f}"]
            for number, (ours, reference) in enumerate(
                zip(speed.seconds, speed.reference_seconds, strict=True), start=1
            )
        ]
        doing = "Training" if speed.setting.training else "Testing"
        said = f"{doing} in batches of {speed.setting.batch}, {speed.setting.memory_format}, {speed.setting.precision}."
        where = f"{machine.name}; {machine.software}; commit {machine.commit}."
        command = f"python bench/run.py --table throughput --only {speed.setting.net}"
        names = ["round", "ms/iteration", "ms/iteration of the reference", "ratio"]
        return [said, manifest.anew(command), where, grid(rounds, names, range(4))]

    return Manifest(f"{speed.setting.arch.label}, {speed.setting.how}, {speed.setting.precision}", parts)


def _table(machine: Machine, *kinds: bool) -> Table:
    """Of training, of testing, or of both."""
    speeds = [speed for training in kinds for speed in machine.speeds if speed.setting.training == training]
    return Table(HEADERS, [_cells(machine, speed) for speed in speeds], range(3, 10))


def render_terminal(machines: Sequence[Machine]) -> str:
    return "\n\n".join(f"{machine.name}\n{terminal.render(_table(machine, True, False))}" for machine in machines)


def render(machines: Sequence[Machine]) -> str:
    """The page in Markdown."""
    return markdown.render(page(machines))


def page(machines: Sequence[Machine]) -> Page:
    parts: list[Part] = [
        "How fast the harness trains and tests the CIFAR-10 nets, in batches of 128. The *reference loop* is what most "
        "people run: images one by one through PIL in two worker processes, eager, single precision, NCHW, loss and error "
        "read at every iteration. Each round times both, one after the other; the ratio is the geometric mean over rounds, "
        "its interval Student's. Speeds are never held against the paper, nor against another machine's.",
        "The *floor* is the longer of two times: the net's operations (two a multiply-add, backward twice forward) at the "
        "rate of a large matrix product in single precision, and the least bytes (each convolution's output written once "
        "and read once, in training its gradient too, and read once more) at the rate of a large copy.",
    ]
    for machine in machines:
        best = machine.ceilings
        parts += [
            f"## {machine.name}",
            f"{machine.software}; commit {machine.commit}. Matrix product {best.flops / 1e9:,.0f} GFLOP/s, copy "
            f"{best.bytes / 1e9:,.0f} GB/s (bytes read and written).",
        ]
        for training, title in ((True, "Training"), (False, "Testing")):
            if any(speed.setting.training == training for speed in machine.speeds):
                parts += [f"### {title}", _table(machine, training)]
    if not any("NVIDIA" in machine.name for machine in machines):
        parts += ["## GPU", f"missing: `{COMMAND}` on a machine with one."]
    return Page("throughput", "Throughput", parts)

"""The page of `--table harness`: what the harness itself costs, from what `make benchmarks` measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from bench.device import environment
from bench.files import read_as, write_json
from bench.report.page import Cell, Page, Section, Table, Value, behind, cells, grid
from bench.report.render import markdown, terminal
from bench.report.sections import manifest
from bench.report.sections.runs import Found
from bench.studies.cifar_depth import PAPER
from bench.training.checkpoint_interval import seconds_between
from models.arch import parse_arch

FORMAT = 1


@dataclass(frozen=True)
class Figure:
    """One command, timed from its start to its end."""

    name: str
    runs: int
    """That the command deals with; 0 where it deals with none."""
    seconds: tuple[float, ...]
    """Of each round."""
    peak_mb: int
    """Largest resident memory of the command, in all rounds."""
    calls: dict[str, int] | None
    """Calls of the scheduler's programs in a round."""
    calls_of_ten: dict[str, int] | None
    """The same for a table of ten runs."""


@dataclass(frozen=True)
class Figures:
    """What was measured, and where."""

    machine: str
    python: str
    slurm: str
    commit: str
    figures: tuple[Figure, ...]


APART = PAPER.evaluate_every
"""Iterations between two evaluation points of the paper's schedule."""


@dataclass(frozen=True)
class Overhead:
    """Where the time of a real run went until it was stopped after an evaluation point: seconds, as its checkpoint has them."""

    net: str
    execution: str
    iterations: int
    points: int
    saves: int
    wall: float
    first: float
    """Until the first iteration was done, compiling included. Once a run, and in none of the shares."""
    training: float
    """All iterations, the first included."""
    evaluation: float
    checkpoints: float
    metrics: float

    @property
    def iteration(self) -> float:
        return (self.training - self.first) / (self.iterations - 1)

    @property
    def estimated(self) -> bool:
        """Whether fewer were trained than lie between two points, so that their time is put together from its parts."""
        return self.iterations < APART

    @property
    def shares(self) -> dict[str, float]:
        """Percent of the time from one point to the next that is no training iteration, by part; `all` of them last."""
        steady = self.wall - self.first
        other = steady - (self.training - self.first) - self.evaluation - self.checkpoints - self.metrics
        parts = {
            "evaluation": self.evaluation,
            "checkpoints": self.checkpoints,
            "metrics": self.metrics,
            "other": other,
        }
        if self.estimated:
            evaluation = self.evaluation / self.points
            cost = self.checkpoints / max(1, self.saves)
            saves = 1 + (APART * self.iteration + evaluation) / seconds_between(cost)  # one more at the point
            of_steady = {name: seconds / steady for name, seconds in parts.items()}
            parts["evaluation"], parts["checkpoints"] = evaluation, saves * cost
            fixed = APART * self.iteration + parts["evaluation"] + parts["checkpoints"]
            steady = fixed / (1 - of_steady["metrics"] - of_steady["other"])
            parts |= {name: of_steady[name] * steady for name in ("metrics", "other")}
        found = {name: 100 * seconds / steady for name, seconds in parts.items()}
        return {**found, "all": sum(found.values())}


@dataclass(frozen=True)
class Overheads:
    """What runs of each depth spend beside training, and where that was measured."""

    machine: str
    software: str
    commit: str
    overheads: tuple[Overhead, ...]


@dataclass(frozen=True)
class Beside:
    """A run's speed beside one busy process: images per second of each turn without and with it."""

    net: str
    execution: str
    threads: int
    spin: int
    """GOMP_SPINCOUNT: rounds of the loop in which an idle OpenMP thread waits before it sleeps."""
    quiet: tuple[float, ...]
    beside: tuple[float, ...]

    @property
    def kept(self) -> float:
        """Percent of the quiet speed."""
        return 100 * median(self.beside) / median(self.quiet)


@dataclass(frozen=True)
class Besides:
    """What runs keep of their speed beside another program, and where that was measured."""

    machine: str
    software: str
    commit: str
    besides: tuple[Beside, ...]


BESIDE_NET = "resnet-20-A"
SPINS = (0, 20_000, 300_000)
"""Of OpenMP's threads: sleep at once, the harness's former value, and about what GNU's library does by itself."""

AIMS = {
    "help": "1 s", "dry_run": "1 s", "complexity": "60 s", "plan_and_submit": "10 s", "status": "2 s",
    "report": "10 s, 1,000 MB",
}  # fmt: skip
WORDS = {
    "help": "`--help`",
    "dry_run": "`--table cifar_depth --seeds 5 --dry-run`",
    "complexity": "`--table complexity`, ResNet-1202 among its nets",
    "plan_and_submit": "`--cluster slurm`: plan and submit, nothing sent before",
    "status": "`--status`, all of them queued",
    "report": "`--report` from finished runs of the paper's length",
}
NETS = ("resnet-20-A", "resnet-32-A", "resnet-44-A", "resnet-56-A", "resnet-110-A", "resnet-1202-A")
"""Whose overhead is measured: every depth."""


def save(path: Path, figures: Figures) -> None:
    write_json(path, {"format": FORMAT, **asdict(figures)})


def load(path: Path) -> Figures:
    """The committed figures. Raises UserError where the file is missing, damaged or of another version."""
    return read_as(Figures, path, FORMAT, MEASURE)


def save_overheads(path: Path, overheads: Overheads) -> None:
    write_json(path, {"format": FORMAT, **asdict(overheads)})


def load_overheads(path: Path) -> Overheads | None:
    """The committed shares; None where there are none yet. Raises UserError where the file is damaged."""
    if not path.exists():
        return None
    return read_as(Overheads, path, FORMAT, MEASURE)


def save_besides(path: Path, besides: Besides) -> None:
    write_json(path, {"format": FORMAT, **asdict(besides)})


def load_besides(path: Path) -> Besides | None:
    """The committed speeds; None where there are none yet. Raises UserError where the file is damaged."""
    return read_as(Besides, path, FORMAT, MEASURE) if path.exists() else None


MEASURE = "measure again with `make benchmarks`"
HEADERS = ["command", "runs", "seconds, median", "lowest", "highest", "rounds", "memory, MB", "aim"]
NUMERIC = (1, 2, 3, 4, 5, 6)


OVERHEAD_HEADERS = [
    "net", "execution", "iterations trained", "ms/iteration", "evaluation", "checkpoints", "metrics", "other", "in all", "aim",
]  # fmt: skip
OVERHEAD = "harness.overhead.json"
BESIDE = "harness.beside.json"
"""In tables/measured, both."""
BESIDE_HEADERS = [
    "net", "execution", "threads", "GOMP_SPINCOUNT", "images/s, quiet", "beside a busy process", "kept", "aim",
]  # fmt: skip


def table(figures: Figures) -> Table:
    known = {figure.name: figure for figure in figures.figures}
    lines = [
        _row(figures, known[name])
        if name in known
        else cells(words, "", Cell("missing", "missing"), "", "", "", "", AIMS[name])
        for name, words in WORDS.items()
    ]
    return Table(HEADERS, lines, NUMERIC)


def _row(figures: Figures, figure: Figure) -> tuple[Cell, ...]:
    found = cells(
        WORDS[figure.name],
        f"{figure.runs:,}" if figure.runs else "",
        f"{median(figure.seconds):.2f}",
        f"{min(figure.seconds):.2f}",
        f"{max(figure.seconds):.2f}",
        str(len(figure.seconds)),
        f"{figure.peak_mb:,}",
        AIMS[figure.name],
    )
    rounds = "seconds of each round: " + ", ".join(f"{seconds:.2f}" for seconds in figure.seconds)
    return behind(found, manifest.of_benchmark(WORDS[figure.name], rounds, _where(figures)), range(2, 7))


def overhead_table(overheads: Overheads | None) -> Table:
    known = {overhead.net: overhead for overhead in overheads.overheads} if overheads else {}
    lines = []
    for net in NETS:
        name, aim = parse_arch(net).label, "5 %"
        if (one := known.get(net)) is None:
            lines.append(cells(name, "", "", "", Cell("missing", "missing"), "", "", "", "", aim))
        else:
            shares = [f"{share:.1f} %" for share in one.shares.values()]
            trained = f"{one.iterations:,}" + (", the rest estimated" if one.estimated else "")
            lines.append(cells(name, one.execution, trained, f"{1000 * one.iteration:.0f}", *shares, aim))
    return Table(OVERHEAD_HEADERS, lines, range(2, 9))


def beside_table(besides: Besides | None) -> Table:
    known = {(one.net, one.spin): one for one in besides.besides} if besides else {}
    lines = []
    for spin in SPINS:
        name, count, aim = parse_arch(BESIDE_NET).label, f"{spin:,}", "50 %"
        if (one := known.get((BESIDE_NET, spin))) is None:
            lines.append(cells(name, "", "", count, Cell("missing", "missing"), "", "", aim))
        else:
            speeds = (f"{median(one.quiet):,.0f}", f"{median(one.beside):,.0f}", f"{one.kept:.0f} %")
            lines.append(cells(name, one.execution, str(one.threads), count, *speeds, aim))
    return Table(BESIDE_HEADERS, lines, range(2, 7))


def render_terminal(found: Found) -> str:
    """The columns that fit a terminal."""
    path = found.measured / "harness.json"
    tables = (table(load(path)), overhead_table(load_overheads(path.with_name(OVERHEAD))))
    return "\n\n".join(map(terminal.render, (*tables, beside_table(load_besides(path.with_name(BESIDE))))))


def render(figures: Figures, overheads: Overheads | None, besides: Besides | None = None) -> str:
    """The page in Markdown."""
    return markdown.render(page(figures, overheads, besides))


def page(figures: Figures, overheads: Overheads | None, besides: Besides | None) -> Page:
    return Page(
        "harness",
        "The harness itself",
        [
            "What a person waits for, with many runs. Each figure is a whole command, from the start of Python to its end.",
            table(figures),
            _traffic(figures),
            f"Measured on {_where(figures)}. `make benchmarks` measures anew. Nothing is asserted on seconds.",
            "## A run's own overhead",
            f"Share of {APART} iterations, evaluated at their end, that is no training: tests of 10,000 images, checkpoints, "
            "curves with logs and heartbeats, and all else. Each from a real run on CIFAR-10 by the paper's recipe, started "
            "by the command and stopped after its first evaluation point. What is done once a run (starting, compiling, and "
            "a test of the 50,000 training images at the end) is not in it. Where fewer were trained, their time is put "
            "together from the measured parts, with as many checkpoints as there would be: one each minute, or fewer where "
            "they would take over half a percent of the time.",
            overhead_table(overheads),
            f"Measured on {overheads.machine}, {overheads.software}; commit {overheads.commit}."
            if overheads
            else "missing: `make benchmarks` measures them.",
            "## Speed beside another program",
            "A compiled run on all cores, while another program keeps one core busy. Quiet and busy seconds take turns; each "
            "figure is the median of five turns. The threads of OpenMP wait for each other after each operation. A thread "
            "that waits in a loop holds its core from the others; a thread that sleeps gives the core away at once. "
            f"The harness sets {environment.ENVIRONMENT['GOMP_SPINCOUNT']} rounds; `GOMP_SPINCOUNT` in the shell wins. "
            "The rounds change no bit of a result.",
            beside_table(besides),
            f"Measured on {besides.machine}, {besides.software}; commit {besides.commit}."
            if besides
            else "missing: `make benchmarks` measures them.",
        ],
        _values(figures, overheads, besides),
    )


def _values(figures: Figures, overheads: Overheads | None, besides: Besides | None) -> list[Value]:
    """The time and memory of each command, the share of a run's time that is no training, and speeds beside a program."""
    found = []
    for figure in figures.figures:
        base = Value(figure.name, "time", "s", f"{figure.runs} runs" if figure.runs else "", source=figures.machine)
        found.append(replace(base, measured=float(median(figure.seconds))))
        found.append(replace(base, quantity="peak memory", unit="MB", measured=figure.peak_mb))
    for one in overheads.overheads if overheads else ():
        for part, share in one.shares.items():
            base = Value(parse_arch(one.net).label, f"overhead: {part}", "%", one.execution)
            found.append(replace(base, measured=share, source=overheads.machine if overheads else ""))
    for speed in besides.besides if besides else ():
        condition = f"{speed.execution}, {speed.threads} threads, GOMP_SPINCOUNT {speed.spin}"
        base = Value(parse_arch(speed.net).label, "speed, quiet", "images/s", condition)
        base = replace(base, source=besides.machine if besides else "")
        found.append(replace(base, measured=float(median(speed.quiet))))
        beside = float(median(speed.beside))
        found.append(replace(base, quantity="speed, beside a busy process", measured=beside))
    return found


def _where(figures: Figures) -> str:
    return (
        f"{figures.machine}, Python {figures.python}, {figures.slurm}, on one machine with its scheduler; "
        f"commit {figures.commit}"
    )


def _traffic(figures: Figures) -> Section:
    shown = [figure for figure in figures.figures if figure.calls is not None]
    lines = [
        [WORDS[figure.name], count, _said(calls)]
        for figure in shown
        for count, calls in ((f"{figure.runs:,}", figure.calls), ("10", figure.calls_of_ten))
    ]
    return Section("Calls of the scheduler's programs", [grid(lines, ["command", "runs", "calls"], (1,))])


def _said(calls: dict[str, int] | None) -> str:
    return ", ".join(f"{count} {name}" for name, count in (calls or {}).items()) or "none"


def pages(found: Found) -> Iterator[Page]:
    """The page of what is committed; none where nothing is."""
    if (path := found.measured / "harness.json").exists():
        yield page(load(path), load_overheads(path.with_name(OVERHEAD)), load_besides(path.with_name(BESIDE)))

"""The page of `--table throughput`: how fast nets train and are tested, beside the common loop and the machine's best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

from bench.measure.speed import records
from bench.measure.speed.ceilings import Ceilings, least_bytes, multiply_adds
from bench.measure.speed.records import THIRD_MINUTE, Machine, Session, Speed, label
from bench.measure.speed.settings import WHOLE, WHOLES, WholeRun, settings
from bench.report.figures import throughput as picture
from bench.report.page import Cell, Manifest, Page, Part, Picture, Table, Value, behind, cells, grid
from bench.report.render import markdown, terminal
from bench.report.sections import manifest
from bench.report.sections.runs import Found

COMMAND = "python bench/run.py --table throughput --publish"
WHOLE_COMMAND = f"python bench/run.py --table throughput --only '{WHOLE}*' --publish"
AIMS = {"resnet-20-A": 1.7, "resnet-56-A": 1.6, "resnet-110-A": 1.6}
"""Of a whole run on a CPU, in times the reference loop, from the third minute on."""
BUSY = 0.5
"""Cores a thread of ours that others had in use before: from here on they were in the way."""
HEADERS = [
    "net", "execution", "precision", "layout", "batch", "images/s", "the reference's", "ratio", "95 % interval",
    "ms/iteration", "first iteration, s", "peak, MB", "multiply-adds", "least bytes", "of the product", "of the copy",
]  # fmt: skip
NUMERIC = range(4, len(HEADERS))
NARROW = (0, 1, 2, 3, 4, 5, 7, 8, 10, 11)
FIRST, KEYS = (0, 1, 2, 3, 4, 5, 7, 8), (0, 1, 2, 3, 4)
WHOLE_HEADERS = [
    "net", "execution", "precision", "images", "minutes", "images/s", "the reference's", "ratio",
    "images/s, from the third minute on", "the reference's, from then on", "ratio, from then on", "aim",
]  # fmt: skip
WHOLE_FIRST, WHOLE_KEYS = (0, 1, 2, 3, 5, 7, 10, 11), (0, 1, 2)


def _cells(speed: Speed, best: Ceilings) -> tuple[Cell, ...]:
    setting, (low, high), (product, copied) = speed.setting, speed.interval, speed.of_ceilings(best)
    found = cells(
        label(setting.net),
        setting.how,
        setting.precision,
        "NHWC" if setting.memory_format == "channels_last" else "NCHW",
        str(setting.batch),
        f"{speed.rate:,.0f}",
        f"{speed.reference_rate:,.0f}",
        f"{speed.ratio:.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{1000 * median(speed.seconds):.1f}",
        f"{speed.first_seconds:.0f}" if speed.first_seconds >= 10 else f"{speed.first_seconds:.1f}",
        f"{speed.peak_mb:,}",
        f"{multiply_adds(setting) / 1e9:,.1f} G",
        f"{least_bytes(setting) / 1e6:,.0f} MB",
        f"{100 * product:.0f} %" if product else "not measured",
        f"{100 * copied:.0f} %",
    )
    return behind(found, _manifest(speed), range(5, len(HEADERS)))


def _manifest(speed: Speed) -> Manifest:
    """What stands behind the row: every round."""
    setting = speed.setting

    def parts() -> list[Part]:
        pairs = zip(speed.seconds, speed.reference_seconds, strict=True)
        rounds = [
            [str(number), f"{1000 * ours:.1f}", f"{1000 * reference:.1f}", f"{reference / ours:.2f}"]
            for number, (ours, reference) in enumerate(pairs, start=1)
        ]
        command = f"python bench/run.py --table throughput --only {setting.net}"
        names = ["round", "ms/iteration", "ms/iteration of the reference", "ratio"]
        return [manifest.anew(command), grid(rounds, names, range(4))]

    doing = "training" if setting.training else "testing"
    return Manifest(f"{label(setting.net)}, {doing}, {setting.how}, {setting.precision}", parts)


def _table(speeds: Sequence[Speed], best: Ceilings) -> Table:
    return Table(HEADERS, [_cells(speed, best) for speed in speeds], NUMERIC, NARROW, FIRST, KEYS)


def _whole_table(machine: Machine) -> Table:
    rows = []
    for whole in machine.wholes:
        line = [label(whole.net), whole.execution, whole.precision, whole.images, f"{whole.ours[-1][0] / 60:.0f}"]
        for start in (0.0, THIRD_MINUTE):
            rates = whole.rates(start)
            line += [f"{rates[0]:,.0f}", f"{rates[1]:,.0f}", f"{rates[0] / rates[1]:.2f}"] if rates else ["", "", ""]
        aim = AIMS.get(whole.net) if machine.kind == "cpu" else None
        rows.append([*line, f"{aim}" if aim else ""])
    return Table(WHOLE_HEADERS, [cells(*row) for row in rows], range(4, 12), (), WHOLE_FIRST, WHOLE_KEYS)


def render_terminal(machines: Sequence[Machine]) -> str:
    parts = []
    for machine in machines:
        parts += [machine.name, *map(_words, machine.sessions)]
        for training, what in ((True, "training"), (False, "testing")):
            shown = [speed for speed in machine.speeds if speed.setting.training == training]
            parts += [f"{what}\n{terminal.render(_table(shown, machine.ceilings))}"] if shown else []
        parts += [terminal.render(_whole_table(machine))] if machine.wholes else []
    return "\n\n".join(parts)


def render(machines: Sequence[Machine]) -> str:
    """The page in Markdown."""
    return markdown.render(page(machines))


def page(machines: Sequence[Machine]) -> Page:
    timed = [machine for machine in machines if machine.speeds]
    drawn = Picture(
        "throughput",
        "Images per second over the reference loop's, and over the floor's",
        "Left: how many times as fast as the reference loop. Right: how near to the floor. Darker is nearer to the machine; "
        "hollow is NCHW.",
        lambda: picture.draw(timed),
    )
    parts: list[Part] = [
        "How fast the harness trains and tests the nets of the paper. Every figure stands beside the *reference loop*, timed "
        "in the same minutes: what most people run, eager, single precision, NCHW, PyTorch's own defaults, loss and "
        "error read at every iteration. "
        "Each round times both, one after the other; the ratio is the geometric mean over rounds, its interval Student's. "
        "Speeds are never held against the paper, nor against another machine's.",
        "**CIFAR-10 nets**: the reference loads its images one by one through PIL in two worker processes; ours are cropped, "
        "flipped and normalised a batch at a time on the device. **ImageNet nets**: both loops find their batch decoded in "
        "memory, so that the nets alone are compared; ours still adds colour noise and normalises, and its batch norm sees "
        "groups of 32, as its runs do. [What loading costs](loading.md) is timed by itself. Images are random. ResNet-1202 "
        "and the ImageNet nets have small batches on a CPU, to fit a laptop's memory.",
        "The *first iteration* counts from a process with PyTorch loaded to the end of its first iteration, compiled with "
        "cold caches. *Peak* is memory above that process's: of a GPU what tensors take, else resident memory, the images of "
        "CIFAR-10's size included. *Multiply-adds* and *least bytes* are of an iteration: backward costs twice forward; each "
        "convolution's output is written once and read once, in training its gradient too, and it is read once more. The "
        "last two columns are the rates of these over the machine's best: a large matrix product in the same precision (two "
        "operations a multiply-add), and a large copy, both measured in these sessions; the best of them counts. The "
        "larger of the two is how near an iteration comes to its *floor*.",
        *([drawn] if timed else []),
    ]
    for machine in machines:
        parts += _of_machine(machine)
    if not any(machine.kind == "cuda" for machine in machines):
        parts += [
            "## GPU",
            f"missing: `{COMMAND}` on a machine with one. None could be reached where this was measured.",
        ]
    values = [value for machine in machines for speed in machine.speeds for value in _values(speed, machine)]
    return Page("throughput", "Throughput", parts, values)


def _values(speed: Speed, machine: Machine) -> list[Value]:
    """The speed of a loop on a machine, and its ratio to the reference loop's with a 95 % interval."""
    setting, (low, high) = speed.setting, speed.interval
    layout = "NHWC" if setting.memory_format == "channels_last" else "NCHW"
    doing = "training" if setting.training else "testing"
    condition = f"{doing}, {setting.how}, {layout}, batch {setting.batch}"
    base = Value(label(setting.net), "speed", "images/s", condition, precision=setting.precision, source=machine.name)
    ratio = replace(
        base, quantity="speed over the reference loop's", unit="1", measured=speed.ratio, low=low, high=high
    )
    return [
        replace(base, measured=speed.rate),
        replace(base, quantity="speed of the reference loop", measured=speed.reference_rate),
        ratio,
        replace(base, quantity="first iteration", unit="s", measured=speed.first_seconds),
        replace(base, quantity="peak memory", unit="MB", measured=speed.peak_mb),
    ]


def _of_machine(machine: Machine) -> list[Part]:
    parts: list[Part] = [f"## {machine.name}", "\n".join(f"- {_words(session)}" for session in machine.sessions)]
    for family, name in (("cifar", "CIFAR-10"), ("imagenet", "ImageNet")):
        for training, what in ((True, "training"), (False, "testing")):
            shown = [s for s in machine.speeds if s.setting.arch.family == family and s.setting.training == training]
            if shown:
                parts += [f"### {name}, {what}", _table(shown, machine.ceilings)]
    parts += _whole(machine)
    known = {speed.setting for speed in machine.speeds}
    lacking = [setting for setting in settings(machine.kind) if setting not in known]
    if lacking:
        names = "; ".join(
            f"{what}: " + ", ".join(dict.fromkeys(label(s.net) for s in lacking if s.training == training))
            for training, what in ((True, "training"), (False, "testing"))
            if any(s.training == training for s in lacking)
        )
        parts += [f"Not measured here yet, wholly or in some way of executing: {names}. `{COMMAND}` measures all."]
    return parts


def _whole(machine: Machine) -> list[Part]:
    """The section on whole runs."""
    text = (
        "A run as `--table cifar_depth` starts it, from the start of Python, with its compiling, tests, checkpoints and "
        "records; and the reference loop with a test and a checkpoint after each epoch. In turns of seconds, held while it is "
        "another's, so that a machine that slows down slows both; each to the end of an epoch. Once each, so that there is no "
        "interval."
    )
    parts: list[Part] = ["### Whole runs", text]
    if machine.wholes:
        parts += [_whole_table(machine)]
    if lacking := [run for run in WHOLES if run not in {whole.run for whole in machine.wholes}]:
        parts += [f"Not measured here yet: {', '.join(map(_named, lacking))}. `{WHOLE_COMMAND}` measures them."]
    return parts


def _named(run: WholeRun) -> str:
    return label(run.net) + (f" in {run.precision}" if run.precision != "fp32" else "")


def _words(session: Session) -> str:
    """A session in a line: when, what and how the machine was."""
    best = session.ceilings
    products = ", ".join(f"{name} {flops / 1e9:,.0f}" for name, flops in best.flops.items())
    words = [session.date, session.software, f"commit {session.commit}"]
    words += [f"{session.threads} threads"] if session.threads else []
    words += ["clocks " + ", ".join(f"{name} {mhz:,.0f} MHz" for name, mhz in session.clocks)] if session.clocks else []
    if session.load is not None:
        busy = session.load > BUSY * (session.threads or 1)
        words += [f"load before {session.load:.1f}" + (" (busy: these figures are worth little)" if busy else "")]
    words += [f"matrix product {products} GFLOP/s", f"copy {best.bytes / 1e9:,.0f} GB/s (read and written)"]
    return "; ".join(word for word in words if word) + "."


def pages(found: Found) -> Iterator[Page]:
    """The page of all machines that were timed: those that are committed, and this one."""
    yield page(records.load_all(*(folder / "throughput.json" for folder in reversed(found.folders))))

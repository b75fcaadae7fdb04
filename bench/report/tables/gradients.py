"""The page of `--table gradients`: do signals and gradients vanish, with batch norm and without, with shortcuts and without?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median

from bench.inside import GradientRun
from bench.measure.flow import Chain, Point, Ratio, backward, chain, forward, of_weights
from bench.measure.flow import read as points_of
from bench.report import manifest, terminal
from bench.report.figures import gradients as pictures
from bench.report.page import Cell, Figure, Manifest, Page, Part, Section, Table, behind, cells, grid
from bench.report.runs import Found, net, provenance
from bench.report.tables.inside import measured as section_of
from bench.report.verdicts import claims
from bench.report.verdicts.claims import Setting
from bench.spec import Arch, RunSpec, Schedule
from bench.store import Finished
from bench.studies import gradients as study
from bench.studies.cifar_depth import DEFAULT_DATASET
from bench.studies.gradients import ARCHS, CHAIN, CONDITIONS, PROBE_IMAGES, Condition

TABLE = "gradients"
FAR = 1000.0
"""From one end of a net to the other: a signal that falls by more vanishes, one that grows by more explodes."""

Run = Finished[GradientRun]


@dataclass(frozen=True)
class Variant:
    """What separates one page of this table from another."""

    schedule: Schedule
    dataset: str

    @staticmethod
    def of(spec: GradientRun) -> Variant:
        return Variant(spec.recipe.schedule, spec.dataset)

    @property
    def name(self) -> str:
        """`gradients`, `gradients.short`, ...: the file name of page and figures."""
        parts = [TABLE, *([self.schedule] if self.schedule != "paper" else [])]
        return ".".join([*parts, *([self.dataset] if self.dataset != DEFAULT_DATASET[self.schedule] else [])])

    @property
    def comparable(self) -> bool:
        """Whether its nets are trained as the paper's are."""
        return self == PAPER

    @property
    def command(self) -> str:
        """The command that computes the runs of a page."""
        words = ["python bench/run.py --table gradients"]
        words += [f"--schedule {self.schedule}"] if self.schedule != "paper" else []
        words += [f"--dataset {self.dataset}"] if self.dataset != DEFAULT_DATASET[self.schedule] else []
        return " ".join(words)


PAPER = Variant("paper", "cifar10")


@dataclass(frozen=True)
class Row:
    """A net under one condition, with its runs, seeds in order."""

    arch: Arch
    condition: Condition
    runs: tuple[Run, ...]

    @cached_property
    def points(self) -> list[list[Point]]:
        """What was measured of each run, read once."""
        return [points_of(run.folder) for run in self.runs]

    def at(self, ratio: Ratio, share: float) -> float | None:
        """The ratio after that share of the iterations, or the last point before: the geometric mean over runs."""
        values = []
        for run, points in zip(self.runs, self.points, strict=True):
            before = [point for point in points if point.iteration <= share * run.spec.recipe.iterations]
            ended = run.result.status == "diverged" and share * run.spec.recipe.iterations > run.result.iterations
            values.append(None if ended or not before else ratio(before[-1]))
        return geometric(values)

    @property
    def shares(self) -> list[float]:
        """What measuring took, of the time that each run took without it; of runs that were trained to their end."""
        found = []
        for run, points in zip(self.runs, self.points, strict=True):
            took = sum(point.seconds for point in points)
            if run.result.status == "done":
                found.append(took / (run.result.wall_seconds - took))
        return found


def geometric(values: Sequence[float | None]) -> float | None:
    """The geometric mean; None for none, or where one is not known."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return 0.0 if min(known) <= 0 else math.exp(fmean(math.log(value) for value in known))


def rows(found: Found, variant: Variant) -> list[Row]:
    """A row for each net of the study under each condition, and for each other CIFAR net that has runs of this variant."""
    of: dict[tuple[Arch, Condition], list[Run]] = {(a, c): [] for a in ARCHS for c in CONDITIONS}
    for one in found.watched.values():
        spec = one.spec
        condition = Condition(spec.batch_norm, spec.init_scale)
        if spec == study.run(spec.arch, condition, variant.schedule, variant.dataset, spec.seed):
            of.setdefault((spec.arch, condition), []).append(one)
    order = sorted(of, key=lambda key: (key[0].depth, key[0].residual, CONDITIONS.index(key[1])))
    return [Row(*key, tuple(sorted(of[key], key=lambda one: one.spec.seed))) for key in order]


def variants(found: Found) -> set[Variant]:
    """The pages for which something is measured."""
    return {PAPER, *(Variant.of(run.spec) for run in found.watched.values())}


def claimed(found: Found, variant: Variant) -> Setting:
    """What the claims of this table are judged under: nets with batch norm and He's weights, as the paper has them."""
    ours = {id_: run for id_, run in found.watched.items() if run.spec.batch_norm and run.spec.init_scale == 1}

    def spec(arch: Arch) -> RunSpec:
        return RunSpec(arch, study.recipe(arch, variant.schedule, variant.dataset), variant.dataset, 0)

    return Setting(TABLE, variant.schedule, variant.comparable, spec, ours)


def word(ratio: float | None) -> str:
    """What a ratio from one end of a net to the other says."""
    if ratio is None:
        return ""
    return "vanishes" if ratio < 1 / FAR else "explodes" if ratio > FAR else "keeps"


def number(value: float | None) -> str:
    """Two digits, with a power of ten where that is shorter."""
    if value is None:
        return ""
    return f"{value:.2g}" if value == 0 or 0.001 <= abs(value) < 1000 else f"{value:.1e}"


INITIAL = [
    "net", "batch norm", "weights", "runs", "forward: last over first", "a layer", "", "backward: first over last",
    "a layer", "", "weights' gradient: first over last",
]  # fmt: skip


def _initial(row: Row, variant: Variant) -> tuple[Cell, ...]:
    """Ratios before the first iteration."""
    layers = row.arch.depth - 2  # steps from the first to the last convolution
    ahead, back = row.at(forward, 0), row.at(backward, 0)
    found = cells(
        *_name(row),
        str(len(row.runs)) if row.runs else "missing",
        number(ahead), _each(ahead, layers), word(ahead),
        number(back), _each(back, layers), word(back),
        number(row.at(of_weights, 0)),
    )  # fmt: skip
    return behind(found, _manifest(row, variant), range(3, len(INITIAL)))


def _name(row: Row) -> list[str]:
    return [net(row.arch), "yes" if row.condition.batch_norm else "no", f"He × {row.condition.scale:g}"]


def _each(ratio: float | None, layers: int) -> str:
    """The factor of one layer that makes this ratio over so many."""
    return "" if not ratio else f"{ratio ** (1 / layers):.2f}"


THROUGH = [
    "net", "batch norm", "weights", "training", "forward: at first", "half-way", "at the end", "backward: at first",
    "half-way", "at the end", "weights' gradient: at first", "half-way", "at the end",
]  # fmt: skip


def _through(row: Row) -> list[str]:
    ratios = (forward, backward, of_weights)
    return [*_name(row), _ending(row), *(number(row.at(ratio, share)) for ratio in ratios for share in (0, 0.5, 1))]


def _ending(row: Row) -> str:
    """How the training of a row ended."""
    errors = [run.result.test_error for run in row.runs if run.result.test_error is not None]
    lost = [f"{run.result.iterations:,}" for run in row.runs if run.result.status == "diverged"]
    said = [f"test error {fmean(errors):.1f} %"] if errors else []
    return "; ".join([*said, *([f"diverged within {', '.join(lost)} iterations"] if lost else [])]) or "missing"


SPREAD = [
    "net", "batch norm", "weights", "first layer, at first: mean", "variance", "last layer, at first: mean", "variance",
    "first layer, at the end: mean", "variance", "last layer, at the end: mean", "variance",
]  # fmt: skip


def _spread(row: Row) -> list[str]:
    """Mean and variance of the gradient's elements, at both ends of the net and of the training, of the first seed."""
    found = _name(row)
    for point in (row.points[0][0], row.points[0][-1]):
        for layer in (0, -2):
            found += [number(point.mean[layer]), number(point.variance[layer])]
    return found


def _manifest(row: Row, variant: Variant) -> Manifest:
    """What stands behind the row."""
    title = f"{net(row.arch)}, {row.condition.label}, schedule {variant.schedule}"
    only = study.run(row.arch, row.condition, variant.schedule, variant.dataset, 0).name
    if not row.runs:
        return manifest.of_nothing(title, f"{variant.command} --only {only}", None)
    again = f"{variant.command} --only {only} --seeds {1 + max(run.spec.seed for run in row.runs)} --force"
    quantities = (("test error", lambda run: run.result.test_error),)
    return manifest.of_runs(title, row.runs, quantities, lambda spec: [], lambda spec: [], again)


def _initials(all_rows: Sequence[Row], variant: Variant) -> Table:
    return Table(INITIAL, [_initial(row, variant) for row in all_rows], (3, 4, 5, 7, 8, 10), (0, 1, 2, 4, 6, 7, 9))


def render_terminal(found: Found, variant: Variant) -> str:
    """The columns that fit a terminal: at initialisation."""
    return terminal.render(_initials(rows(found, variant), variant))


TITLES: dict[Schedule, str] = {
    "paper": "Gradients and signals of every layer, through training",
    "short": "Gradients and signals of every layer, through a 400th of the paper's iterations",
    "smoke": "Gradients and signals of every layer, the smoke schedule",
}


def page(found: Found, variant: Variant) -> Page:
    all_rows = rows(found, variant)
    shown = [row for row in all_rows if row.runs]
    runs = [run for row in shown for run in row.runs]
    title = TITLES[variant.schedule] + ("" if variant.dataset == "cifar10" else f" on {variant.dataset}")
    missing = len(shown) < len(all_rows)
    return Page(
        variant.name,
        title,
        [
            "Section 4.1 of the paper: that deep plain nets degrade is unlikely to be a matter of vanishing gradients, since "
            "with batch norm signals keep a variance on their way forward, and gradients keep healthy norms on their way back. "
            "The paper prints no number on it. Here they are, with batch norm and without, from He's initial weights, from "
            "half of them and from twice.",
            grid([_seen(finding, all_rows) for finding in FINDINGS], SEEN),
            f"To *vanish* is to fall by more than {FAR:,.0f} times from one end of the 3x3 convolutions to the other, to "
            "*explode* to grow by as much. The ratios are the worst of all runs and, where it says so, of all points of their "
            "training.",
            f"What is missing is filled by `{variant.command}`, some nets alone with `--only`." if missing else "",
            *(_figures(shown, variant) if runs else []),
            "## At initialisation",
            _initials(all_rows, variant),
            "*A layer*: the factor which, over all layers, makes the ratio before it: what a is in the chain below.",
            *(_trained(shown) if runs else []),
            *claims.section(claims.of_setting(claimed(found, variant)), variant.comparable),
            *_chain(),
            _definitions(),
            *_cost(shown),
            *_training(runs),
            *provenance(runs),
        ],
    )


def _trained(shown: Sequence[Row]) -> list[Part]:
    return [
        "## Through training",
        grid([_through(row) for row in shown], THROUGH, range(4, 13)),
        Section("Mean and variance of the gradient", [grid([_spread(row) for row in shown], SPREAD, range(3, 11))]),
    ]


@dataclass(frozen=True)
class Finding:
    """A sentence on some rows, true of them where a ratio of all of them lies in a range. No test: it says what was seen."""

    sentence: str
    whose: str
    wanted: Callable[[Row], bool]
    ratio: Ratio
    low: float = 0.0
    high: float = math.inf
    through_training: bool = False

    def holds(self, ratio: float) -> bool:
        return self.low <= ratio <= self.high

    def worst(self, row: Row) -> float | None:
        """Of the ratios that it is about, the one that is nearest to leaving the range, or furthest out of it."""
        points = [found if self.through_training else found[:1] for found in row.points]
        ratios = [ratio for of_run in points for point in of_run if (ratio := self.ratio(point)) is not None]
        if not ratios:
            return None
        return min(ratios, key=lambda ratio: min(_log(ratio) - _log(self.low), _log(self.high) - _log(ratio)))


def _log(value: float) -> float:
    return math.log(value) if 0 < value < math.inf else (-1e9 if value <= 0 else 1e9)


def _with(residual: bool, batch_norm: bool, *scales: float) -> Callable[[Row], bool]:
    how = [Condition(batch_norm, scale) for scale in scales]
    return lambda row: row.arch.residual == residual and row.condition in how


FINDINGS = (
    Finding(
        "With batch norm, signals of plain nets do not vanish forward: not at first", "the paper",
        _with(False, True, 1.0), forward, low=1 / FAR,
    ),
    Finding(
        "... nor while they are trained.", "the paper",
        _with(False, True, 1.0), forward, low=1 / FAR, through_training=True,
    ),
    Finding(
        "With batch norm, gradients of plain nets do not vanish backward: not at first", "the paper",
        _with(False, True, 1.0), backward, low=1 / FAR,
    ),
    Finding(
        "... nor while they are trained.", "the paper",
        _with(False, True, 1.0), backward, low=1 / FAR, through_training=True,
    ),
    Finding(
        "Nor do they explode backward: their norms are healthy either way.", "the paper, read strictly",
        _with(False, True, 1.0), backward, high=FAR,
    ),
    Finding(
        "With batch norm, gradients of residual nets neither vanish nor explode backward.", "ours",
        _with(True, True, 1.0), backward, low=1 / FAR, high=FAR, through_training=True,
    ),
    Finding(
        "With batch norm nothing vanishes in plain nets at first from half and from twice He's weights either.", "ours",
        _with(False, True, 0.5, 2.0), backward, low=1 / FAR,
    ),
    Finding(
        "Without it, from He's weights, gradients of plain nets do not vanish at first.", "lectures",
        _with(False, False, 1.0), backward, low=1 / FAR,
    ),
    Finding(
        "Without it, from half of He's weights, signals of plain nets vanish forward", "lectures",
        _with(False, False, 0.5), forward, high=1 / FAR,
    ),
    Finding("... and their gradients vanish backward.", "lectures", _with(False, False, 0.5), backward, high=1 / FAR),
    Finding(
        "Without it, from twice He's weights, signals of plain nets explode forward", "lectures",
        _with(False, False, 2.0), forward, low=FAR,
    ),
    Finding("... and their gradients explode backward.", "lectures", _with(False, False, 2.0), backward, low=FAR),
    Finding(
        "Without it, from half of He's weights, shortcuts keep the gradient of residual nets from vanishing.", "lectures",
        _with(True, False, 0.5), backward, low=1 / FAR,
    ),
)  # fmt: skip


SEEN = ["what is said", "by whom", "of", "ratio, by layers", "seen"]


def _seen(finding: Finding, all_rows: Sequence[Row]) -> list[str]:
    """A line of the table of findings: seen where the ratio of every net lies in the range."""
    shown = [row for row in all_rows if finding.wanted(row) and row.arch in ARCHS]
    worst = {row: finding.worst(row) for row in shown}
    ratios = "; ".join(f"{row.arch.depth}: {number(value) or 'missing'}" for row, value in worst.items())
    outside = [str(row.arch.depth) for row, value in worst.items() if value is not None and not finding.holds(value)]
    known = [value for value in worst.values() if value is not None]
    if outside:
        verdict = f"no: not at {', '.join(dict.fromkeys(outside))} layers"
    elif known:
        verdict = "yes" if len(known) == len(worst) else "yes, as far as measured"
    else:
        verdict = "missing"
    when = "all points" if finding.through_training else "at first"
    return [finding.sentence, finding.whose, f"{RATIOS[finding.ratio]}, {when}", ratios, verdict]


RATIOS: dict[Ratio, str] = {forward: "forward, last over first", backward: "backward, first over last"}


def _figures(shown: Sequence[Row], variant: Variant) -> list[Part]:
    heading = "" if variant.comparable else TITLES[variant.schedule].split(", ", 1)[1]
    heading += "" if variant.dataset == "cifar10" else f", images: {variant.dataset}"
    return [
        Figure(
            f"{variant.name}.signals",
            "Signals of every layer at initialisation",
            "Before the first iteration: top, the standard deviation of each layer's response; bottom, the norm of its "
            "gradient. With batch norm solid (the three lie on each other), without dashed. Of the first seed.",
            lambda: pictures.signals(shown, heading),
        ),
        Figure(
            variant.name,
            "Gradient of every layer's weights through training",
            "The norm of the gradient of each layer's weights (up: from the first convolution to the classifier) after so many "
            "iterations. White: no finite number, or after the training diverged. Of the first seed.",
            lambda: pictures.heat(shown, heading),
        ),
        Figure(
            f"{variant.name}.ratio",
            "The gradient at the first layer over that at the last, through training",
            "Backward: the norm of the gradient of the first layer's response over that of the last one's. At 1 nothing is "
            "lost on the way back; what leaves the panel lies on its frame. Plain nets dashed. Of the first seed.",
            lambda: pictures.ratios(shown, heading),
        ),
    ]


def _chain() -> list[Part]:
    found = {
        (a, shortcut, dtype): chain(a, shortcut=shortcut, dtype=dtype)
        for a in CHAIN
        for shortcut in (False, True)
        for dtype in ("float64", "float32")
    }
    layers = next(iter(found.values())).layers
    lines = [
        [
            f"{a:g}",
            *(_both(found[a, shortcut, dtype]) for shortcut in (False, True) for dtype in ("float64", "float32")),
        ]
        for a in CHAIN
    ]
    headers = ["a", "W^l X", "in single precision", "with shortcuts, (I + W)^l X", "in single precision"]
    return [
        "## The chain that lectures start with",
        f"Y = W^l X with W = a I and l = {layers}: how much longer Y is than X, and how much longer the gradient of X is than "
        "that of Y, each computed layer by layer, forward and back.",
        grid(lines, headers, range(1, 5)),
        "The shortcut adds 1 to each factor: what would vanish is kept, what is large already grows faster. It helps where the "
        "layers' own part is small, as it is in the last row.",
    ]


def _both(chain: Chain) -> str:
    """Forward and backward; once where they print alike."""
    ahead, back = f"{chain.forward:.1e}", f"{chain.backward:.1e}"
    return ahead if ahead == back else f"{ahead} forward, {back} backward"


def _definitions() -> Section:
    return section_of(
        "*Layer*: the 6n+1 convolutions of 3x3, and the classifier after them. First and last are those of the convolutions.",
        "*Response*: a convolution's output after batch norm, before the nonlinearity or the addition (without batch norm: "
        "after its offset). *Forward*: the response's standard deviation over the whole tensor.",
        "*Backward*: the norm of the gradient of the mean loss with respect to that response.",
        "*Weights' gradient*: the norm of the gradient with respect to a layer's weights, without weight decay; *mean* and "
        "*variance* are over its elements. Those of every layer at every point are in each run's `points.jsonl`.",
        f"On the first {PROBE_IMAGES} training images, as many as one of the paper's GPUs saw at a time, not augmented, in "
        "training mode, by a twin of the net that gets its weights: the net that is trained carries no hook, and trains to the "
        "same bits as without.",
        "*No batch norm*: what is left is an offset for each channel, zero at first. Such a plain net is homogeneous in each "
        "layer's weights, so that weights times their gradient sum to the same in every layer, however the signals vanish: "
        "there the weights' ratio says little, and the signals' say it.",
        "Numbers below 1e-38 may count as zero: single precision has hardly any smaller ones, and they are slow on CPUs.",
        "Ratios of several seeds are their geometric mean.",
    )


def _cost(shown: Sequence[Row]) -> list[Section]:
    """What collecting costs: counted, and as the runs have measured it."""
    runs = [run.spec for row in shown for run in row.runs]
    if not runs:
        return []
    counted = max(study.share(spec) for spec in runs)
    looks, images = len(runs[0].probe_at), runs[0].probe_images
    said = (
        f"Counted: {looks} looks of {images} images pass forward and backward beside {runs[0].recipe.iterations:,} iterations "
        f"of {runs[0].recipe.batch}, {100 * counted:.2g} % of all images."
    )
    shares = [share for row in shown for share in row.shares]
    if shares:
        said += (
            f" Measured: {100 * max(shares):.1f} % of a run's time at most, {100 * median(shares):.1f} % in the median, of "
            f"the {len(shares)} runs that were trained to their end; making the twin, looking and writing are in it."
        )
    return [
        Section("What collecting costs", [said + " A run that is not watched has no hooks and does nothing for it."])
    ]


def _training(runs: Sequence[Run]) -> list[Section]:
    """How these runs are trained."""
    if not runs:
        return []
    how = runs[0].spec.recipe
    drops = " and ".join(f"{drop:,}" for drop in how.drops)
    said = (
        f"All alike: {how.iterations:,} iterations of {how.batch} on {runs[0].spec.dataset}, learning rate {how.lr}, divided "
        f"at {drops}, and for residual nets of 110 layers a tenth of it until they have started; whatever the batch norm and "
        "the initial weights. The paper trains no net without batch norm."
    )
    return [Section("How the nets are trained", [said])]

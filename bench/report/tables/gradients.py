"""The page of `--table gradients`: do signals and gradients vanish, with batch norm and without, with shortcuts and without?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, median

from bench.measure.probes.gradients_record import Chain, backward, chain, forward, of_weights
from bench.report.figures import gradients as pictures
from bench.report.page import Cell, Figure, Manifest, Page, Part, Picture, Section, Table, Value, behind, cells, grid
from bench.report.render import terminal
from bench.report.sections import claims as asked
from bench.report.sections import gradient_findings as findings
from bench.report.sections import manifest, values
from bench.report.sections.gradient_rows import Row, Run, number, rows, variants
from bench.report.sections.runs import Found, provenance
from bench.report.sections.titles import measured as section_of
from bench.runs.spec import Schedule
from bench.studies import gradients as study
from bench.studies.gradients import CHAIN, PROBE_IMAGES
from bench.studies.variant import GradientVariant
from bench.verdicts import claims

__all__ = ["page", "render_terminal", "variants"]

INITIAL = [
    "net", "batch norm", "weights", "runs", "forward: last over first", "forward: a layer", "", "backward: first over last",
    "backward: a layer", "", "weights' gradient: first over last",
]  # fmt: skip

FIRST, KEYS = (0, 1, 2, 3, 4, 6, 7, 9), (0, 1, 2)


def _initial(row: Row, variant: GradientVariant) -> tuple[Cell, ...]:
    """Ratios before the first iteration."""
    layers = row.arch.depth - 2  # steps from the first to the last convolution
    ahead, back = row.at(forward, 0), row.at(backward, 0)
    found = cells(
        *_name(row),
        str(len(row.runs)) if row.runs else "missing",
        number(ahead), _each(ahead, layers), findings.word(ahead),
        number(back), _each(back, layers), findings.word(back),
        number(row.at(of_weights, 0)),
    )  # fmt: skip
    return behind(found, _manifest(row, variant), range(3, len(INITIAL)))


def _name(row: Row) -> list[str]:
    return [row.arch.title, "yes" if row.condition.batch_norm else "no", f"He × {row.condition.scale:g}"]


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


def _manifest(row: Row, variant: GradientVariant) -> Manifest:
    """What stands behind the row."""
    title = f"{row.arch.title}, {row.condition.label}, schedule {variant.schedule}"
    only = study.run(row.arch, row.condition, variant.schedule, variant.dataset, 0).name
    if not row.runs:
        return manifest.of_nothing(title, f"{variant.command()} --only {only}", None)
    again = f"{variant.command()} --only {only} --seeds {1 + max(run.spec.seed for run in row.runs)} --force"
    quantities = (("test error", lambda run: run.result.test_error),)
    return manifest.of_runs(title, row.runs, quantities, lambda spec: [], lambda spec: [], again)


def _initials(all_rows: Sequence[Row], variant: GradientVariant) -> Table:
    lines = [_initial(row, variant) for row in all_rows]
    command = "" if all(row.runs for row in all_rows) else variant.command()
    return Table(INITIAL, lines, (3, 4, 5, 7, 8, 10), (0, 1, 2, 4, 6, 7, 9), FIRST, KEYS, command)


def render_terminal(found: Found, variant: GradientVariant) -> str:
    """The columns that fit a terminal: at initialisation."""
    return terminal.render(_initials(rows(found, variant), variant))


TITLES: dict[Schedule, str] = {
    "paper": "Gradients and signals of every layer, through training",
    "short": "Gradients and signals of every layer, through 1/400 of the schedule",
    "smoke": "Gradients and signals of every layer, the smoke schedule",
}


def page(found: Found, variant: GradientVariant) -> Page:
    all_rows = rows(found, variant)
    shown = [row for row in all_rows if row.runs]
    runs = [run for row in shown for run in row.runs]
    title = TITLES[variant.schedule] + ("" if variant.dataset == "cifar10" else f" on {variant.dataset}")
    return Page(
        variant.name,
        title,
        [
            "Section 4.1 of the paper: that deep plain nets degrade is unlikely to be a matter of vanishing gradients, since "
            "with batch norm signals keep a variance on their way forward, and gradients keep healthy norms on their way back. "
            "The paper prints no number on it. Here they are, with batch norm and without, from He's initial weights, from "
            "half of them and from twice.",
            findings.table(all_rows),
            f"To *vanish* is to fall by more than {findings.FAR:,.0f} times from one end of the 3x3 convolutions to the other, "
            "to *explode* to grow by as much. The ratios are the worst of all runs and, where it says so, of all points of "
            "their training. A ratio does not say which of its two ends has moved; `points.jsonl` of each run does.",
            *(_figures(shown, variant) if runs else []),
            "## At initialisation",
            _initials(all_rows, variant),
            "*A layer*: the factor which, over all layers, makes the ratio before it: what a is in the chain below.",
            *(_trained(shown) if runs else []),
            *asked.section(claims.of_setting(asked.of_gradients(variant, found)), variant.comparable),
            *_chain(),
            _definitions(),
            *_cost(shown),
            *_training(runs),
            *provenance(runs),
        ],
        [value for row in all_rows for value in _values(row, variant)],
    )


def _values(row: Row, variant: GradientVariant) -> list[Value]:
    """The ratios of a net at the beginning, the middle and the end of its training, and its test error."""
    base = Value(row.arch.title, "test error", "%", row.condition.label, **values.setting(variant))
    errors = [run.result.test_error for run in row.runs if run.result.test_error is not None]
    found = [values.of_seeds(base, errors)]
    for quantity, ratio in (
        ("forward: last layer over first", forward),
        ("backward: first layer over last", backward),
        ("weights' gradient: first layer over last", of_weights),
    ):
        for share, when in ((0, "at first"), (0.5, "half-way"), (1, "at the end")) if row.runs else ():
            value = replace(base, quantity=quantity, unit="1", condition=f"{row.condition.label}; {when}")
            found.append(replace(value, seeds=len(row.runs), measured=row.at(ratio, share)))
    return found


def _trained(shown: Sequence[Row]) -> list[Part]:
    return [
        "## Through training",
        grid([_through(row) for row in shown], THROUGH, range(4, 13)),
        Section("Mean and variance of the gradient", [grid([_spread(row) for row in shown], SPREAD, range(3, 11))]),
    ]


def _figures(shown: Sequence[Row], variant: GradientVariant) -> list[Part]:
    heading = "" if variant.comparable else TITLES[variant.schedule].split(", ", 1)[1]
    heading += "" if variant.dataset == "cifar10" else f", images: {variant.dataset}"
    return [
        Picture(
            f"{variant.name}.signals",
            "Signals of every layer at initialisation",
            "Before the first iteration: top, the standard deviation of each layer's response; bottom, the norm of its "
            "gradient. With batch norm solid (the three lie on each other), without dashed. Of the first seed.",
            lambda: pictures.signals(shown, heading),
        ),
        Picture(
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

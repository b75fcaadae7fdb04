"""The page of `--table calibration`: what the verdicts say of cells whose truth is known, by simulation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.files import Damaged, read_as, write_text
from bench.report.figures.chart import GREY, SHADES, Axis, Chart, Panel, Series, Style
from bench.report.page import Figure, Page, Part, Table, Value, cells, grid
from bench.report.render import markdown, terminal
from bench.report.sections.runs import Found
from bench.studies.calibration import ASSUMPTIONS, CURVE, FEW, POWER, RUNS, SPREADS, STATISTICS, Setting, settings
from bench.verdicts.hypothesis import FEWEST_RUNS
from bench.verdicts.numbers import ERROR_WORDS, RESOLUTION, judge_cells, runs_of
from bench.verdicts.spread import Spread, groups, known, pooled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 2
SEED = 151203385
CELLS = 100_000
"""Simulated cells of each setting."""
AT_ONCE = 10_000
ALLOWED = (0.04, 0.06)
"""Share of cells in which the verdicts may cry wolf."""
LEVEL = 6.61
"""True error rate of the paper's net in every cell, in percent. The rule knows no level: any other gives the same."""


@dataclass(frozen=True)
class Outcome:
    """What was said of the cells of a setting: how many cells got each word, for each of its shifts."""

    setting: Setting
    better: tuple[int, ...]
    worse: tuple[int, ...]
    consistent: tuple[int, ...]
    better_wide: tuple[int, ...]
    """Those of `better` whose interval is too wide for a match."""
    worse_wide: tuple[int, ...]

    def __post_init__(self) -> None:
        counts = (self.better, self.worse, self.consistent, self.better_wide, self.worse_wide)
        if any(len(counted) != len(self.setting.shifts) for counted in counts):
            raise ValueError("counts do not go with the shifts")

    def at(self, shift: float) -> int:
        return self.setting.shifts.index(shift)


@dataclass(frozen=True)
class Calibration:
    """What was simulated, and with what."""

    cells: int
    seed: int
    versions: str
    pool: tuple[int, ...]
    """Runs of each net whose spread was pooled."""
    outcomes: tuple[Outcome, ...]

    def __post_init__(self) -> None:
        if self.cells < 1:
            raise ValueError(f"cells is {self.cells}; expected >= 1")

    def outcome(self, statistic: str, runs: int, spread: float = SPREADS[0], draws: str = "normal") -> Outcome:
        key = (statistic, runs, spread, draws)
        return next(o for o in self.outcomes if (s := o.setting) and (s.statistic, s.runs, s.spread, s.draws) == key)

    def better(self, outcome: Outcome, shift: float, strict: bool = False) -> float:
        """Share of cells with this difference that are called better; `strict`: were no wide interval to tell."""
        at = outcome.at(shift)
        return (outcome.better[at] - strict * outcome.better_wide[at]) / self.cells

    def worse(self, outcome: Outcome, shift: float, strict: bool = False) -> float:
        """Share of cells with this difference that are called worse; `strict`: were no wide interval to tell."""
        at = outcome.at(shift)
        return (outcome.worse[at] - strict * outcome.worse_wide[at]) / self.cells

    def consistent(self, outcome: Outcome) -> float:
        """Share of cells without a difference that are `consistent`."""
        return outcome.consistent[outcome.at(0.0)] / self.cells

    def alarms(self, outcome: Outcome, strict: bool = False) -> float:
        """Share of cells without a difference that are called better or worse."""
        return self.better(outcome, 0.0, strict) + self.worse(outcome, 0.0, strict)

    def told(self, outcome: Outcome, shift: float, strict: bool = False) -> float:
        """Share of cells with this difference, which is not 0, that get the right word for it."""
        return (self.worse if shift > 0 else self.better)(outcome, shift, strict)

    def error(self, share: float) -> float:
        """Standard error of a simulated share."""
        return sqrt(share * (1 - share) / self.cells)


def simulate(cells: int = CELLS, chosen: Sequence[Setting] | None = None) -> Calibration:
    """Draw runs of known truth and have them judged by the function that judges the tables. Always the same draws."""
    import numpy
    import scipy

    outcomes = []
    for number, setting in enumerate(settings() if chosen is None else chosen):
        generator = numpy.random.default_rng([SEED, number])
        parts = [_judged(setting, min(AT_ONCE, cells - done), generator) for done in range(0, cells, AT_ONCE)]
        outcomes.append(Outcome(setting, *(tuple(counts) for counts in numpy.sum(parts, 0).tolist())))
    versions = f"NumPy {numpy.__version__}, SciPy {scipy.__version__}"
    return Calibration(cells, SEED, versions, _pool(), tuple(outcomes))


def _pool() -> tuple[int, ...]:
    return tuple(group.runs for group in groups())


def _judged(setting: Setting, cells: int, generator: np.random.Generator) -> NDArray[Any]:
    """Counts of cells, (5, shifts): better, worse, consistent, and the first two again where the interval is wide."""
    import numpy as np

    found = runs_of(setting.statistic)
    assert found
    kind, of = found
    ratio = {"paper half": 0.5, "paper twice": 2.0}.get(setting.draws, 1.0)
    true, seeds = _spreads(setting, cells, generator)
    ours = LEVEL + true * _draw(setting, (cells, setting.runs), generator)
    paper = LEVEL + ratio * true * _draw(setting, (cells, of), generator)
    if setting.draws == "read off":
        paper = paper + generator.uniform(-0.03, 0.03, paper.shape)
    if setting.draws == "rounded":
        ours, paper = ours.round(2), paper.round(2)
    printed = {"run": paper[:, 0], "mean": paper.mean(-1), "best": paper.min(-1)}[kind]
    spread = paper.std(-1, ddof=0 if setting.draws == "by n" else 1) if kind == "mean" else None
    if setting.draws == "rounded":
        printed, spread = printed.round(2), None if spread is None else spread.round(2)
    # that ours is higher by a shift is that the paper's is lower by it
    judged = judge_cells(setting.statistic, ours, printed - np.array(setting.shifts)[:, None], spread, seeds)
    better, worse, consistent = (judged.word == ERROR_WORDS.index(word) for word in ("better", "worse", "consistent"))
    counts: NDArray[Any] = np.stack([better, worse, consistent, better & judged.wide, worse & judged.wide]).sum(-1)
    return counts


def _spreads(setting: Setting, cells: int, generator: np.random.Generator) -> tuple[NDArray[Any], Spread]:
    """The true spread of each cell's runs, (cells, 1) in points, and the pooled one by which fewer than three are judged."""
    import numpy as np

    freedoms, today = np.array(_pool()) - 1, known()
    true = np.full((cells, len(freedoms) + 1), setting.spread)
    if setting.draws == "nets differ":
        true = today.value * np.sqrt((today.freedom - 2) / generator.chisquare(today.freedom, true.shape))
    if setting.draws == "pool of today":
        return true[:, :1], today
    if setting.runs >= FEWEST_RUNS:
        return true[:, :1], today  # of three runs or more it is not asked for
    return true[:, :1], pooled(
        true[:, 1:] * np.sqrt(generator.chisquare(freedoms, true[:, 1:].shape) / freedoms), _pool()
    )


def _draw(setting: Setting, shape: tuple[int, int], generator: np.random.Generator) -> NDArray[Any]:
    """Draws of mean 0 and standard deviation 1."""
    from scipy import stats

    shapes = {"skewed": stats.gamma(4), "strongly skewed": stats.expon(), "heavy tails": stats.t(4)}
    of = shapes.get(setting.draws, stats.norm())
    drawn: NDArray[Any] = (of.rvs(shape, random_state=generator) - of.mean()) / of.std()
    return drawn


def save(path: Path, calibration: Calibration) -> None:
    """Write it as JSON, a line for each setting, so that a difference names one."""
    whole = {"format": FORMAT, **asdict(calibration)}
    lines = ",\n".join(json.dumps(outcome) for outcome in whole.pop("outcomes"))
    write_text(path, f'{json.dumps(whole)[:-1]}, "outcomes": [\n{lines}\n]}}\n')


def load(path: Path) -> Calibration:
    """The committed simulation. Raises UserError where the file is missing, damaged or of another version."""
    remedy = "simulate again with --table calibration --publish"
    calibration = read_as(Calibration, path, FORMAT, remedy)
    if [outcome.setting for outcome in calibration.outcomes] != list(settings()) or calibration.pool != _pool():
        raise Damaged(path, "of other settings", remedy)
    return calibration


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


BOTH_WAYS = tuple(sign * shift for shift in POWER for sign in (-1, 1))
HEADERS = [
    "the paper's number", "our runs", "true spread", "judged by", "cries wolf, %", "match", "consistent", "better", "worse",
    *(f"{'worse' if shift > 0 else 'better'} at {shift:+g}" for shift in BOTH_WAYS),
]  # fmt: skip
NUMERIC = (1, 2, *range(4, len(HEADERS)))
FIRST, KEYS = range(HEADERS.index("consistent") + 1), range(HEADERS.index("cries wolf, %"))


def _judged_by(statistic: str, runs: int) -> str:
    """Whose spread the interval is made of."""
    own = "our spread" if runs >= FEWEST_RUNS else "the pooled spread" if runs == 1 else "pooled and our spread"
    return f"{own}, the paper's" if statistic.startswith("mean") else own


def _table(calibration: Calibration, spreads: Sequence[float]) -> Table:
    rows = []
    for statistic in STATISTICS:
        for spread in spreads:
            for runs in RUNS:
                outcome = calibration.outcome(statistic, runs, spread)
                alarms = calibration.alarms(outcome)
                one_way, other_way = calibration.better(outcome, 0.0), calibration.worse(outcome, 0.0)
                said = [calibration.consistent(outcome), one_way, other_way]
                rows.append(
                    [
                        statistic,
                        str(runs),
                        f"{spread:g}",
                        _judged_by(statistic, runs),
                        f"{100 * alarms:.2f} ± {100 * calibration.error(alarms):.2f}",
                        percent(1 - sum(said)),
                        *map(percent, said),
                        *(percent(calibration.told(outcome, shift)) for shift in BOTH_WAYS),
                    ]
                )
    return Table(HEADERS, [cells(*row) for row in rows], NUMERIC, (), FIRST, KEYS)


def render_terminal(calibration: Calibration) -> str:
    return terminal.render(_table(calibration, SPREADS[:1]))


def outside(calibration: Calibration) -> list[Setting]:
    """Settings of the rule's own assumptions in which it cries wolf too often or too rarely."""
    low, high = ALLOWED
    return [outcome.setting for outcome in _promised(calibration) if not low <= calibration.alarms(outcome) <= high]


def _promised(calibration: Calibration) -> list[Outcome]:
    return [o for o in calibration.outcomes if o.setting.draws in ("normal", "nets differ")]


def render(calibration: Calibration) -> str:
    """The page in Markdown."""
    return markdown.render(page(calibration))


def page(calibration: Calibration) -> Page:
    parts: list[Part] = [
        "How often [the rule](../REPRODUCE.md#how-to-read-a-verdict) says what, in simulated cells whose truth is known. Our "
        "runs and the paper's are drawn, and judged by the function that judges the tables. It *cries wolf* where nothing "
        "differs and it says `better` or `worse`. Its power is the share of cells that get the right one of these words "
        "where our error rate truly is so many points higher or lower.",
        _summary(calibration),
        Figure(
            "calibration",
            "Power against the true difference",
            f"True spread {SPREADS[0]} points. Dotted and dashed: fewer than {FEWEST_RUNS} runs of ours, judged by a spread "
            "pooled over nets that spread as far. The thin line: 5 %.",
            lambda: chart(calibration),
        ),
        f"## At a true spread of {SPREADS[0]} points, the paper's own",
        "Shares in percent; the first five without any difference, the others at a difference of so many points. ± is the "
        "standard error of the simulation.",
        _table(calibration, SPREADS[:1]),
        "## At other spreads",
        "One run or two are judged by the pooled spread of other nets. Here those are drawn too, and spread as far as ours.",
        _table(calibration, SPREADS[1:]),
        "## Where nets spread differently",
        _on_pool(),
        _pools(calibration),
        "## Where an assumption fails",
        f"How often it cries wolf, in percent, at a spread of {SPREADS[0]} points, if runs are not what the rule takes them "
        "for.",
        _assumptions(calibration),
        "## Why a wide interval may still tell",
        _why_wide(calibration),
        _strict(calibration),
        f"Simulated: {calibration.cells:,} cells of each kind, seed {calibration.seed}, {calibration.versions}. Anew with "
        "`python bench/run.py --table calibration`.",
    ]
    values = [value for outcome in calibration.outcomes for value in _values(outcome, calibration)]
    return Page("calibration", "Calibration of the verdicts", parts, values)


def _values(outcome: Outcome, calibration: Calibration) -> list[Value]:
    """How often each word is said at each true difference, in percent of the simulated cells."""
    setting, found = outcome.setting, []
    kind = f"{setting.statistic}, {setting.runs} run{'s' if setting.runs > 1 else ''} of ours"
    for at, shift in enumerate(setting.shifts):
        condition = f"true spread {setting.spread:g}, draws {setting.draws}, true difference {shift:g}"
        for word, counts in (("better", outcome.better), ("worse", outcome.worse), ("consistent", outcome.consistent)):
            share = counts[at] / calibration.cells
            found.append(Value(kind, f"cells judged {word}", "%", condition, measured=100 * share))
    return found


STROKES = (Style(1.8, "dotted"), Style(1.6, "dashed"), Style(1.2), Style(2.2), Style(3.2))


def chart(calibration: Calibration) -> Chart:
    """How often a difference is told, against its size, for each kind of published number."""
    x = Axis("true difference, ours minus its (points)", CURVE[0], CURVE[-1], ticks=(-1, -0.5, 0, 0.5, 1))
    y = Axis("called better or worse (% of cells)", 0, 100)
    panels = []
    for statistic in STATISTICS:
        series = [Series("5 %", "5 %", (CURVE[0], CURVE[-1]), (5, 5), GREY, Style(0.8, order=1))]
        for runs, colour, style in zip(RUNS, SHADES, STROKES, strict=False):  # darker is more runs
            outcome = calibration.outcome(statistic, runs)
            told = [100 * (b + w) / calibration.cells for b, w in zip(outcome.better, outcome.worse, strict=True)]
            name = f"{runs} run{'s' if runs > 1 else ''} of ours"
            series.append(Series(name, name, CURVE, told, colour, style))
        panels.append(Panel(f"the paper's {statistic}", x, y, series))
    return Chart(panels)


def _summary(calibration: Calibration) -> str:
    promised, wrong = _promised(calibration), outside(calibration)
    alarms = sorted(calibration.alarms(outcome) for outcome in promised)
    low, high = (f"{100 * bound:g}" for bound in ALLOWED)
    held = f"It must be {low} to {high} %, and is."
    if wrong:
        said = "; ".join(f"{s.statistic}, {s.runs} runs, spread {s.spread:g}" for s in wrong)
        held = f"**It must be {low} to {high} %, and is not**: {said}."
    undecided = [percent(calibration.consistent(calibration.outcome(STATISTICS[0], runs))) for runs in (3, 5, 10)]
    return (
        f"Over {len(promised)} kinds of cells, of one to ten runs and true spreads of "
        f"{', '.join(f'{spread:g}' for spread in sorted(SPREADS))} points, it cries wolf in {100 * alarms[0]:.2f} to "
        f"{100 * alarms[-1]:.2f} %. {held} What few runs cost is not false alarms but answers: at a spread of {SPREADS[0]}, "
        f"with nothing different, a single published run leaves {undecided[0]} % of cells `consistent` with 3 runs of ours, "
        f"{undecided[1]} % with 5 and {undecided[2]} % with 10."
    )


def _on_pool() -> str:
    today = known()
    return (
        f"The pooled spread of today is {today}, over {today.groups} nets. First: each net's variance is a draw of the "
        "distribution that the rule assumes, so that the pool, our net and how many degrees of freedom are found differ from "
        "cell to cell. Below: the pool stays as it is, and our net spreads by so much. A net that spreads much further than "
        "those that are known is judged too boldly; three runs of it end that. How often it cries wolf, in percent:"
    )


def _pools(calibration: Calibration) -> Table:
    rows = []
    for statistic in STATISTICS:
        for spread in (None, *sorted(SPREADS)):
            draws = "nets differ" if spread is None else "pool of today"
            found = [calibration.outcome(statistic, runs, spread or SPREADS[0], draws) for runs in FEW]
            words = "drawn for each net" if spread is None else f"{spread:g}"
            rows.append([statistic, words, *(percent(calibration.alarms(outcome)) for outcome in found)])
    names = ["the paper's number", "true spread", *(f"{runs} run{'s' if runs > 1 else ''} of ours" for runs in FEW)]
    return grid(rows, names, range(1, len(names)))


def _why_wide(calibration: Calibration) -> str:
    strict = [calibration.alarms(outcome, True) for outcome in _promised(calibration)]
    return (
        f"An interval that reaches over {RESOLUTION} points is never a `match`. If 0 lies outside it all the same, the "
        "difference is plain in spite of it, and is told. Were every wide interval `consistent`, no difference, however large, "
        "could be told where seeds spread widely; there would be less power, and fewer false alarms than were asked for, "
        f"{100 * min(strict):.2f} % in one of the settings: columns *strict*."
    )


def _assumptions(calibration: Calibration) -> Table:
    rows = []
    for draws, words in ASSUMPTIONS:
        for statistic in STATISTICS:
            found = [calibration.alarms(calibration.outcome(statistic, runs, draws=draws)) for runs in RUNS]
            rows.append([words if statistic == STATISTICS[0] else "", statistic, *map(percent, found)])
    names = ["runs are", "the paper's number", *(f"{runs} run{'s' if runs > 1 else ''}" for runs in RUNS)]
    return grid(rows, names, range(2, len(names)))


def _strict(calibration: Calibration) -> Table:
    rows = []
    for statistic in STATISTICS:
        for spread in (SPREADS[0], 0.35):
            for runs in (r for r in RUNS if r >= FEWEST_RUNS):
                outcome = calibration.outcome(statistic, runs, spread)
                alarms = [calibration.alarms(outcome, strict) for strict in (False, True)]
                told = [calibration.told(outcome, shift, strict) for shift in (-1.0, 1.0) for strict in (False, True)]
                rows.append([statistic, str(runs), f"{spread:g}", *map(percent, (*alarms, *told))])
    names = [*HEADERS[:3], "cries wolf, %", "strict", "better at -1", "strict", "worse at +1", "strict"]
    return grid(rows, names, range(1, len(names)))


def pages(found: Found) -> Iterator[Page]:
    """The page of what is committed; none where nothing is."""
    if (path := found.measured / "calibration.json").exists():
        yield page(load(path))

"""What a changed field of the recipe does to the errors, as its page says it."""

from __future__ import annotations

import re
from pathlib import Path

import made_up
import pytest

from bench.report.page import Table
from bench.report.render import markdown
from bench.report.sections import change
from bench.report.sections.runs import Found
from bench.report.tables import cifar_depth
from bench.runs.finished import FinishedRun
from bench.studies.variant import PAPER, Variant
from models.arch import Arch

NET, OTHER = Arch("cifar", 20, "A"), Arch("cifar", 32, "A")
SHORT = Variant("short", "cifar10", "all")
GROUPED = Variant("short", "cifar10", "all", (("bn_group", "64"),))


@pytest.mark.parametrize(
    ("changed", "usual", "difference", "word"),
    [
        ((17.0, 17.1, 17.2), (17.0, 17.1, 17.2), "+0.00 [-0.35, +0.35]", "alike"),
        ((18.0, 18.1, 18.2), (17.0, 17.1, 17.2), "+1.00 [+0.65, +1.35]", "differ"),
        ((17.0, 17.5, 18.0), (17.0, 17.1, 17.2), "+0.40 [-0.87, +1.67]", "undecided"),
        ((17.0,), (17.0, 17.1, 17.2), "-0.10 [", "undecided"),
        ((27.0,), (17.0,), "+10.00 [+5.57, +14.43]", "differ"),
    ],
)  # fmt: skip
def test_what_is_shown_and_what_not(
    changed: tuple[float, ...], usual: tuple[float, ...], difference: str, word: str
) -> None:
    heading, table, text = change.section(
        "What it does", {"ResNet-20": (changed, usual)}, "Without it: cifar_depth.short.md."
    )
    assert heading == "## What it does"
    assert isinstance(table, Table)
    (row,) = table.rows
    assert row[0].text == "ResNet-20"
    assert row[5].text.startswith(difference)
    assert row[6].text == word
    assert "cifar_depth.short.md" in str(text)


def page(finished: dict[str, FinishedRun], variant: Variant) -> str:
    return markdown.render(cifar_depth.page(Found(finished, ()), variant))


def test_only_a_page_with_a_change_says_what_it_does(tmp_path: Path) -> None:
    finished = made_up.runs(tmp_path, [variant.spec(NET, seed) for variant in (SHORT, GROUPED) for seed in range(3)])
    assert "## What the change does" not in page(finished, SHORT)
    text = page(finished, GROUPED)
    assert "## What the change does" in text
    assert "[cifar_depth.short](cifar_depth.short.md)" in text
    alone = {run_id: run for run_id, run in finished.items() if run.spec.recipe.bn_group}
    assert "## What the change does" not in page(alone, GROUPED)


def rows_of(text: str, net: str) -> list[list[str]]:
    """Precision and seeds of the rows of a net in the first table of a page."""
    lines = "".join(re.findall(r"(?:^\|.*\n)+", text, re.M)[0]).splitlines()
    headers, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    at = [headers.index(name) for name in ("precision", "seeds")]
    return [[row[i] for i in at] for row in rows if row[0] == net]


def test_each_precision_has_a_row_on_one_page(tmp_path: Path) -> None:
    specs = [SHORT.spec(NET, seed) for seed in range(3)] + [SHORT.spec(NET, seed, "bf16") for seed in range(2)]
    finished = made_up.runs(tmp_path, specs)
    assert cifar_depth.variants(Found(finished, ())) == [PAPER, SHORT]
    text = page(finished, SHORT)
    assert rows_of(text, "ResNet-20") == [["fp32", "3"], ["bf16", "2"]]
    assert rows_of(text, "ResNet-32") == []
    assert re.search(r"^Not measured: .*ResNet-32", text, re.M)
    assert "## What precision changes" in text
    assert "| ResNet-20, bf16 |" in text
    single = {run_id: run for run_id, run in finished.items() if run.spec.recipe.precision == "fp32"}
    assert "## What precision changes" not in page(single, SHORT)


def test_a_row_at_the_papers_length_says_what_its_precision_did_at_short(tmp_path: Path) -> None:
    whole = [PAPER.spec(NET, 0, "bf16")]
    short = [SHORT.spec(NET, seed, precision) for seed in range(3) for precision in ("fp32", "bf16")]
    said = "At 1/16 of the schedule ResNet-20 in bf16 differs from fp32 by"
    assert said in page(made_up.runs(tmp_path / "with", [*whole, *short]), PAPER)
    text = page(made_up.runs(tmp_path / "without", whole), PAPER)
    assert said not in text
    assert rows_of(text, "ResNet-20") == [["bf16", "1"]]


def test_a_page_about_nets_takes_the_precision_with_most_runs(tmp_path: Path) -> None:
    """layer_responses and the like show one precision; of equals single precision."""
    half = [SHORT.spec(NET, seed, "bf16") for seed in range(2)]
    found = Found(made_up.runs(tmp_path / "half", [*half, SHORT.spec(NET, 0)]), ())
    chosen = found.in_one_precision(SHORT, [NET, OTHER])
    assert (chosen, chosen.precision) == (SHORT, "bf16")
    assert [run.spec for run in found.of(chosen.spec(NET, 0))] == half
    assert "--set precision=bf16" in chosen.command("warmup")
    equal = Found(made_up.runs(tmp_path / "equal", [half[0], SHORT.spec(NET, 0)]), ())
    assert equal.in_one_precision(SHORT, [NET]).precision == "fp32"
    assert Found({}, ()).in_one_precision(SHORT, [NET]).precision == "fp32"


def test_a_figure_takes_of_each_net_the_precision_with_most_seeds(tmp_path: Path) -> None:
    specs = [SHORT.spec(NET, 0), *(SHORT.spec(NET, seed, "bf16") for seed in range(2)), SHORT.spec(OTHER, 0, "tf32")]
    shown = cifar_depth.one_each(cifar_depth.rows(made_up.runs(tmp_path, specs), SHORT))
    assert {row.arch: (row.precision, len(row.runs)) for row in shown if row.runs} == {
        NET: ("bf16", 2),
        OTHER: ("tf32", 1),
    }
    assert len(shown) == len({row.arch for row in shown})

"""Ours against the paper's curves, at the iterations that both have."""

from __future__ import annotations

from pathlib import Path

import made_up
import pytest

from bench.report.page import Page
from bench.report.render import markdown
from bench.report.sections import point_by_point
from bench.report.sections.point_by_point import Pair, pairs, section
from bench.report.sections.runs import Found
from bench.report.tables import cifar_depth
from bench.studies.variant import PAPER, Variant
from bench.verdicts import published
from bench.verdicts.numbers import MISSING
from models.arch import parse_arch

NET = parse_arch("resnet-20-A")


def theirs(series: str) -> dict[int, float]:
    """The paper's points by thousands of iterations, read without the module under test."""
    return {round(10 * x): y for x, y in published.curves()["fig6_mid", f"ResNet-20 {series}"]}


def row(results: Path, *shifts: float) -> cifar_depth.Row:
    """A seed for each shift, whose curves are the paper's that far up, with a point every 500 iterations."""
    runs = []
    for seed, shift in enumerate(shifts):
        run = made_up.run(results, PAPER.spec(NET, seed), 8.75)
        run.folder.write_metrics(
            [
                {
                    **run.metrics[0],
                    "iteration": i,
                    "test_error": shift + theirs("test").get(i // 1000, 0.0) + (50 if i % 1000 else 0),
                    "train_error": 2 * shift + theirs("train").get(i // 1000, 0.0) + (50 if i % 1000 else 0),
                }
                for i in range(500, 64_001, 500)
            ]
        )
        runs.append(run)
    return cifar_depth.Row(NET, tuple(runs), (), MISSING)


def test_only_points_that_both_have_are_compared(tmp_path: Path) -> None:
    """Fig. 6 has one every 1,000 iterations and ends at 20 % above; ours between them are left alone."""
    found = pairs(row(tmp_path, 1.0), "test_error", "test")
    assert {pair.iteration % 1000 for pair in found} == {0}
    assert [pair.iteration for pair in found] == sorted(1000 * k for k, y in theirs("test").items() if k > 2)
    assert [pair.ours - pair.theirs for pair in found] == pytest.approx([1.0] * len(found))
    assert max(pair.theirs for pair in found) < 20


def test_a_row_for_each_learning_rate_from_the_mean_over_seeds(tmp_path: Path) -> None:
    text = markdown.render(Page("name", "Title", section([row(tmp_path, 1.0, 2.0)])))
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "ResNet-20" in line]
    assert [line[1] for line in lines] == ["0.1", "0.01", "0.001"]
    assert [line[4:6] for line in lines] == [["+1.50", "+1.50"]] * 3
    assert [line[7:9] for line in lines] == [["+3.00", "+3.00"]] * 3
    assert sum(int(line[2]) for line in lines) == len({*theirs("train")} - {0, 1, 2})


def test_the_largest_difference_has_its_sign(tmp_path: Path) -> None:
    one = Pair(1000, 10.0, 12.5)
    assert point_by_point._cells([one, Pair(2000, 11.0, 10.0)]) == ["11.25", "-0.75", "-2.50"]
    assert point_by_point._cells([]) == ["", "", ""]


def test_it_stands_on_pages_of_the_papers_runs_alone(tmp_path: Path) -> None:
    shown = row(tmp_path, 0.0)
    finished = {run.spec.run_id: run for run in shown.runs}
    assert "Point by point" in markdown.render(cifar_depth.page(Found(finished, ()), PAPER))
    short = Variant("short", "cifar10", "all")
    run = made_up.run(tmp_path, short.spec(NET, 0), 17.0)
    assert "Point by point" not in markdown.render(cifar_depth.page(Found({run.spec.run_id: run}, ()), short))
    assert section([cifar_depth.Row(NET, (), (), MISSING)]) == []

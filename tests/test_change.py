"""What a changed field of the recipe does to the errors, as its page says it."""

from __future__ import annotations

from pathlib import Path

import made_up
import pytest

from bench.report.page import Table
from bench.report.sections import change
from bench.report.tables import cifar_depth
from bench.studies.variant import Variant
from models.arch import Arch

NET = Arch("cifar", 20, "A")
SHORT = Variant("short", "cifar10", "all")
HALF = Variant("short", "cifar10", "all", (("precision", "bf16"),))


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
    _, table, text = change.section({NET: (changed, usual)}, "cifar_depth.short")
    assert isinstance(table, Table)
    (row,) = table.rows
    assert row[0].text == "ResNet-20"
    assert row[5].text.startswith(difference)
    assert row[6].text == word
    assert "cifar_depth.short.md" in str(text)


def test_only_a_page_with_a_change_says_what_it_does(tmp_path: Path) -> None:
    finished = made_up.runs(tmp_path, [variant.spec(NET, seed) for variant in (SHORT, HALF) for seed in range(3)])
    assert "## What the change does" not in cifar_depth.render(finished, SHORT, {})
    text = cifar_depth.render(finished, HALF, {})
    assert "## What the change does" in text
    assert "[cifar_depth.short](cifar_depth.short.md)" in text
    alone = {run_id: run for run_id, run in finished.items() if run.spec.recipe.precision == "bf16"}
    assert "## What the change does" not in cifar_depth.render(alone, HALF, {})

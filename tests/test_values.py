"""The values behind pages: tables/*.csv, export --csv, --latex, --points, --figures, and bench.results."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from conftest import ROOT

from bench.command.check import differences
from bench.report.page import Page, Value
from bench.report.render import csv as tidy

TABLES = ROOT / "tables"
PAGES = sorted(path.stem for path in TABLES.glob("*.csv") if ".smoke" not in path.name)


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def of(page: str) -> list[dict[str, str]]:
    return lines((TABLES / f"{page}.csv").read_text())


def test_every_page_has_its_values_in_the_same_columns() -> None:
    assert {f"{name}.md" for name in PAGES} == {
        path.name for path in TABLES.glob("*.md") if ".smoke" not in path.name and path.name != "README.md"
    }
    for name in PAGES:
        found = of(name)
        assert found
        assert tuple(found[0]) == tidy.COLUMNS
        assert {row["table"] for row in found} == {name}
        numbers = ("seeds", "measured", "spread", "low", "high", "difference")
        assert all(not row[column] or float(row[column]) is not None for row in found for column in numbers)
        keys = [tuple(row[c] for c in ("net", "quantity", "condition", "precision", "source")) for row in found]
        assert len(set(keys)) == len(keys) or name in ("claims", "third_party"), name


def test_a_value_is_what_the_page_rounds() -> None:
    """A full value, the interval of ours around it, and the difference from what is printed."""
    (row,) = (r for r in of("cifar_depth") if (r["net"], r["quantity"]) == ("ResNet-20", "test error"))
    page = (TABLES / "cifar_depth.md").read_text()
    assert f"{float(row['measured']):.2f}" in page
    assert row["published"] == "8.75"
    assert float(row["low"]) < float(row["measured"]) < float(row["high"])
    assert float(row["difference"]) == pytest.approx(float(row["measured"]) - 8.75, abs=1e-9)
    assert row["verdict"] in page
    short = [r for r in of("cifar_depth.short") if r["spread"]]
    assert any(r["measured"] != f"{float(r['measured']):.2f}".rstrip("0").rstrip(".") for r in short)  # not rounded


def test_a_changed_digit_is_a_difference(tmp_path: Path) -> None:
    text = tidy.render([Page("t", "T", [], [Value("ResNet-20", "test error", "%", measured=8.123456789)])])
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "b.csv").write_text(text.replace("8.123456789", "8.123456788"))
    assert differences(tmp_path / "a.csv", tmp_path / "a.csv") == []
    (said,) = differences(tmp_path / "a.csv", tmp_path / "b.csv")
    assert "8.123456789" in said


def test_texts_with_commas_and_quotes_come_back() -> None:
    value = Value('a "net", or', "q", "1", measured=1 / 3, seeds=0, low=float("inf"))
    (row,) = lines(tidy.render([Page("t", "T", [], [value])]))
    assert (row["net"], row["seeds"], row["low"], row["high"]) == ('a "net", or', "0", "inf", "")
    assert float(row["measured"]) == pytest.approx(1 / 3, rel=1e-11)

"""The values behind pages: tables/*.csv, export --csv, --latex, --points, --figures, and bench.results."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

import bench
from bench import run
from bench.command.check import differences
from bench.errors import UserError
from bench.exchange import frames
from bench.report.page import Page, Value
from bench.report.render import csv as tidy
from bench.report.render import latex

TABLES = ROOT / "tables"
MEASURED = TABLES / "measured"
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


def test_export_writes_values_and_latex_from_committed_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    csv_, tex, points = tmp_path / "v.csv", tmp_path / "t.tex", tmp_path / "p.csv"
    asked = ["export", "--table", "table6", "--results", str(tmp_path)]
    assert run.main([*asked, "--csv", str(csv_), "--latex", str(tex), "--points", str(points)]) == 0
    written = lines(csv_.read_text())
    for name in ("cifar_depth", "cifar_depth.short"):
        assert [row for row in written if row["table"] == name] == of(name)
    assert structure(tex.read_text()) == {"table": 2, "tabular": 2}
    assert r"ResNet-20, bf16 & 8.75 & 8.37 & {[7.51, 9.23]} & {--} & 1 & -0.38 & consistent \\" in tex.read_text()
    found = lines(points.read_text())
    measured = [json.loads(line) for line in (MEASURED / found[0]["run"] / "metrics.jsonl").read_text().splitlines()]
    mine = [row for row in found if row["run"] == found[0]["run"]]
    assert [float(row["test_error"]) for row in mine] == [point["test_error"] for point in measured]
    capsys.readouterr()
    assert run.main([*asked, "--csv", str(csv_)]) == 2
    assert "is there already" in capsys.readouterr().err


def structure(text: str) -> dict[str, int]:
    """How many tables and tabulars; every row has as many cells as the tabular has columns."""
    from pylatexenc.latexwalker import LatexEnvironmentNode, LatexWalker

    found: dict[str, int] = {}

    def look(nodes: list[object]) -> None:
        for node in nodes:
            if isinstance(node, LatexEnvironmentNode):
                found[node.environmentname] = found.get(node.environmentname, 0) + 1
                look(node.nodelist)

    look(LatexWalker(text, tolerant_parsing=False).get_latex_nodes()[0])
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert rows
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {7}
    return found


def test_latex_escapes_what_it_would_take_for_commands() -> None:
    value = Value("a_b & 50 %", "q", "%", published="1.0", measured=1.25, verdict="match", condition="bn_group=64")
    text = latex.render([Page("t", "`x` #1 ^ ~", [], [value])])
    assert r"a\_b \& 50 \%, bn\_group=64 & 1.0 & 1.25 &" in text
    assert r"x \#1 \textasciicircum{} \textasciitilde{}: q (\%)" in text
    assert structure(text) == {"table": 1, "tabular": 1}
    assert latex.render([Page("t", "T", [], [])]) == ""


def test_points_as_parquet_are_those_of_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas

    pytest.importorskip("pyarrow")
    frame = frames.load(MEASURED).points
    path = tmp_path / "p.parquet"
    assert run.main(["export", "--points", str(path), "--results", str(tmp_path)]) == 0
    pandas.testing.assert_frame_equal(pandas.read_parquet(path), frame, check_dtype=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="Parquet files need pyarrow"):
        frames.points_as(frame, "parquet")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export"], "export: FILE is missing: see python bench/run.py export --help"),
        (["export", "--csv", "a.tex"], "export: --csv a.tex: must end in .csv"),
        (["export", "--points", "a.json"], "export: --points a.json: must end in .csv or .parquet"),
        (["export", "a.zip", "--csv", "b.csv"], "export a.zip: a bundle has a command of its own: leave out --csv"),
        (
            ["export", "--csv", "b.csv", "--seeds", "3"],
            "--seeds: --csv has all runs of a table, each with its fields: leave out --seeds",
        ),
        (
            ["export", "--csv", "b.csv", "--results", "nowhere"],
            "--results nowhere: no such folder: give the one in which the runs were begun",
        ),
        (["--table", "table6", "--csv", "b.csv"], "--csv is an option of export: run.py export --csv ..."),
        (
            ["export", "--latex", "b.tex", "--table", "throughput"],
            "--latex b.tex: these tables have no published numbers: choose others, such as cifar_depth",
        ),
    ],
)
def test_what_export_refuses(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run.main(words) == 2
    assert capsys.readouterr().err == f"run.py: {said}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_not_replaced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    assert run.main(["export", "--csv", str(tmp_path / "p.csv"), "--force"]) == 2
    assert "it is a pipe or a device: give a plain file" in capsys.readouterr().err


def test_the_example_of_the_guide_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/how-to/data.md").read_text(), re.DOTALL)
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(example, names)
    said = capsys.readouterr().out
    row = next(r for r in of("cifar_depth.short") if (r["net"], r["quantity"]) == ("plain-56", "test error"))
    assert re.search(rf"plain-56 +fp32 +{float(row['measured']):.2f} +{float(row['spread']):.2f} +3\n", said)
    runs, points = names["results"].runs, names["results"].points
    assert set(points["run"]) <= set(runs.index)
    assert {"lr", "bn_group", "test_error", "device", "commit", "seed", "iterations"} <= set(runs.columns)
    last = points[points["run"] == runs.index[0]].iloc[-1]
    assert last["iteration"] == runs.iloc[0]["iterations"]


def test_the_columns_are_documented() -> None:
    guide = (ROOT / "docs/how-to/data.md").read_text().partition("## Columns")[2].partition("## In Python")[0]
    assert set(tidy.COLUMNS) <= set(re.findall(r"`(\w+)`", guide))


def test_results_of_no_folder_and_of_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        bench.results(tmp_path / "nowhere")
    found = bench.results(tmp_path)
    assert (len(found.runs), len(found.points)) == (0, 0)


def test_import_bench_is_light() -> None:
    from test_architecture import imported_by

    assert imported_by("import bench") & {"torch", "numpy", "pandas", "msgspec"} == set()

"""The worked diffs of CONTRIBUTING.md do what it says, and every table of the register keeps the register's promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from bench import run
from bench.command.table import pages_of
from bench.command.tables import TABLES
from bench.report.sections.runs import Found
from bench.runs.finished import finished_runs

FEW = ("--schedule", "short", "--dataset", "digits", "--only", "resnet-20-B")
QUICK = ("--set", "iterations=40", "drops=20,30", "evaluate_every=10")


def diff_of(heading: str) -> str:
    """The worked diff under a heading."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## )", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)
    assert section
    found = re.search(r"^```diff\n(.*?)^```$", section[1], re.M | re.S)
    assert found
    return found[1]


class Tree:
    """A copy of the project, as somebody who changes it has it, without the runs that are published."""

    def __init__(self, root: Path) -> None:
        self.root, self.results, self.tables = root, root / "my results", root / "tables"
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in listed.stdout.split("\0"):
            heavy = name.startswith("tables/figures") or re.match(r"tables/measured/.*/", name)
            if name and not heavy and (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, root / name)

    def apply(self, diff: str) -> None:
        subprocess.run(["git", "apply", "-"], cwd=self.root, input=diff, text=True, check=True)

    def __call__(self, *arguments: object, status: int = 0) -> str:
        places = ("--results", self.results, "--tables", self.tables)
        command = [sys.executable, "bench/run.py", *map(str, (*arguments, *places))]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=300)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def python(self, script: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(self.root)}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """One tree that takes all diffs, which touch different places."""
    return Tree(tmp_path_factory.mktemp("a project"))


@pytest.mark.slow
def test_a_new_table_is_planned_run_moved_published_and_checked(tree: Tree, tmp_path: Path) -> None:
    tree.apply(diff_of("Add a table"))
    table = ("--table", "cifar_shortcuts")
    assert "cifar_shortcuts" in tree("--help")
    assert "resnet-20-B" in tree(*table, *FEW, *QUICK, "--dry-run")
    ran = tree(*table, *FEW, *QUICK)
    (page,) = tree.tables.glob("cifar_shortcuts.*.md")
    assert "ResNet-20 B" in ran
    assert "done" in tree(*table, *FEW, *QUICK, "--status")
    packed = tmp_path / "packed.zip"
    assert "1 finished" in tree("--export", packed, *table, *FEW, *QUICK)
    shutil.rmtree(tree.results)
    assert "1 new" in tree("--import", packed)
    before = page.read_text()
    page.unlink()
    tree(*table, *FEW, *QUICK, "--report")
    assert page.read_text() == before
    tree(*table, *FEW, *QUICK, "--publish")
    assert "cifar_shortcuts" in (tree.tables / "report.html").read_text()
    assert len([*tree.tables.glob("measured/resnet-20-B-*/result.json")]) == 1
    tree(*table, "--check")
    page.write_text(page.read_text().replace("ResNet-20 B", "ResNet-20 C"))
    tree(*table, "--check", status=1)


@pytest.mark.slow
def test_a_new_claim_is_planned_and_judged(tree: Tree) -> None:
    tree.apply(diff_of("Add a claim"))
    assert "residual-56-trains-better" in tree("--table", "claims", "--dry-run")
    tree("--table", "claims")
    page = (tree.tables / "claims.md").read_text()
    (judged, *_) = [line for line in page.splitlines() if line.startswith("| `residual-56-trains-better`")]
    assert "not run" in judged


@pytest.mark.slow
def test_a_new_net_is_counted_alike_twice(tree: Tree) -> None:
    tree.apply(diff_of("Add a net"))
    counted = tree.python(
        "from bench.measure.counts.fvcore_count import measure\nfrom models.arch import parse_arch\n"
        "cost = measure(parse_arch('imagenet-resnet-200-B'))\nprint(cost.closed_form, cost.parameters)"
    )
    assert counted.split() == ["True", "64673832"]


FILLED = [name for name, table in TABLES.items() if table.planner and not name.startswith("imagenet")]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_keeps_the_promises_of_the_register(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = TABLES[name]
    assert table.title
    assert table.name == name
    places = ("--results", str(tmp_path / "results"), "--tables", str(tmp_path / "tables"))
    assert run.main(("--table", name, "--dry-run", *places)) == 0
    assert capsys.readouterr().out
    assert not (tmp_path / "tables").exists()
    found = Found(finished_runs(ROOT / "tables" / "measured"), (ROOT / "tables" / "measured",) * 2)
    pages = pages_of(table.name, found)
    assert pages
    assert {page.name.split(".")[0] for page in pages} == {name}


@pytest.mark.parametrize("name", FILLED)
def test_every_table_of_runs_plans_them_and_says_how_they_stand(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ("--results", str(tmp_path / "results"), "--tables", str(tmp_path / "tables"))
    smoke = ("--table", name, "--schedule", "smoke")
    assert run.main((*smoke, "--dry-run", *places)) == 0
    planned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    (tmp_path / "results").mkdir()
    assert run.main((*smoke, "--status", *places)) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(planned) + 1
    assert run.main((*smoke, "--export", str(tmp_path / "x.zip"), *places)) == 2
    assert "none of these runs is finished" in capsys.readouterr().err
    assert run.main((*smoke, "--report", *places)) == 0
    assert [path.name for path in (tmp_path / "tables").glob(f"{name}.smoke*.md")] == [f"{name}.smoke.md"]

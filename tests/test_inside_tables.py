"""The tables that look inside nets, from the command to the page, and how their work is sent. On the digits, small nets."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Command

from bench import run
from bench.cluster import launch
from bench.command import documents, pages, publish, report
from bench.command.parse import parse
from bench.command.tables import TABLES
from bench.compute import side_by_side
from bench.measure.probes.first_learning import first_below
from bench.report.render import markdown
from bench.report.sections.runs import Found
from bench.report.tables import loss_surface as surface_page
from bench.runs.derived import Extension, Grid
from bench.runs.finished import finished_runs
from bench.runs.spec import RunSpec
from bench.studies import cifar_depth, constructed_solution, loss_surface, warmup
from bench.studies.seeds import Seeds
from bench.studies.variant import Variant
from models.arch import Arch

INSIDE = ("constructed_solution", "loss_surface", "warmup")
PAPER = Variant("paper", "cifar10", "all")


def test_both_starts_are_runs_of_the_depth_study() -> None:
    """So that nothing is trained twice; only the one without its warm-up is this table's own."""
    warm, cold = warmup.works(PAPER.spec, Seeds.first(1))
    assert warm in cifar_depth.runs("paper")
    assert cold == replace(warm, recipe=replace(warm.recipe, warmup_lr=None))
    shallow = warmup.works(PAPER.spec, Seeds.first(1), [Arch("cifar", 20, "A")])
    assert [spec.recipe.warmup_lr for spec in shallow] == [0.01, None]
    trained = [s for s in loss_surface.works(PAPER.spec, Seeds.first(1)) if isinstance(s, RunSpec)]
    assert set(trained) <= set(cifar_depth.runs("paper"))
    (one,) = (s for s in constructed_solution.works(PAPER.spec, Seeds.first(1)) if isinstance(s, Extension))
    assert (one.recipe.iterations, one.recipe.drops) == (16_000, ())
    assert one.recipe.lr == pytest.approx(0.001)


def test_a_run_without_its_warm_up_has_its_page_here() -> None:
    """And nothing else has: what --set changes besides is a page of its own."""
    warm, cold = warmup.works(PAPER.spec, Seeds.first(1))
    assert warmup.variant_of(warm) is None
    assert warmup.variant_of(cold) == PAPER
    other = replace(cold, recipe=replace(cold.recipe, lr=0.2))
    assert warmup.variant_of(other) == replace(PAPER, changes=(("lr", "0.2"),))
    assert warmup.variant_of(replace(warm, recipe=replace(warm.recipe, warmup_lr=0.02))) is None


def test_a_seed_around_which_nothing_was_measured_is_not_missing() -> None:
    """Three seeds of plain-20 are published, and the surface of one: the row is whole, and says nothing of the others."""
    short = Variant("short", "cifar10", "all")
    found = Found(finished_runs(pages.MEASURED), (pages.MEASURED,))
    shallow = next(row for row in surface_page.rows(found, short) if row.arch == Arch("cifar", 20))
    finished = found.of(short.spec(shallow.arch, 0))
    assert len(finished) >= len(shallow.runs) >= 1
    text = markdown.render(surface_page.page(found, short))
    assert all(run.spec.run_id in text for run in shallow.runs)
    others = {run.spec.run_id for run in finished} - {run.spec.run_id for run in shallow.runs}
    assert not any(run_id in text for run_id in others)
    (done, wanted) = re.findall(r"plain-20 .* ([\d,]+) of ([\d,]+) \|", text)[0]
    assert done == wanted


def point(iteration: int, error: float) -> dict[str, float]:
    return {"iteration": iteration, "train_error": error}


def test_when_a_net_begins_to_learn() -> None:
    """A net that guesses is below 90 % now and then; below by more than chance it is once it learns."""
    points = [point(391, 89.9), point(782, 89.0), point(1173, 79.9), point(1564, 60.0)]
    assert first_below(points, 128, 90) == (391, 782)
    assert first_below(points, 128, 80) == (1173, 1564)
    assert first_below(points[:1], 128, 90) is None
    assert first_below([point(20, 89.0)], 128, 90) is None  # of few images, chance alone
    assert first_below([point(20, 87.0)], 128, 90) == (0, 20)


def test_what_needs_a_net_is_sent_after_its_run() -> None:
    """In arrays of its own, of a task for each part; on this machine, once the run has ended."""
    work = loss_surface.works(Variant("short", "cifar10", "all").spec, Seeds.first(1), [Arch("cifar", 8)])
    planned = launch.arrange(list(reversed(work)), launch.load_profile("default"), {}, pack=1, limit=3)
    assert [[type(spec).__name__ for task in each.tasks for spec in task] for each in planned] == [
        ["RunSpec"], ["SurfacePart"] * 3, ["SurfacePart"],
    ]  # fmt: skip
    assert [each.needs for each in planned] == [set(), {work[0].run_id}, {work[0].run_id}]
    waiting = list(enumerate(reversed(work)))
    assert side_by_side._ready(waiting, []) == 4
    assert side_by_side._ready(waiting[:4], []) == 0


@pytest.mark.parametrize("table", INSIDE)
def test_a_page_without_results_says_what_fills_it(tmp_path: Path, table: str) -> None:
    arguments = ("--table", table, "--report", "--schedule", "short", "--selection", "val45k")
    assert run.main((*arguments, "--results", str(tmp_path / "none"), "--tables", str(tmp_path))) == 0
    page = (tmp_path / f"{table}.short.val45k.md").read_text()
    assert f"`python bench/run.py --table {table} --schedule short --selection val45k`" in page
    assert "missing" in page
    assert "![" not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--table", "loss_surface", "--only", "vgg*"), "--only vgg* matches no net of loss_surface: it has plain-20, plain"),
        (("--table", "warmup", "--only", "resnet-21-A"), "--only resnet-21-A: depth 21 is not 6n+2: try 20 or 26"),
        (
            ("--table", "constructed_solution", "--only", "plain-44"),
            "--only plain-44 matches nothing of constructed_solution: did you mean plain-56? it has plain-20, "
            "plain-56, resnet-56-A, plain-20-to-56",
        ),
        (("--table", "warmup", "--set", "warmup_lr=none"), "--set warmup_lr is what the table warmup varies by itself"),
        (("--table", "warmup", "--dataset", "imagenet"), "--dataset imagenet is no data set of warmup: choose cifar10"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    assert run.main(arguments) == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert message in said.err


def test_a_run_that_is_needed_is_planned_with_what_needs_it(command: Command) -> None:
    lines = command("--table", "constructed_solution", "--only", "plain-20-to-56", "--dry-run").stdout.splitlines()
    assert [line.split()[0].rsplit("-", 1)[0] for line in lines[1:3]] == ["plain-20-s0", "plain-20-to-56-s0"]


FEW = ("--schedule", "short", "--dataset", "digits", "--set", "iterations=8", "evaluate_every=2", "drops=6")
PAGE = ".short.digits.drops=6.evaluate_every=2.iterations=8"
FIGURES = {
    "constructed_solution": [""], "loss_surface": [".lines", ".errors", ".contours", ".surface"], "warmup": [""],
}  # fmt: skip
ROWS = {
    "constructed_solution": ["| plain-8 ", "| plain-14 ", "| ResNet-8 "],
    "loss_surface": ["| plain-8 ", "| ResNet-8 "],
    "warmup": ["| ResNet-8 "],
}


class Small:
    """All three tables by one command, of few iterations and small nets, and what is published of them."""

    def __init__(self, folder: Path) -> None:
        self.results, self.tables, self.measured = folder / "results", folder / "tables", folder / "measured"

    def __call__(self, *arguments: str) -> None:
        places = ("--results", str(self.results), "--tables", str(self.tables))
        assert run.main(("--table", *arguments, *FEW, *places)) == 0

    def page(self, table: str) -> str:
        return (self.tables / f"{table}{PAGE}.md").read_text()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    made = Small(tmp_path_factory.mktemp("inside"))
    plain, residual = Arch("cifar", 8), Arch("cifar", 8, "A")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constructed_solution, "SHALLOW", plain)
        patch.setattr(constructed_solution, "DEEP", Arch("cifar", 14))
        patch.setattr(constructed_solution, "RESIDUAL", residual)
        patch.setattr(loss_surface, "ARCHS", (plain, residual))
        patch.setattr(warmup, "ARCHS", (residual,))
        patch.setitem(loss_surface.ROWS, "short", 5)
        patch.setitem(loss_surface.GRIDS, "short", (Grid("lines", 2, 9, 50), Grid("plane", 7, 7, 50)))
        patch.setattr(pages, "MEASURED", made.measured)
        patch.setattr(documents, "REFERENCE", made.tables.parent)
        for name in ("README", "GUIDE", "TUTORIAL", "FINDINGS"):
            patch.setattr(
                documents, name, Path(shutil.copy(getattr(documents, name), made.tables.parent / f"{name}.md"))
            )
        made.measured.mkdir()
        made(*INSIDE)
        yield made


@pytest.mark.parametrize("table", INSIDE)
def test_a_table_gives_a_page_and_figures(small: Small, table: str) -> None:
    page = small.page(table)
    for row in ROWS[table]:
        lines = [line for line in page.splitlines() if line.startswith(row)]
        assert lines
        assert not any("missing" in line for line in lines)
    for name in FIGURES[table]:
        path = small.tables / "figures" / f"{table}{PAGE}{name}"
        assert f"figures/{path.name}.svg)" in page
        assert Path(f"{path}.svg").read_text().startswith("<?xml")
        assert Path(f"{path}.png").read_bytes().startswith(b"\x89PNG")
    assert f'<section class="view" id="{table}.short.digits' in (small.tables / "report.html").read_text()


def test_the_page_says_what_the_construction_does(small: Small) -> None:
    """The same errors in the first two rows, and others in the third."""
    rows = [
        line.split("|")[3:5] for line in small.page("constructed_solution").splitlines() if line.startswith("| plain-")
    ]
    shallow, built, trained_on, scratch, *_ = [tuple(cell.strip() for cell in row) for row in rows]
    assert shallow == built
    assert len({built, trained_on, scratch}) == 3
    assert "and 0 predictions differ." in small.page("constructed_solution")


def test_the_same_command_measures_nothing_again(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    """And a part that is missing alone is measured, to the same figures."""
    small("loss_surface", "--only", "resnet-8-A", "--dry-run")
    plan = capsys.readouterr().out.splitlines()
    assert plan[0].startswith("4 runs in ")
    assert all(line.endswith("  done") for line in plan[1:])
    small("loss_surface", "--status")
    assert "8 runs: 8 done" in capsys.readouterr().out
    (part,) = small.results.glob("plain-8-lines-*")
    shutil.rmtree(part)
    before = {path: path.read_bytes() for path in (small.tables / "figures").iterdir()}
    small("loss_surface")
    assert "[1/1] plain-8-lines-0-2-short-s0-" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before


def without_links(page: str) -> str:
    """A page without the line that names the others: those of later tables are not there when it is first written."""
    return re.sub(r"^Also measured: .*\n", "", page, flags=re.M)


def test_what_is_published_is_checked(small: Small, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Runs, nets made of them and parts of surfaces, without weights; from there come the same pages, to the byte.

    A run without its warm-up asks for no page of cifar_depth; a point that is changed is found.
    """
    made = {table: without_links(small.page(table)) for table in INSIDE}
    works = {
        spec.run_id: spec for table in INSIDE for spec in TABLES[table].plan(parse(("--table", table, *FEW))).specs
    }
    assert publish.publish(works.values(), small.results, force=False, weights=False) == 0
    report.write_committed(small.tables)
    assert {table: without_links(small.page(table)) for table in INSIDE} == made
    assert len(finished_runs(small.measured)) == 4
    assert not [*small.measured.glob("*/checkpoint.pt")]
    asked = ("--table", *INSIDE, "--check", "--tables", str(small.tables))
    assert run.main(asked) == 0
    names = {path.name for path in report.write(["cifar_depth"], small.measured, tmp_path)}
    assert {name for name in names if name.endswith(".md")} == {"cifar_depth.md", f"cifar_depth{PAGE}.md"}
    (points,) = small.measured.glob("resnet-8-A-plane-0-5-*/points.jsonl")
    points.write_text(points.read_text().replace('"row": 1', '"row": 2', 1))
    capsys.readouterr()
    assert run.main(asked) == 1
    assert "points.jsonl has other points than its spec says" in capsys.readouterr().err

"""--check: what people read is what tables/measured gives, and nothing lies about that nothing gives."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from conftest import ROOT
from PIL import Image
from test_transfer import in_json, in_line

from bench import run
from bench.command import check, documents, report
from bench.command import tables as register
from bench.command.pages import MEASURED
from bench.errors import UserError
from bench.report.sections.runs import Found
from bench.runs.finished import finished_runs

SEEDS = {id_: run.result for id_, run in finished_runs(MEASURED).items() if id_.startswith("plain-20-short-s")}
RUN = min(SEEDS)
FIRST = f"{SEEDS[RUN].test_error:.2f}"
MEAN = f"{fmean(result.test_error for result in SEEDS.values() if result.test_error):.2f}"
"""As the page of the short schedule has it, in its first row."""


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """What is committed of the tables, without what is local."""
    ignored = shutil.ignore_patterns(*check.UNCOMMITTED, *check.OF_PEOPLE)
    return shutil.copytree(ROOT / "tables", tmp_path / "tables", ignore=ignored)


def lines(tables: Path, capsys: pytest.CaptureFixture[str], *names: str) -> list[str]:
    """What the check of these tables says, below its heading."""
    status = run.main(("--table", *names, "--check", "--tables", str(tables)))
    said = capsys.readouterr().err.splitlines()
    assert status == (1 if said else 0)
    return [line.strip() for line in said[1:]]


def test_names_of_pages_and_figures_begin_with_the_tables() -> None:
    found = Found(finished_runs(MEASURED), (MEASURED, MEASURED))
    for name in register.TABLES:
        written = register.pages([name], found)
        assert written
        assert all(each.name.split(".")[0] == name for page in written for each in (page, *page.figures))


def test_nothing_is_drawn_otherwise_in_another_process(tmp_path: Path) -> None:
    """The same bytes whatever was drawn before: SVG, PNG and pages."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom bench.command import pages, report\n"
        "report.write(['layer_responses'], pages.MEASURED, Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "there")], check=True, cwd=ROOT)
    report.write(["layer_responses", "third_party", "layer_responses"], MEASURED, tmp_path / "here")
    there = {p.name: p.read_bytes() for p in (tmp_path / "there").rglob("*.*")}
    here = {p.name: p.read_bytes() for p in (tmp_path / "here").rglob("layer_responses*.*")}
    assert there == here
    assert {Path(name).suffix for name in there} == {".md", ".csv", ".svg", ".png"}


def test_what_is_committed_passes_whatever_is_local_beside_it(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one table, since to draw all takes a minute: `make regression` does, which CI runs."""
    (tables / "cifar_depth.smoke.md").write_text("of this machine alone")
    (tables / "figures" / "cifar_depth.smoke.svg").write_text("of this machine alone")
    (tables / "report.html").write_text("of this machine alone")
    assert lines(tables, capsys, "cifar_depth") == []


def without_pages(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    bare = replace(register.TABLES[name], planner=None)
    monkeypatch.setitem(register.TABLES, name, bare)
    for made in ("variants", "pages"):
        if hasattr(bare.report, made):
            monkeypatch.setattr(bare.report, made, lambda found: ())


def other_digit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def dotted(path: Path) -> None:
    """One pixel of a picture, one step darker."""
    picture = Image.open(path).convert("RGBA")
    red, green, blue, alpha = picture.getpixel((5, 7))  # type: ignore[misc]
    picture.putpixel((5, 7), (red - 1, green, blue, alpha))
    picture.save(path)


PAGE, SVG, PNG = "third_party.md", "figures/third_party.svg", "figures/third_party.png"
"""Of the table that is drawn fastest."""
with Image.open(ROOT / "tables" / PNG) as _picture:
    WIDTH, HEIGHT = _picture.size


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (PAGE, lambda path: other_digit(path, "8.75", "8.76"), ": expected '"),
        (PAGE, lambda path: path.write_text(path.read_text() + "\n"), "expected '', found '\\n'"),
        (PAGE, lambda path: path.write_text(path.read_text().rstrip("\n")), "\\n', found '"),
        (PAGE, Path.unlink, ": missing"),
        (SVG, lambda path: other_digit(path, "L ", "M "), ": expected '"),
        (SVG, Path.unlink, ": missing"),
        (PNG, dotted, f": 1 of {WIDTH * HEIGHT:,} pixels are others"),
        (PNG, lambda path: path.write_bytes(path.read_bytes()[:-900]), ": no picture ("),
        (PNG, lambda path: Image.new("RGB", (2, 3)).save(path), f": expected {WIDTH}x{HEIGHT} pixels, found 2x3"),
        ("throughput.md", lambda path: other_digit(path, "1", "2"), ": expected '"),
        ("imagenet_shortcuts.md", lambda path: other_digit(path, "24", "25"), ": expected '"),
        ("harness.md", Path.unlink, ": missing"),
        ("third_party.mine.md", lambda path: path.write_text("x"), ": no results in tables/measured give this"),
        ("figures/third_party.md", lambda path: path.write_text("x"), ": no results in tables/measured give this"),
    ],
)
def test_a_difference_is_named(
    tables: Path, capsys: pytest.CaptureFixture[str], name: str, damage: Callable[[Path], None], message: str
) -> None:
    damage(tables / name)
    table = Path(name).name.split(".")[0]
    (line,) = lines(tables, capsys, table)
    assert line.startswith(f"{tables / name}:")
    assert message in line
    others = [other for other in ("loading", "imagenet_multiscale") if other != table]
    assert lines(tables, capsys, *others) == []


def test_a_picture_that_is_compressed_otherwise_is_the_same(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (tables / PNG).read_bytes()
    Image.open(tables / PNG).save(tables / PNG, compress_level=1)
    assert (tables / PNG).read_bytes() != before
    assert lines(tables, capsys, "third_party") == []


def ids_of(path: Path) -> list[str]:
    return list(dict.fromkeys(check.SVG_ID.findall(path.read_text())))


def test_a_picture_whose_ids_alone_differ_is_the_same(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """matplotlib makes them of unrounded places, which differ between processors in the last bit."""
    path = tables / SVG
    text = path.read_text()
    first, *_ = ids_of(path)
    path.write_text(text.replace(first, "p0123456789"))
    assert lines(tables, capsys, "third_party") == []


def test_a_picture_that_refers_to_another_id_is_another(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tables / SVG
    first, second, *_ = ids_of(path)
    path.write_text(second.join(path.read_text().rsplit(first, 1)))
    (line,) = lines(tables, capsys, "third_party")
    assert line.startswith(f"{path}:")


def test_a_file_of_no_table_is_found_by_the_check_of_all(
    tables: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.studies.complexity.ARCHS", ())  # counting takes a minute, and is not asked here
    for name in register.TABLES.keys() - {"harness", "loading", "throughput"}:
        without_pages(monkeypatch, name)  # to draw all takes as long
    (tables / "notes.md").write_text("x")
    assert lines(tables, capsys, "harness") == []
    assert f"{tables / 'notes.md'}: no results in tables/measured give this page" in lines(tables, capsys, "all")


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("REPRODUCE.md", "measured on the same net", "guessed"),
        ("README.md", MEAN, f"{float(MEAN) + 0.01:.2f}"),
        ("docs/tutorial.md", "ResNet-1202", "ResNet-1203"),
        ("docs/reference/cli.md", "`--dry-run`", "`--dryrun`"),
        ("docs/reference/recipe.md", "`bn_group`", "`bn_groups`"),
    ],
)
def test_the_numbers_in_a_document_are_checked(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    right: str,
    wrong: str,
) -> None:
    document = ROOT / name
    text = documents.render(MEASURED)[document]
    assert text == document.read_text()
    monkeypatch.setattr(documents, "render", lambda _: {document: text.replace(right, wrong, 1)})
    without_pages(monkeypatch, "cifar_depth")  # which take seconds to draw
    (line,) = lines(tmp_path, capsys, "cifar_depth")
    assert line.startswith(f"{document}:")


@pytest.mark.parametrize("marker", ["<!-- cost: written by --publish -->", "<!-- end of cost -->"])
@pytest.mark.parametrize("times", [0, 2])
def test_a_document_that_lost_a_marker_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marker: str, times: int
) -> None:
    guide = tmp_path / "guide.md"
    guide.write_text((ROOT / "REPRODUCE.md").read_text().replace(marker, marker * times))
    monkeypatch.setattr(documents, "GUIDE", guide)
    with pytest.raises(UserError, match=re.escape(str(guide)) + ".*put both back"):
        documents.render(MEASURED)


def text(change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda path: (path.write_text(change(path.read_text())), None)[1]


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (f"{RUN}/metrics.jsonl", text(in_line(1, "test_error", 42.08)), None),  # a possible value: only git could tell
        (f"{RUN}/metrics.jsonl", text(in_line(1, "test_error", 42.085)), "metrics.jsonl at iteration 782 has test_error"),
        (f"{RUN}/metrics.jsonl", text(in_line(-1, "test_error", 42.08)), f"result.json has test_error {float(FIRST)} where"),
        (f"{RUN}/spec.json", text(in_json("recipe.lr", 0.2)), "spec.json is of run plain-20-short-s0-"),
        (f"{RUN}/result.json", text(in_json("iterations", 400)), "result.json has iterations 400 where the others say"),
        (f"{RUN}/result.json", Path.unlink, "result.json is missing"),
        (f"{RUN}/provenance.json", Path.unlink, "provenance.json is missing"),
        (f"{RUN}/log.txt", lambda path: path.write_text("x"), "no part of what is published of a run"),
        ("other.json", lambda path: path.write_text("{}"), "of no table"),
        ("complexity.txt", lambda path: path.write_text("{}"), "of no table"),
        ("somebody/result.json", lambda path: path.write_text("{}"), "spec.json is missing"),
        ("weights/x/evaluation.json", lambda path: path.write_text('{"protocols": {}}'), "is damaged (name is None;"),
    ],
)  # fmt: skip
def test_what_is_measured_is_read_as_strictly_as_what_is_imported(
    tmp_path: Path, name: str, damage: Callable[[Path], None], message: str | None
) -> None:
    measured = shutil.copytree(MEASURED, tmp_path / "measured")
    assert list(check.measured(measured)) == []
    (measured / name).parent.mkdir(parents=True, exist_ok=True)
    damage(measured / name)
    found = list(check.measured(measured))
    if message is None:
        assert found == []
    else:
        assert len(found) == 1
        assert message in found[0]


def test_a_run_under_another_name_is_found(tmp_path: Path) -> None:
    measured = shutil.copytree(MEASURED, tmp_path / "measured")
    (measured / RUN).rename(measured / RUN.replace("s0", "s1"))
    (line,) = check.measured(measured)
    assert f"spec.json is of run {RUN}, and its folder says {RUN.replace('s0', 's1')}" in line


# Publishing, in a checkout of its own


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of what is measured it has one net alone: the pages of all take a minute to write each time."""
    folder = tmp_path_factory.mktemp("a checkout")
    for name in ("bench", "models", "slurm"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tables" / "published", folder / "tables" / "published")
    for run_id in SEEDS:
        shutil.copytree(MEASURED / run_id, folder / "tables" / "measured" / run_id)
    for name in ("README.md", "REPRODUCE.md"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    return folder


def command(checkout: Path, *arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(checkout / "bench" / "run.py"), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_what_another_machine_has_measured_is_published_and_checked(checkout: Path, tmp_path: Path) -> None:
    """Run there, packed, imported and published here; refused when it comes with another content."""
    measured = checkout / "tables" / "measured"
    study = ("--table", "cifar_depth", "--schedule", "short", "--dataset", "digits", "--only", "resnet-8-A")
    study = (*study, "--set", "iterations=20", "drops=10,15", "evaluate_every=10")
    there, bundle, here = tmp_path / "there", tmp_path / "runs.zip", tmp_path / "here"
    assert run.main([*study, "--results", str(there), "--tables", str(tmp_path / "t")]) == 0
    assert run.main(["--export", str(bundle), "--results", str(there)]) == 0
    command(checkout, "--import", bundle, "--publish", "--results", here)
    (run_id,) = finished_runs(here)

    def published() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (measured / run_id).iterdir()}

    first = published()
    assert first == {path.name: path.read_bytes() for path in (here / run_id).iterdir()}
    assert first.keys() == {"spec.json", "metrics.jsonl", "result.json", "provenance.json"}
    page = checkout / "tables" / "cifar_depth.short.digits.drops=10,15.evaluate_every=10.iterations=20.md"
    assert run_id in page.read_text()
    assert page.with_suffix(".svg").name in {path.name for path in (checkout / "tables" / "figures").iterdir()}

    assert run.main([*study, "--force", "--results", str(there), "--tables", str(tmp_path / "t")]) == 0  # other seconds
    done = command(checkout, *study, "--publish", "--results", there, status=1)
    assert f"refused: {run_id} is here with another " in done.stderr
    assert "--force replaces what is published" in done.stderr
    assert published() == first
    assert f"{run_id}: replaced" in command(checkout, *study, "--publish", "--force", "--results", there).stdout
    assert published() == {name: (there / run_id / name).read_bytes() for name in first} != first
    assert command(checkout, "--table", "cifar_depth", "--check").stderr == ""
    assert not [path for path in measured.iterdir() if path.name.startswith(".")]


def test_a_damaged_run_is_not_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(MEASURED.rglob("*"))
    (spec,) = (finished.spec for name, finished in finished_runs(MEASURED).items() if name == RUN)
    shutil.copytree(MEASURED / RUN, tmp_path / RUN)
    text(in_json("test_error", 1.25))(tmp_path / RUN / "result.json")
    study = ("--table", "cifar_depth", "--schedule", "short", "--only", spec.arch.name)
    assert run.main([*study, "--publish", "--results", str(tmp_path), "--tables", str(tmp_path / "t")]) == 2
    said = capsys.readouterr().err
    assert "result.json has test_error 1.25 where the others say" in said
    assert "move its folder away and run it again" in said
    assert sorted(MEASURED.rglob("*")) == before


def test_the_smoke_schedule_is_not_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = ("--table", "cifar_depth", "--schedule", "smoke", "--only", "resnet-8-A", "--set", "iterations=4")
    places = ("--results", str(tmp_path / "r"), "--tables", str(tmp_path / "t"))
    assert run.main([*study, *places]) == 0
    assert run.main([*study, "--publish", *places]) == 2
    assert "is of the smoke schedule, which measures nothing: leave it out" in capsys.readouterr().err
    assert not list(MEASURED.glob("*smoke*"))

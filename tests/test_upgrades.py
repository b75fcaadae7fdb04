"""A recipe field is added in three lines: committed runs are read, keep their ids, and nothing else goes wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from bench.command import tables
from bench.command.pages import MEASURED
from bench.compute import job
from bench.compute.context import Context, Source
from bench.errors import Interrupted, UserError
from bench.report.render import markdown
from bench.report.sections.runs import Found
from bench.runs import upgrades
from bench.runs.finished import finished_runs, without_damaged
from bench.runs.folder import RunFolder, read_spec
from bench.runs.spec import RunSpec
from bench.runs.upgrades import Added, identity, upgraded
from bench.studies import cifar_depth
from models.arch import Arch

RUNS = sorted(path.parent.name for path in MEASURED.glob("*/spec.json"))
RUN = next(name for name in RUNS if name.startswith("plain-20-short-s0-"))
SMALL = ("--table", "cifar_depth", "--schedule", "smoke", "--only", "resnet-8-A")


def grown(folder: Path) -> Path:
    """A copy of the project to which the diff in CONTRIBUTING.md was applied, and a field of Arch besides."""
    folder.mkdir()
    for name in ("bench", "models", "slurm"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    ignored = shutil.ignore_patterns("*.smoke*", "report.html")
    shutil.copytree(ROOT / "tables", folder / "tables", ignore=ignored)
    for name in ("README.md", "REPRODUCE.md"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    (diff,) = re.findall(
        r"```diff\n(--- a/bench/runs/spec\.py\n.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL
    )
    subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=folder, check=True, capture_output=True)
    field = '    stride_in: Literal["1x1", "3x3"] = "1x1"\n'
    change(folder / "models" / "arch.py", field, f"{field}    width: int = 16\n")
    steps, added = folder / "bench" / "runs" / "upgrades.py", '{2: Added({"CifarRecipe.cutout": 0})}\n'
    change(steps, added, added.replace("0}", '0, "Arch.width": 16}'))
    return folder


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grown(tmp_path_factory.mktemp("another version") / "project")


def python(project: Path, script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=project, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(project: Path, *arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(project / "bench" / "run.py"), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def test_every_format_since_the_first_has_a_step() -> None:
    assert sorted(upgrades.UPGRADES) == list(range(upgrades.IDENTITY, upgrades.FORMAT))


def test_a_field_is_added_and_every_committed_run_keeps_its_id(project: Path) -> None:
    script = """
import json
from pathlib import Path
from bench.runs.folder import RunFolder, read_spec
from bench.runs.spec import RunSpec
for path in sorted(Path("tables/measured").glob("*/spec.json")):
    folder = RunFolder(path.parents[1], path.parent.name)
    spec = read_spec(path)
    result = folder.read_measured() if spec.measures else folder.read_result()
    again = spec.to_json()
    assert read_spec(path) == spec and again["format"] == 3, again
    recipe, arch = spec.to_json().get("recipe") or again["run"]["recipe"], spec.arch
    assert recipe["cutout"] == 0 and arch.width == 16 and result.run_id == folder.run_id
    print(spec.run_id)
"""
    assert python(project, script).split() == RUNS
    assert len(RUNS) >= 81


def test_a_field_that_is_not_as_before_gives_another_id(project: Path) -> None:
    script = f"""
from dataclasses import replace
from pathlib import Path
from bench.runs.derived import Responses, from_json
from bench.runs.folder import read_spec
one = read_spec(Path("tables/measured/{RUN}/spec.json"))
other = replace(one, recipe=replace(one.recipe, cutout=8))
wide = replace(one, arch=replace(one.arch, width=32))
assert len({{spec.run_id for run in (one, other, wide) for spec in (run, Responses(run, 10))}}) == 6
for spec in (one, other, wide, Responses(other, 10)):
    assert from_json(spec.to_json()) == spec
"""
    python(project, script)


def test_check_finds_nothing_after_a_field_was_added(project: Path) -> None:
    """Only the page of recipe fields lacks it, until the next --publish."""
    said = command(project, "--table", "cifar_depth", "layer_responses", "--check", status=1)
    (line,) = said.stderr.splitlines()[1:]
    assert "docs/reference/recipe.md" in line
    assert "cutout" in line


def test_a_run_that_stands_half_way_goes_on_in_the_next_version(project: Path, tmp_path: Path) -> None:
    """Stopped in one version and ended in the next, to the same bits as one that was never stopped."""
    arch = Arch("cifar", 8, "A")
    recipe = replace(cifar_depth.recipe(arch, "smoke", "digits"), iterations=12, drops=(6, 9), evaluate_every=4)
    spec, stops = RunSpec(arch, recipe, "digits", 0), iter([False] * 6 + [True])
    job.run(spec, Context(tmp_path / "whole", Source(Path())))
    with pytest.raises(Interrupted):
        job.run(spec, Context(tmp_path / "parts", Source(Path()), should_stop=lambda: next(stops)))
    folder = RunFolder(tmp_path / "parts", spec.run_id)
    assert folder.checkpoint.exists()
    words = (*SMALL, "--set", "iterations=12", "drops=6,9", "evaluate_every=4")
    places = ("--results", tmp_path / "parts", "--tables", tmp_path / "t")
    command(project, *words, *places)
    whole, parts = (fields(RunFolder(tmp_path / place, spec.run_id)) for place in ("whole", "parts"))
    assert whole == parts
    assert json.loads(folder.result.read_text())["format"] == 3
    assert json.loads(folder.spec.read_text())["format"] == 2  # as it was begun
    assert json.loads(folder.provenance.read_text())["restarts"] == 1
    states = [torch.load(RunFolder(tmp_path / place, spec.run_id).checkpoint)["net"] for place in ("whole", "parts")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def fields(folder: RunFolder) -> dict[str, object]:
    """What a result says besides seconds."""
    data = json.loads(folder.result.read_text())
    return {key: value for key, value in data.items() if "second" not in key and key != "format"}


def test_a_bundle_of_the_version_before_is_imported_and_the_next_publish_rewrites(
    project: Path, tmp_path: Path
) -> None:
    bundle, taken = tmp_path / "runs.zip", tmp_path / "taken"
    command(ROOT, "--export", bundle, "--table", "cifar_depth", "--schedule", "short", "--results", MEASURED)
    assert "to go on" not in command(project, "--import", bundle, "--results", taken).stdout
    there = sorted(path.name for path in taken.iterdir() if path.is_dir())
    assert RUN in there
    assert "already there" in command(project, "--import", bundle, "--results", taken).stdout
    for name in there:  # in the new format, and still the same run to a bundle of the old one
        folder = RunFolder(taken, name)
        rewrite = f"RunFolder(Path({str(taken)!r}), {name!r}).rewrite()"
        python(project, f"from pathlib import Path\nfrom bench.runs.folder import RunFolder\n{rewrite}")
        assert {json.loads(path.read_text())["format"] for path in (folder.spec, folder.result)} == {3}
    assert "refused" not in command(project, "--import", bundle, "--results", taken).stdout
    with pytest.raises(UserError, match="format 3 is newer than this version reads"):
        read_spec(RunFolder(taken, RUN).spec)


# Folders that cannot be read


def damaged(results: Path) -> dict[str, str]:
    """Make a results folder of one whole run and four that cannot be read; returns what is said of each."""
    shutil.copytree(MEASURED / RUN, results / RUN)
    said = {}
    for seed, (file, old, new, reason) in enumerate(
        [
            ("spec.json", '"format": 2', '"format": 9', "format 9 is newer than this version reads"),
            ("spec.json", '"format": 2', '"format": 0', "format is 0; expected 2"),
            ("spec.json", "{", "", "Extra data"),
            ("spec.json", '"batch"', '"batches"', "recipe fields differ: batch, batches"),
            ("spec.json", '"seed": 5', '"seed": 6', "it is of run plain-20-short-s6"),
            ("result.json", "{", "", "Extra data"),
            ("result.json", '"format": 2', '"format": 0', "format is 0; expected 2"),
            ("result.json", '"test_images"', '"images_of_test"', "images_of_test, test_images"),
            ("metrics.jsonl", "}", "", "metrics.jsonl is damaged"),
            ("provenance.json", "}", "", "provenance.json is damaged"),
        ]
    ):
        spec = replace(read_spec(MEASURED / RUN / "spec.json"), seed=500 + seed)
        folder = RunFolder(results, spec.run_id)
        shutil.copytree(MEASURED / RUN, folder.path)
        folder.spec.write_text(json.dumps(spec.to_json()))
        folder.result.write_text(folder.result.read_text().replace(RUN, spec.run_id))
        text = (folder.path / file).read_text()
        (folder.path / file).write_text(text.replace(old, new, 1) if new else text[1:].replace(old, new))
        said[f"{spec.run_id}/{file}"] = reason
    (results / "of somebody else").mkdir()
    (results / "of somebody else" / "result.json").write_text("[]")
    return {**said, "of somebody else/spec.json": "cannot be read"}


@pytest.mark.slow
def test_folders_that_cannot_be_read_are_named_and_left_out(tmp_path: Path) -> None:
    """Each in a line; the page says how many, and has what can be read."""
    said = damaged(tmp_path / "results")
    study = ("--table", "cifar_depth", "--schedule", "short", "--only", "plain-20", "--report")
    places = ("--results", tmp_path / "results", "--tables", tmp_path / "t")
    done = command(ROOT, *study, *places)
    lines = done.stderr.splitlines()
    assert len(lines) == len(said)
    for file, reason in said.items():
        (line,) = (line for line in lines if file in line)
        assert line.startswith("left out: ")
        assert reason in line
    page = (tmp_path / "t" / "cifar_depth.short.md").read_text()
    assert f"**{len(said)} folders left out**" in page
    assert RUN in page
    assert f"<strong>{len(said)} folders left out</strong>" in (tmp_path / "t" / "report.html").read_text()


def test_a_table_without_runs_says_nothing_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged(tmp_path)
    finished_runs(tmp_path)
    assert "left out: " in capsys.readouterr().err

    def page(name: str) -> str:
        found = Found(finished_runs(tmp_path), (tmp_path, MEASURED))
        return markdown.render(tables.pages([name], found)[0])

    one, other = (without_damaged(partial(page, name)) for name in ("third_party", "claims"))
    assert "left out**" not in one
    assert "left out**" in other


# The functions themselves


def test_a_step_leaves_what_it_is_given_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.loads((MEASURED / RUN / "spec.json").read_text())
    before = json.dumps(data)
    monkeypatch.setattr(upgrades, "FORMAT", 4)
    monkeypatch.setattr(
        upgrades, "UPGRADES", {2: Added({"Recipe.a": (1, 2)}), 3: Added({"Arch.b": 0, "RunSpec.c": None})}
    )
    after = upgraded(data)
    assert (after["recipe"]["a"], after["arch"]["b"], after["c"], after["format"]) == ([1, 2], 0, None, 4)
    assert identity({**after, "recipe": {**after["recipe"], "a": (1, 2)}}) == data
    other = identity({**after, "recipe": {**after["recipe"], "a": [1, 3]}})
    assert other == {**data, "recipe": {**data["recipe"], "a": [1, 3]}}
    assert json.dumps(data) == before


@pytest.mark.parametrize("format_", [None, 0, 1, -1, "2", 2.5, True, [2], 10**50])
def test_another_format_is_refused(format_: object) -> None:
    with pytest.raises(ValueError, match="format"):
        upgraded({"format": format_})

"""Runs that move between machines: real bundles of real runs, and what is done to them on the way."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, Command
from test_imagenet import data_set
from test_imagenet import spec as image_spec

from bench import run
from bench.cluster.status import survey
from bench.command.parse import parse
from bench.command.tables import TABLES
from bench.compute import job
from bench.compute.context import Context
from bench.errors import Interrupted, UserError
from bench.exchange import bundle, merge, validate, validate_checkpoint
from bench.exchange.validate import EVALUATION
from bench.files import read_json, write_json
from bench.runs.folder import RunFolder
from bench.runs.scores import Evaluation, Score, evaluations, read_scores, write_evaluation
from bench.runs.spec import RunSpec
from bench.training.source import Source

STUDY = (
    "--table", "cifar_depth", "--schedule", "short", "--dataset", "digits", "--only", "resnet-8-A",
    "--set", "iterations=40", "drops=20,30", "evaluate_every=10",
)  # fmt: skip
TWO = (*STUDY, "--seeds", "2")
RECORDS = {"spec.json", "metrics.jsonl", "provenance.json", "result.json"}


def do(*arguments: object, status: int = 0) -> None:
    assert run.main(list(map(str, arguments))) == status


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a command that ends with exit status 2."""
    capsys.readouterr()
    do(*arguments, status=2)
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1, said.err
    return said.err


def specs(*arguments: str) -> tuple[RunSpec, ...]:
    return TABLES["cifar_depth"].plan(parse(arguments or TWO)).specs


def content(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".lock")
    }


def packed(results: Path, folder: Path) -> Path:
    """A bundle of all that is in a results folder, checkpoints too."""
    path = folder / f"{results.name}.zip"
    do("--export", path, "--force", "--checkpoints", "all", "--results", results)
    return path


class Made:
    """Two finished runs, made by the command, and two bundles of them."""

    def __init__(self, folder: Path) -> None:
        self.results, self.tables = folder / "results", folder / "tables"
        self.bundle, self.whole = folder / "runs.zip", folder / "with checkpoints.zip"
        do(*TWO, "--results", self.results, "--tables", self.tables)
        do("--export", self.bundle, *TWO, "--results", self.results)
        do("--export", self.whole, *TWO, "--checkpoints", "all", "--results", self.results)
        self.first, self.second = (RunFolder(self.results, spec.run_id) for spec in specs())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made here"))


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Results folders in which the first run was stopped after so many evaluation points, the latter out of the former."""
    folders: dict[int, Path] = {}
    (spec,) = specs(*STUDY)
    for points in (1, 2, 3):
        folders[points] = tmp_path_factory.mktemp(f"begun{points}")
        if points > 1:
            shutil.copytree(folders[points - 1], folders[points], dirs_exist_ok=True)
        folder = RunFolder(folders[points], spec.run_id)

        def enough(folder: RunFolder = folder, points: int = points) -> bool:
            return len(folder.read_metrics()) >= points

        with pytest.raises(Interrupted):
            job.run(spec, Context(folders[points], Source(Path()), should_stop=enough))
    return folders


# What is moved


def test_export_import_and_report_give_the_same_pages(command: Command, made: Made) -> None:
    """By three commands as a person types them, in a folder with a space."""
    packed = command.folder / "all of it.zip"
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "run.py"), "--export", packed, "--results", str(made.results)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "2 finished" in done.stdout
    assert "kB" in done.stdout
    said = command("--import", packed).stdout
    assert said.count(": new\n") == 2
    do(*TWO, "--report", "--results", command.results, "--tables", command.tables)
    without_logs, bare = content(made.tables), command.folder / "without logs"
    shutil.copytree(made.results, bare, ignore=shutil.ignore_patterns("log.txt"))  # a log does not travel
    do(*TWO, "--report", "--results", bare, "--tables", command.folder / "bare tables")
    without_logs["report.html"] = content(command.folder / "bare tables")["report.html"]
    assert content(command.tables) == without_logs == content(command.folder / "bare tables")
    assert len(content(command.tables)) == 7  # page, its values, two figures as SVG and PNG, report.html
    moved = content(command.results)
    assert moved == {name: data for name, data in content(made.results).items() if Path(name).name in RECORDS}
    assert len(moved) == 8


def test_a_bundle_is_small_and_its_bytes_depend_on_the_runs_alone(made: Made, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    do("--export", again, *TWO, "--results", made.results)
    assert again.read_bytes() == made.bundle.read_bytes()
    assert made.bundle.stat().st_size < 2 * 40_000
    infos = zipfile.ZipFile(made.bundle).infolist()
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert [info.filename for info in infos[:-1]] == sorted(info.filename for info in infos[:-1])
    copied = tmp_path / "results"
    do("--import", again, "--results", copied)
    do("--export", again, "--force", *TWO, "--results", copied)
    assert again.read_bytes() == made.bundle.read_bytes()


def test_what_is_packed_is_what_was_asked_for(made: Made, tmp_path: Path) -> None:
    one, bare = tmp_path / "one.zip", tmp_path / "bare.zip"
    do("--export", one, *STUDY, "--results", made.results)
    do("--export", bare, "--results", made.results)
    assert {name.split("/")[1] for name in zipfile.ZipFile(one).namelist()[:-1]} == {made.first.run_id}
    assert bare.read_bytes() == made.bundle.read_bytes()
    names = {Path(name).name for name in zipfile.ZipFile(made.bundle).namelist()}
    assert names == {*RECORDS, "manifest.json"}
    assert {Path(name).name for name in zipfile.ZipFile(made.whole).namelist()} == {*names, "checkpoint.pt"}


def test_what_cannot_be_packed_is_said(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing, there = tmp_path / "nothing", tmp_path / "there.zip"
    assert "nothing: no such folder" in refused(capsys, "--export", there, "--results", nothing)
    nothing.mkdir()
    said = refused(capsys, "--export", there, "--results", nothing)
    assert "none of these runs is finished" in said
    assert not there.exists()
    there.write_bytes(b"precious")
    assert "is there already" in refused(capsys, "--export", there, "--results", made.results)
    assert there.read_bytes() == b"precious"
    copied = tmp_path / "copied"
    shutil.copytree(made.results, copied)
    folder = RunFolder(copied, made.first.run_id)
    folder.metrics.write_text(folder.metrics.read_text().replace('"test_error": ', '"test_error": 1', 1))
    assert f"{folder.path}: metrics.jsonl " in refused(capsys, "--export", tmp_path / "new.zip", "--results", copied)
    assert not (tmp_path / "new.zip").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--checkpoints", "all", "--table", "cifar_depth"), "--checkpoints all is for export: add --export"),
        (("--import", "a.zip", "--table", "cifar_depth"), "--import does one thing and stops: leave out --table"),
        (("--import", "a.zip", "--force"), "--force is for --publish here: add that, or leave out --force"),
        (("--import", "a.zip", "--export", "b.zip"), "--export and --import are different commands"),
        (("--export", "a.zip", "--report", "--check"), "--export and --report and --check are different commands"),
        (("--export", "a.zip", "--checkpoints", "some"), "--checkpoints some: choose from unfinished, all"),
        (("--import", "nowhere.zip"), "--import nowhere.zip: there is no such file"),
    ],
)  # fmt: skip
def test_mistakes(capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(capsys, *arguments, "--results", tmp_path / "r")


def test_a_run_that_diverged_is_a_result_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (spec,) = specs(*STUDY[:-3], "lr=1e30", "drops=20,30", "iterations=40", "evaluate_every=10")
    job.run(spec, Context(tmp_path / "there", Source(Path())))
    do("--import", packed(tmp_path / "there", tmp_path), "--results", tmp_path / "here")
    result = RunFolder(tmp_path / "here", spec.run_id).read_result()
    assert (result.status, result.iterations) == ("diverged", 10)
    (there, here) = (survey((spec,), tmp_path / folder).standings[0] for folder in ("there", "here"))
    why = "NaN: the loss was not finite after 10 iterations"
    assert (there.why, there.diverged) == (here.why, here.diverged) == (why, True)
    assert f"{spec.run_id}: new" in capsys.readouterr().out


@pytest.mark.slow
def test_an_imagenet_run_takes_its_scores_along_and_tests_of_weights(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = data_set(shared, tmp_path / "images", 16)
    one, there, here = image_spec(images, iterations=2, drops=(1,)), tmp_path / "there", tmp_path / "here"
    job.run(one, Context(there, Source(images, workers=0)))
    scores = {"10-crop": Score(11, 3, 50), "1-crop": Score(12, None, 50)}
    write_evaluation(there / "weights" / "net.pt--1-" / EVALUATION, Evaluation("net.pt (1)", "imagenet-x", "", scores))
    path = packed(there, tmp_path)
    do("--import", path, "--results", here)
    assert f"weights/net.pt--1-: new\ninto {here}: 2 new" in capsys.readouterr().out
    moved = content(here)
    assert moved == {name: data for name, data in content(there).items() if Path(name).name in validate.FILES}
    of_others = {"points.jsonl", validate.CONSTRUCTION}  # of what is done with the nets of runs
    assert {Path(name).name for name in moved} == set(validate.FILES) - of_others
    assert evaluations(here) == evaluations(there) != []
    do("--import", path, "--results", here)
    assert f"into {here}: 2 already there" in capsys.readouterr().out

    evaluation = there / "weights" / "net.pt--1-" / EVALUATION
    evaluation.write_text(evaluation.read_text().replace("11", "13"))
    do("--import", packed(there, tmp_path), "--results", here, status=1)
    assert "refused: weights/net.pt--1- is here with another evaluation.json" in capsys.readouterr().err
    assert content(here) == moved
    do("--export", path, "--force", "--results", here)  # without the checkpoint, which is large
    wrong = read_scores(RunFolder(here, one.run_id).evaluation)["1-crop"].top1_wrong  # of three
    for file, change, message in (
        (
            f"weights/net.pt--1-/{EVALUATION}",
            in_json("protocols.10-crop.top5_wrong", 12),
            "expected 0 <= top5 <= top1 <= images",
        ),
        (f"weights/net.pt--1-/{EVALUATION}", in_json("name", "a | b"), "is damaged ('a | b' is on no page"),
        (f"weights/net.pt--1-/{EVALUATION}", in_json("protocols", []), "is damaged (value is []; expected object)"),
        (f"{one.run_id}/{EVALUATION}", in_json("protocols.10-crop.images", 0), "expected 0 <= top5 <= top1 <= images"),
        (f"{one.run_id}/{EVALUATION}", in_json("protocols.10-crop.images", "3"), "images is '3'; expected int"),
        (f"{one.run_id}/{EVALUATION}", in_json("protocols.10-crop.images", 17), "has 10-crop of 17 images, and"),
        (f"{one.run_id}/{EVALUATION}", in_json("protocols.1-crop.top1_wrong", (wrong + 2) % 4), "%, and the result"),
        (
            f"{one.run_id}/spec.json",
            in_json("dataset", "imagefolder-../../x"),
            "dataset is 'imagefolder-../../x'; expected",
        ),
    ):
        lie = forged(tmp_path / "forged.zip", changed(members(path), file, change), honest=True)
        assert message in untaken(lie, tmp_path / "lies", capsys)


# What is done to a bundle on the way

Members = list[tuple[zipfile.ZipInfo, bytes]]


def members(path: Path) -> Members:
    with zipfile.ZipFile(path) as opened:
        return [(info, opened.read(info)) for info in opened.infolist()]


def forged(path: Path, parts: Members, honest: bool = False) -> Path:
    """A bundle of these parts; `honest` ones have a manifest that says what is in them."""
    if honest:
        parts = [(info, data) for info, data in parts if info.filename != "manifest.json"]
        files = {i.filename: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for i, data in parts}
        manifest = {"format": bundle.FORMAT, "kind": bundle.KIND, "files": files}
        parts = [*parts, (zipfile.ZipInfo("manifest.json"), json.dumps(manifest).encode())]
    with zipfile.ZipFile(path, "w") as opened:
        for info, data in parts:
            if info.filename in opened.namelist():
                with pytest.warns(UserWarning, match="Duplicate name"):
                    opened.writestr(info, data)
            else:
                opened.writestr(info, data)
    return path


def with_file(parts: Members, name: str, data: bytes | None = None) -> Members:
    """The first file of that kind under another name, or another content."""
    info, old = next((info, data) for info, data in parts if info.filename.endswith("metrics.jsonl"))
    new = zipfile.ZipInfo(name)
    new.external_attr = info.external_attr
    return [*parts, (new, old if data is None else data)]


def changed(parts: Members, suffix: str, change: Callable[[str], str]) -> Members:
    """The text of the first file that ends so, changed."""
    index = next(i for i, (info, _) in enumerate(parts) if info.filename.endswith(suffix))
    info, data = parts[index]
    text = change(data.decode())
    assert text != data.decode()
    return [*parts[:index], (info, text.encode()), *parts[index + 1 :]]


def linked(parts: Members) -> Members:
    """The first spec as a symbolic link to a file of the machine."""
    index = next(i for i, (info, _) in enumerate(parts) if info.filename.endswith("spec.json"))
    info = zipfile.ZipInfo(parts[index][0].filename)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return [*parts[:index], (info, b"/etc/hostname"), *parts[index + 1 :]]


def untaken(path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a bundle of which nothing may be taken."""
    results = folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    said = refused(capsys, "--import", path, "--results", results)
    assert list(results.iterdir()) == []
    assert not [file for file in folder.rglob("*") if file.suffix in (".json", ".jsonl", ".pt")]
    assert f"run.py: --import {path} " in said
    assert "nothing of it was taken" in said
    return said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/etc/cron.d/spec.json", "'/etc/cron.d/spec.json', which would lie outside of the results folder"),
        ("runs/../../spec.json", "which would lie outside of the results folder"),
        ("runs/..\\spec.json", "which would lie outside of the results folder"),
        ("C:/spec.json", "which would lie outside of the results folder"),
        ("runs/resnet-8-A-s0-00000000/log.txt", "which is no file of a run"),
        ("runs/resnet-8-A-s0-00000000/", "which is no file of a run"),
        ("slurm/code/x.py", "which is no file of a run"),
        ("weights/.hidden/evaluation.json", "which is no file of a run"),
        ("runs/resnet-8-A-s0-00000000/spec.json", "whose metrics.jsonl is missing"),
    ],
)
def test_no_file_may_lie_where_no_run_has_one(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    path = forged(tmp_path / "forged.zip", with_file(members(made.bundle), name), honest=True)
    assert message in untaken(path, tmp_path, capsys)


@pytest.mark.parametrize("honest", [True, False])
def test_no_link_is_followed(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], honest: bool) -> None:
    path = forged(tmp_path / "forged.zip", linked(members(made.bundle)), honest)
    assert "which is a link, a device or a folder" in untaken(path, tmp_path, capsys)


def test_no_name_comes_twice(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = members(made.bundle)
    path = forged(tmp_path / "forged.zip", with_file(parts, parts[0][0].filename))
    assert "metrics.jsonl' twice" in untaken(path, tmp_path, capsys)


def test_a_file_that_is_cut_or_no_zip(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = made.bundle.read_bytes()
    for number, data in enumerate((whole[: len(whole) // 2], whole[:-1], b"", b"no zip at all")):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(data)
        assert "is no bundle, or not whole" in untaken(path, tmp_path, capsys)
    middle = len(whole) // 4  # in the middle of a provenance
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :])
    untaken(path, tmp_path, capsys)


@pytest.mark.parametrize(
    ("size", "message"), [(1 << 40, "of 1,099,511,627,776 bytes, which is more than it can have"), (9, "another size")]
)
def test_a_size_that_is_claimed(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int, message: str
) -> None:
    path = tmp_path / "forged.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for info, data in members(made.bundle):
            opened.writestr(info, data)
        opened.filelist[0].file_size = size
    assert message in untaken(path, tmp_path, capsys)


def test_a_bomb_is_not_unpacked(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """200 MB of zeros in 200 kB, under a manifest that says so: larger than a curve can be."""
    parts = members(made.bundle)
    info = zipfile.ZipInfo(parts[0][0].filename)
    info.compress_type = zipfile.ZIP_DEFLATED
    path = forged(tmp_path / "forged.zip", [(info, bytes(200_000_000)), *parts[1:]], honest=True)
    assert path.stat().st_size < 1_000_000
    assert "of 200,000,000 bytes, which is more than it can have" in untaken(path, tmp_path, capsys)


def test_a_checksum_finds_a_digit(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last digit of a speed, which nothing else could find."""
    parts = changed(
        members(made.bundle), "metrics.jsonl", lambda text: text[:-3] + str((int(text[-3]) + 1) % 10) + text[-2:]
    )
    path = forged(tmp_path / "forged.zip", parts)
    assert "metrics.jsonl with other bytes than its manifest.json says" in untaken(path, tmp_path, capsys)
    do("--import", forged(path, parts, honest=True), "--results", tmp_path / "results")


def in_json(key: str, value: Any) -> Callable[[str], str]:
    """Set a field, by its dotted name."""

    def change(text: str) -> str:
        data = json.loads(text)
        *above, last = key.split(".")
        inner = data
        for name in above:
            inner = inner[name]
        inner[last] = value
        return json.dumps(data)

    return change


def in_line(number: int, key: str, value: Any) -> Callable[[str], str]:
    def change(text: str) -> str:
        lines = text.splitlines()
        lines[number] = in_json(key, value)(lines[number])
        return "".join(line + "\n" for line in lines)

    return change


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("spec.json", in_json("seed", 7), "whose spec.json is of run resnet-8-A-short-s7-"),
        ("spec.json", in_json("recipe.lr", 0.2), "whose spec.json is of run resnet-8-A-short-s0-"),
        ("spec.json", in_json("recipe.lr", "0.1"), "whose spec.json is damaged (recipe.lr is '0.1'; expected float"),
        ("spec.json", in_json("recipe.drops", [20, "30"]), "whose spec.json is damaged (recipe.drops[1] is '30'; expected int"),
        ("spec.json", in_json("recipe.init", "mine"), "recipe.init is 'mine'; expected fan_in or fan_out"),
        ("spec.json", in_json("recipe.flip", 1), "whose spec.json is damaged (recipe.flip is 1; expected bool"),
        ("spec.json", in_json("dataset", "../../x"), "dataset is '../../x'; expected cifar10 or digits"),
        ("spec.json", in_json("arch.depth", 600_002), "whose spec.json is damaged (arch: depth 600002 is out of range"),
        ("spec.json", in_json("arch.depth", 9), "whose spec.json is damaged (arch: depth 9 is not 6n+2"),
        ("spec.json", in_json("arch.depth", [8]), "whose spec.json is damaged (arch.depth is [8]; expected int"),
        ("spec.json", in_json("recipe.more", 1), "whose spec.json is damaged (recipe fields differ: more)"),
        ("spec.json", in_json("format", 1), "whose spec.json is damaged (format is 1; expected 2)"),
        ("spec.json", lambda _: "[" * 100_000, "of 100,000 bytes, which is more than it can have"),
        ("spec.json", lambda _: "[" * 10_000, "whose spec.json is damaged (nested too deep"),
        ("spec.json", lambda text: text.replace('"seed": 0', '"seed": 1, "seed": 0'), "a name is given twice"),
        ("result.json", in_json("run_id", "x"), "whose result.json has run_id 'x' where the others say 'resnet-8-A"),
        ("result.json", in_json("test_error", 1.25), "whose result.json has test_error 1.25 where the others say"),
        ("result.json", in_json("test_error_best", 1.25), "whose result.json has test_error_best 1.25 where the others"),
        ("result.json", in_json("train_loss", 0.1), "whose result.json has train_loss 0.1 where the others say"),
        ("result.json", in_json("iterations", 39), "whose result.json has iterations 39 where the others say 40"),
        ("result.json", in_json("parameters", 7), "whose result.json has parameters 7 where the others say 75290"),
        ("result.json", in_json("status", "fine"), "whose result.json is damaged (status is 'fine'; expected done or diverged"),
        ("result.json", in_json("wall_seconds", float("inf")), "whose result.json is damaged (Infinity is no finite"),
        ("result.json", in_json("wall_seconds", True), "whose result.json is damaged (wall_seconds is True; expected float"),
        ("result.json", lambda text: text.replace("wall", "Wall"), "is damaged (Result fields differ: Wall_seconds, wall"),
        ("metrics.jsonl", in_line(0, "train_loss", float("nan")), "whose metrics.jsonl is damaged (NaN is no finite"),
        ("metrics.jsonl", in_line(1, "iteration", 10), "is damaged (line 2: iteration is 10; expected > 10"),
        ("metrics.jsonl", in_line(1, "test_error", 101), "(line 2: test_error is 101; expected >= 0 and <= 100"),
        ("metrics.jsonl", in_line(1, "test_error", 50.1), "whose metrics.jsonl at iteration 20 has test_error 50.1"),
        ("metrics.jsonl", in_line(1, "test_error", None), "whose metrics.jsonl is damaged (line 2: test_error is None"),
        ("metrics.jsonl", in_line(1, "note", "<b>"), "whose metrics.jsonl is damaged (line 2: "),
        ("metrics.jsonl", in_line(-1, "test_error", 0), "whose result.json has test_error "),
        ("metrics.jsonl", lambda text: text[: text.index("\n", 300) + 1], "whose metrics.jsonl does not reach iteration 40"),
        ("metrics.jsonl", lambda text: text[:-9], "whose metrics.jsonl is damaged ("),
        ("provenance.json", lambda _: "[]", "whose provenance.json is damaged (no object"),
        ("provenance.json", in_json("restarts", -1), "whose provenance.json is damaged (restarts is -1: restarts must be >= 0"),
        ("provenance.json", in_json("device.name", "<script>"), "whose provenance.json is damaged (device is '<script>'"),
        ("provenance.json", in_json("code.commit", "a\n| b"), "whose provenance.json is damaged (commit is 'a"),
    ],
)  # fmt: skip
def test_an_honest_manifest_does_not_help(
    made: Made,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    change: Callable[[str], str],
    message: str,
) -> None:
    """Every checksum is right, and every file is held against the others."""
    path = forged(
        tmp_path / "forged.zip", changed(members(made.bundle), f"s0-{digest(made)}/{file}", change), honest=True
    )
    said = untaken(path, tmp_path, capsys)
    assert message in said
    assert made.first.run_id in said


def digest(made: Made) -> str:
    return made.first.run_id.rsplit("-", 1)[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (in_json("format", 0), "is a bundle of format 0, and this version reads 1: nothing of it was taken; export it again"),
        (in_json("format", 2), "is a bundle of format 2, and this version reads 1: nothing of it was taken; take the version"),
        (in_json("kind", "holiday photos"), "has a damaged manifest.json (of something else)"),
        (in_json("files", []), "has a damaged manifest.json"),
        (in_json("files", {}), "holds other files than its manifest.json says"),
        (lambda _: "", "has a damaged manifest.json"),
    ],
)  # fmt: skip
def test_another_manifest(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[str], str], message: str
) -> None:
    path = forged(tmp_path / "forged.zip", changed(members(made.bundle), "manifest.json", change))
    assert message in untaken(path, tmp_path, capsys)


def test_no_manifest(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = forged(tmp_path / "forged.zip", members(made.bundle)[:-1])
    assert "has no manifest.json" in untaken(path, tmp_path, capsys)


# Checkpoints


class Malice:
    """A pickle that writes a file when it is read by a reader that executes what it is told."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.write_text, (self.path, "executed")


def saved(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def compressed(data: bytes) -> bytes:
    """The same parts, deflated, as a bomb would be."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    return buffer.getvalue()


def with_checkpoint(made: Made, data: bytes) -> Members:
    parts = members(made.whole)
    index = next(i for i, (info, _) in enumerate(parts) if info.filename.endswith("checkpoint.pt"))
    return [*parts[:index], (parts[index][0], data), *parts[index + 1 :]]


@pytest.mark.parametrize("form", ["saved", "bare", "inside"])
def test_no_pickle_is_executed(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    mark = tmp_path / "mark"
    state = torch.load(made.first.checkpoint, weights_only=True)
    data = {
        "saved": lambda: saved(Malice(mark)),
        "bare": lambda: pickle.dumps(Malice(mark)),
        "inside": lambda: saved({**state, "progress": {**state["progress"], "execution": Malice(mark)}}),
    }[form]()
    if form == "bare":
        pickle.loads(data)
    else:
        torch.load(io.BytesIO(data), weights_only=False)
    assert mark.read_text() == "executed"  # the attack is one
    mark.unlink()
    path = forged(tmp_path / "forged.zip", with_checkpoint(made, data), honest=True)
    assert f"holds runs/{made.first.run_id}, whose checkpoint.pt is damaged (" in untaken(path, tmp_path, capsys)
    assert not mark.exists()


def altered(key: str, value: Callable[[Any], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The state with one value changed, by its dotted name."""

    def change(state: dict[str, Any]) -> dict[str, Any]:
        inner: Any = state
        *above, last = [int(name) if name.isdigit() else name for name in key.split("/")]
        for name in above:
            inner = inner[name]
        inner[last] = value(inner[last])
        return state

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (altered("digest", lambda _: "0" * 64), "is a checkpoint of another run than resnet-8-A-short-s0-"),
        (altered("net/conv1.weight", lambda w: w[:8]), "does not fit resnet-8-A (conv1.weight is (8, 3, 3, 3))"),
        (altered("net/conv1.weight", lambda w: w.double()), "does not fit resnet-8-A (conv1.weight is "),
        (lambda s: {**s, "net": {**s["net"], "more": torch.zeros(1)}}, "does not fit resnet-8-A (other keys)"),
        (altered("optimiser/param_groups/0/maximize", lambda _: True), "has an optimiser of something else"),
        (altered("optimiser/param_groups/0/lr", lambda _: float("inf")), "has an optimiser of something else"),
        (altered("optimiser/state/0/momentum_buffer", lambda b: b[:1]), "has an optimiser of something else"),
        (altered("progress/iteration", lambda _: 41), "has iteration 41, and its run ends at 40"),
        (altered("progress/iteration", lambda _: 39), "is at iteration 39, the result at 40"),
        (altered("progress/metrics", lambda m: m[:-1]), "has another curve than metrics.jsonl"),
        (altered("progress/metrics/1/test_error", lambda e: e + 1), "has another curve than metrics.jsonl"),
        (altered("progress/recent_wrong", lambda _: "many"), "has no progress of this version (recent_wrong is 'many'"),
        (lambda s: {**s, "progress": {}}, "has no progress of this version"),
        (lambda s: {**s, "more": 1}, "has other parts than a checkpoint"),
    ],
)
def test_a_checkpoint_is_held_against_its_run(
    made: Made,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], dict[str, Any]],
    message: str,
) -> None:
    data = saved(change(torch.load(made.first.checkpoint, weights_only=True)))
    path = forged(tmp_path / "forged.zip", with_checkpoint(made, data), honest=True)
    assert f", whose checkpoint.pt {message}" in untaken(path, tmp_path, capsys)


def test_a_checkpoint_is_no_bomb(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(compressed(made.first.checkpoint.read_bytes()))
    torch.load(path, weights_only=True)  # torch would unpack it
    with pytest.raises(UserError, match="is compressed, which no checkpoint is"):
        validate_checkpoint.inspect(path, specs()[0])


# What is here already


def test_the_same_run_is_already_there(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    for path in (made.bundle, made.bundle, made.whole, made.whole, made.bundle):
        do("--import", path, "--results", results)
    said = capsys.readouterr().out.splitlines()
    name = f"{made.first.run_id}: "
    told = [line.removeprefix(name) for line in said if line.startswith(name)]
    again = "already there"
    assert told == ["new", again, f"{again}, now with checkpoint.pt", again, again]
    assert made.first.checkpoint.read_bytes() == RunFolder(results, made.first.run_id).checkpoint.read_bytes()


def test_the_same_run_with_another_result_is_refused_and_named(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was run again there: the same errors, other seconds. The other run is taken."""
    results = tmp_path / "results"
    job.run(specs()[0], Context(results, Source(Path())))
    before = content(results)
    do("--import", made.bundle, "--results", results, status=1)
    said = capsys.readouterr()
    assert f"refused: {made.first.run_id} is here with another " in said.err
    assert "result.json" in said.err
    assert "move what is here away and give the same command again" in said.err
    assert f"{made.second.run_id}: new" in said.out
    after = content(results)
    assert {name: data for name, data in after.items() if name in before} == before
    assert len(after) == len(before) + 4
    shutil.rmtree(results / made.first.run_id)
    do("--import", made.bundle, "--results", results)
    assert content(results) == {n: d for n, d in content(made.results).items() if Path(n).name in RECORDS}


def test_a_run_goes_on_elsewhere_to_the_same_bits(
    made: Made, begun: dict[int, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lease ends; the run is packed, unpacked on another machine, and the same command brings it to its end."""
    path, results = tmp_path / "begun.zip", tmp_path / "results"
    said = refused(capsys, "--export", path, "--results", begun[1])
    assert "none of these runs is finished" in said
    assert "add --checkpoints unfinished" in said
    do("--export", path, "--checkpoints", "unfinished", "--results", begun[1])
    assert "1 to go on elsewhere" in capsys.readouterr().out
    do("--import", path, "--results", results)
    do(*STUDY, "--dry-run", "--results", results)
    assert "goes on from its checkpoint" in capsys.readouterr().out
    do(*STUDY, "--results", results, "--tables", tmp_path / "tables")
    here = RunFolder(results, made.first.run_id)
    mine, theirs = (torch.load(f.checkpoint, weights_only=True)["net"] for f in (here, made.first))
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    errors = [
        [(p["iteration"], p["test_error"], p["train_loss"]) for p in f.read_metrics()] for f in (here, made.first)
    ]
    assert errors[0] == errors[1]
    facts, before = (read_json(f.provenance) for f in (here, RunFolder(begun[1], here.run_id)))
    assert facts["restarts"] == 1
    assert facts["started"] == before["started"]


def test_what_was_begun_here_goes_on_with_what_comes(
    begun: dict[int, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There and back again: each step is the same run, further; what is behind changes nothing."""
    (spec,) = specs(*STUDY)
    results = tmp_path / "results"
    shutil.copytree(begun[1], results)
    here = RunFolder(results, spec.run_id)
    do("--import", packed(begun[2], tmp_path), "--results", results)
    assert "goes on from iteration 10 at 20" in capsys.readouterr().out
    assert content(results) == {
        n: d for n, d in content(begun[2]).items() if "heartbeat" not in n and "log" not in n
    } | {f"{spec.run_id}/log.txt": here.log.read_bytes()}
    before = content(results)
    do("--import", packed(begun[1], tmp_path), "--results", results)
    assert "already there, and further, at iteration 20" in capsys.readouterr().out
    assert content(results) == before

    ended = tmp_path / "ended"
    shutil.copytree(begun[3], ended)
    job.run(spec, Context(ended, Source(Path())))
    path = tmp_path / "ended.zip"
    do("--export", path, "--results", ended)  # without its checkpoint
    do("--import", path, "--results", results)
    assert "goes on from iteration 20 at 40, finished" in capsys.readouterr().out
    assert here.read_result() == RunFolder(ended, spec.run_id).read_result()
    assert not here.checkpoint.exists()  # the one that was here is not of the net that was tested
    do("--import", tmp_path / f"{begun[1].name}.zip", "--results", results)
    assert "already there, and finished" in capsys.readouterr().out


def test_another_beginning_is_refused_and_named(
    made: Made, begun: dict[int, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sides computed the same run by themselves: neither is thrown away."""
    (spec,) = specs(*STUDY)
    results = tmp_path / "results"
    shutil.copytree(begun[2], results)
    before = content(results)
    do("--import", made.bundle, "--results", results, status=1)
    assert f"refused: {spec.run_id} was begun here in another way, and is at iteration 20" in capsys.readouterr().err
    assert {name: data for name, data in content(results).items() if name in before} == before
    other = tmp_path / "other"
    do("--import", made.bundle, "--results", other)
    do("--import", packed(begun[2], tmp_path), "--results", other, status=1)
    assert f"refused: {spec.run_id} is finished here, from another beginning" in capsys.readouterr().err


def test_a_run_that_is_worked_on_stays_where_it_is(
    made: Made, begun: dict[int, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Held by another process, or by its heartbeat alive: neither taken over nor given away."""
    (spec,) = specs(*STUDY)
    results = tmp_path / "results"
    shutil.copytree(begun[1], results)
    folder = RunFolder(results, spec.run_id)
    hold = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from bench.runs.folder import RunFolder
with RunFolder(Path({str(results)!r}), {spec.run_id!r}).locked():
    print("held", flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    try:
        do("--import", made.bundle, "--results", results, status=1)
        assert f"refused: {spec.run_id} is being worked on here" in capsys.readouterr().err
        path = tmp_path / "x.zip"
        said = refused(capsys, "--export", path, "--checkpoints", "unfinished", *STUDY, "--results", results)
        assert "none of these runs is finished" in said
    finally:
        process.communicate("")
    beat = read_json(folder.heartbeat)
    write_json(folder.heartbeat, {**beat, "state": "running", "pid": os.getpid()})
    do("--import", made.bundle, "--results", results, status=1)
    assert f"refused: {spec.run_id} is being worked on by process {os.getpid()} on " in capsys.readouterr().err
    assert not folder.finished()


def test_two_imports_at_once(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    results.mkdir()
    with merge.staging(results):
        assert "another command is importing there" in refused(capsys, "--import", made.bundle, "--results", results)
    do("--import", made.bundle, "--results", results)


def killed(moment: int, path: Path, results: Path) -> bool:
    """Import in a process that is killed by -9 before the `moment`-th change of a folder. Whether it came to that."""
    changes = {"os.rename", "os.remove", "os.mkdir", "shutil.rmtree"}
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in changes and str(results) in str(arguments[0]):
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, from Python 3.12 on
        child = os.fork()
    if child == 0:
        status = 9
        with contextlib.suppress(BaseException):
            sys.addaudithook(watch)
            status = run.main(["--import", str(path), "--results", str(results)])
        os._exit(status)
    _, ended = os.waitpid(child, 0)
    assert os.WIFSIGNALED(ended) or os.WEXITSTATUS(ended) == 0
    return os.WIFSIGNALED(ended)


@pytest.mark.slow
def test_kill_9_in_mid_import(made: Made, begun: dict[int, Path], tmp_path: Path) -> None:
    """At every moment, one after another: no run is ever in part, and the same command ends the work.

    One run is new here, the other was begun here and is replaced by its end.
    """
    (spec,) = specs(*STUDY)
    ended = tmp_path / "ended"
    shutil.copytree(begun[2], ended)
    job.run(spec, Context(ended, Source(Path())))
    shutil.copytree(made.second.path, ended / made.second.run_id)
    path = packed(ended, tmp_path)
    wanted = {n: d for n, d in content(ended).items() if Path(n).name in {*RECORDS, "checkpoint.pt"}}
    states, moment, alive = [], 0, True
    while alive:
        moment += 1
        results = tmp_path / f"results{moment}"
        shutil.copytree(begun[2], results)
        alive = killed(moment, path, results)
        for name in (spec.run_id, made.second.run_id):
            folder = RunFolder(results, name)
            if folder.finished():
                whole = {n: d for n, d in wanted.items() if n.startswith(name)}
                assert {n: d for n, d in content(results).items() if n in whole} == whole
            elif folder.path.exists():
                assert name == spec.run_id  # it goes on from the one checkpoint or the other
                assert validate_checkpoint.inspect(folder.checkpoint, spec).iteration in (20, 40)
        states.append(tuple(RunFolder(results, name).finished() for name in (spec.run_id, made.second.run_id)))
        do("--import", path, "--results", results)
        assert {name: data for name, data in content(results).items() if name in wanted} == wanted
        assert not [p for p in results.iterdir() if p.name.startswith(".")]
        shutil.rmtree(results)
    assert len(set(states)) == 3
    assert states == sorted(states)  # nothing that was there is gone again

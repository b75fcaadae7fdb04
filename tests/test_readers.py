"""Whatever is in a file, and whatever a path names, a reader gives a value or one line that says what is wrong."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import run
from bench.cluster import submissions
from bench.command.pages import MEASURED
from bench.compute import heartbeat
from bench.errors import UserError
from bench.exchange import bundle, validate
from bench.exchange.validate import Unsound
from bench.files import convert, parse, read_json, read_lines, read_table
from bench.measure.probes import gradients_record, responses_record, surface_record
from bench.measure.speed import records
from bench.report.tables import calibration, complexity, harness, loading
from bench.runs import construction
from bench.runs.finished import Finished, finished_runs
from bench.runs.folder import RunFolder, read_spec
from bench.runs.scores import read_evaluation, read_scores
from bench.runs.spec import CifarRecipe

RUN, *_ = (path.name for path in sorted(MEASURED.glob("plain-20-short-s0-*")))
RESPONSES, *_ = (path.name for path in sorted(MEASURED.glob("plain-20-responses-*")))
SURFACE, *_ = (path.name for path in sorted(MEASURED.glob("plain-20-lines-*")))
GRADIENTS, *_ = (path.name for path in sorted(MEASURED.glob("plain-20-bn-short-*")))
EXTENDED, *_ = (path.name for path in sorted(MEASURED.glob("plain-20-to-56-*")))
BEAT = {
    "state": "running",
    "host": "a",
    "pid": 9,
    "time": 1.0,
    "task": None,
    "restart": 0,
    "job_id": None,
    "iteration": 1,
}
BEAT |= {"iterations": 2, "images_per_second": 3.0, "seconds_left": None, "kind": "", "reason": ""}
ARRAY = {"comment": "c", "job_id": "1", "shape": "s", "folder": "/f", "tasks": [[RUN]]}
SENT = {
    "format": 1,
    "stamp": "s",
    "table": "cifar_depth",
    "created": 1.0,
    "cluster": "c",
    "accounting": False,
    "code": "x",
}
SENT |= {"arrays": [ARRAY], "report": None, "cancelled": [], "force": False}
TESTED = {
    "name": "a",
    "arch": "b",
    "note": "",
    "protocols": {"1-crop": {"top1_wrong": 2, "top5_wrong": 1, "images": 9}},
}

Spec = Callable[[Path], Any]


def in_run(name: str, read: Callable[[RunFolder], Any], run_id: str = RUN) -> tuple[str, str, Spec]:
    return f"{run_id}/{name}", name, lambda root: read(RunFolder(root, run_id))


def finished(what: str) -> Callable[[RunFolder], Any]:
    def read(folder: RunFolder) -> Any:
        spec = read_spec(MEASURED / RUN / "spec.json")
        return getattr(Finished(spec, RunFolder(MEASURED, RUN).read_result(), folder), what)

    return read


def strict(folder: RunFolder) -> object:
    return validate.read(folder, with_checkpoint=False)


READERS: dict[str, tuple[str, str, Spec]] = {
    "spec": in_run("spec.json", lambda folder: read_spec(folder.spec)),
    "spec of responses": in_run("spec.json", lambda folder: read_spec(folder.spec), RESPONSES),
    "spec of a surface": in_run("spec.json", lambda folder: read_spec(folder.spec), SURFACE),
    "spec of gradients": in_run("spec.json", lambda folder: read_spec(folder.spec), GRADIENTS),
    "spec of an extension": in_run("spec.json", lambda folder: read_spec(folder.spec), EXTENDED),
    "result": in_run("result.json", RunFolder.read_result),
    "measured": in_run("result.json", RunFolder.read_measured, RESPONSES),
    "metrics": in_run("metrics.jsonl", finished("metrics")),
    "provenance": in_run("provenance.json", finished("provenance")),
    "construction": in_run("construction.json", lambda folder: construction.read(folder.construction), EXTENDED),
    "responses": in_run(
        "points.jsonl", lambda f: responses_record.read(read_spec(MEASURED / RESPONSES / "spec.json"), f), RESPONSES
    ),
    "surface": in_run("points.jsonl", lambda f: surface_record.load((read_spec(f.spec),), f.results), SURFACE),
    "gradients": in_run("points.jsonl", gradients_record.read, GRADIENTS),
    "heartbeat": in_run("heartbeat.json", lambda folder: (beat := heartbeat.read(folder)) and beat.alive()),
    "scores": in_run("evaluation.json", lambda folder: read_scores(folder.evaluation)),
    "evaluation": in_run("evaluation.json", lambda folder: read_evaluation(folder.evaluation)),
    "strict evaluation": in_run("evaluation.json", lambda folder: validate.evaluation(folder.evaluation)),
    **{
        f"strict {name} of {run_id}": in_run(name, strict, run_id)
        for run_id in (RUN, RESPONSES, SURFACE, GRADIENTS, EXTENDED)
        for name in sorted(path.name for path in (MEASURED / run_id).iterdir())
    },
    "submission": ("slurm/s/submission.json", "", lambda root: [each.since for each in submissions.read_all(root)]),
    **{
        name: (f"{name}.json", "", lambda root, name=name, load=load: load(root / f"{name}.json"))
        for name, load in (
            ("calibration", calibration.load), ("complexity", complexity.load), ("harness", harness.load),
            ("harness.overhead", harness.load_overheads), ("harness.beside", harness.load_besides),
            ("loading", loading.load), ("throughput", records.load),
        )
    },
    "table": ("paper.csv", "", lambda root: read_table(root / "paper.csv", ["id", "value"])),
}  # fmt: skip
"""A name -> the file that is damaged, and what reads it."""


@functools.cache
def whole(file: str) -> bytes:
    """What a file says where it is whole."""
    made = {"heartbeat.json": BEAT, "submission.json": SENT, "evaluation.json": TESTED}
    name = file.rpartition("/")[2]
    if name in made:
        return json.dumps(made[name]).encode()
    return (MEASURED.parent / "published" / file if name == "paper.csv" else MEASURED / file).read_bytes()


ODD = (
    b"", b"\xff\xfe", b"null", b"[]", b"{}", b'"x"', b"1", b"[" * 5_000, b'{"a":' * 5_000, b"9" * 100_000, b"NaN",
    b'{"format": 2}', b'{"format": NaN}', b'{"format": 1e999}', b'{"format": 2, "format": 2}', b'"\\ud800"', b"\x00",
    b'{"kind": [], "format": 2}', b'{"format": 99999999999999999999999}', b"\n\n", b'\xef\xbb\xbf{}', b"id,value\n1\n",
    b'id,value\n"', b"id,value\n1,2,3\n",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**62, 1e308, -1e308, 0.5, "", "x", "\n|<b>", "é" * 300, [], {}, [[]], [None], {"": 1},
    "../../x", [1, "a"], {"a": {"b": {}}},
)  # fmt: skip


def replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    if isinstance(data, dict):
        return {key: replaced(each, path[1:], value) if key == path[0] else each for key, each in data.items()}
    return [replaced(each, path[1:], value) if index == path[0] else each for index, each in enumerate(data)]


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data[:3]) if isinstance(data, list) else ()
    for key, each in items:
        yield from places(each, (*path, key))


@st.composite
def damaged(draw: st.DrawFn, file: str) -> bytes:
    """A file that is not what it should be: other bytes, cut, changed somewhere, or with another value in a field."""
    text = whole(file)
    how = draw(st.sampled_from(("odd", "any", "cut", "flipped", "value", "value", "value", "missing")))
    if how == "odd":
        return draw(st.sampled_from(ODD))
    if how == "any":
        return draw(st.binary(max_size=200))
    if how in ("cut", "flipped"):
        at = draw(st.integers(0, len(text) - 1))
        return text[:at] + (b"" if how == "cut" else bytes([draw(st.integers(0, 255))]) + text[at + 1 :])
    lines = text.splitlines() if file.endswith("jsonl") else [text]
    if file.endswith("csv"):
        return text.replace(b",", draw(st.sampled_from((b"", b",,", b'"'))), 1)
    at = draw(st.integers(0, len(lines) - 1))
    data = json.loads(lines[at])
    path = draw(st.sampled_from(sorted(places(data), key=str)))
    if how == "value" or not path or not isinstance(path[-1], str):
        other = replaced(data, path, draw(st.sampled_from(VALUES)))
    else:
        holder = functools.reduce(lambda value, key: value[key], path[:-1], data)
        other = replaced(data, path[:-1], {key: each for key, each in holder.items() if key != path[-1]})
    lines[at] = json.dumps(other).encode()
    return b"\n".join(lines)


def one_line(read: Callable[[], Any]) -> None:
    """Read; what is raised is ours, and a line of text that any terminal can show."""
    try:
        read()
    except (UserError, Unsound) as error:
        said = str(error)
        assert "\n" not in said
        assert len(said) < 2_000
        said.encode()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of a run of each kind, and all other files that are read."""
    folder = tmp_path_factory.mktemp("results")
    for run_id in (RUN, RESPONSES, SURFACE, GRADIENTS, EXTENDED):
        shutil.copytree(MEASURED / run_id, folder / run_id)
    for path in MEASURED.glob("*.json"):
        shutil.copy(path, folder)
    return folder


FAST = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("reader", READERS)
def test_any_bytes_give_a_value_or_one_line(reader: str, root: Path) -> None:
    file, _, read = READERS[reader]
    path = root / file
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(whole(file))
    read(root)  # what is whole is read

    @FAST
    @given(damaged(file))
    def check(raw: bytes) -> None:
        path.write_bytes(raw)
        one_line(lambda: read(root))

    try:
        check()
    finally:
        path.unlink() if before is None else path.write_bytes(before)


@FAST
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
    )
)
def test_what_is_read_is_what_json_says_or_it_is_refused(value: Any) -> None:
    text = json.dumps(value).encode()
    with contextlib.suppress(ValueError):
        assert parse(text) == json.loads(text)


@pytest.mark.parametrize("damage", ["a folder", "a pipe", "a loop", "missing"])
def test_what_is_no_file_gives_one_line(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    if damage == "a folder":
        path.mkdir()
    if damage == "a pipe":
        os.mkfifo(path)
    if damage == "a loop":
        path.symlink_to(path)
    for read in (read_json, read_lines, lambda path: read_table(path, ["a"])):
        with pytest.raises(UserError, match=r"x\.json"):
            read(path)


@pytest.mark.parametrize(("value", "said"), [
    ({"lr": "x"}, "lr is 'x'; expected float"),
    ({"drops": [1, "3"]}, "drops[1] is '3'; expected int"),
    ({"init": "mine"}, "init is 'mine'; expected fan_in or fan_out"),
    ({"flip": 1}, "flip is 1; expected bool"),
    ({"iterations": True}, "iterations is True; expected int"),
    ({"bn_group": "a"}, "bn_group is 'a'; expected int or none"),
    ({"more": 1}, "CifarRecipe fields differ: more"),
    ({"lr": -1.0}, "lr is -1.0: learning rate must be > 0"),
])  # fmt: skip
def test_an_error_names_field_value_and_expectation(value: dict[str, Any], said: str) -> None:
    right = json.loads(json.dumps(vars(CifarRecipe())))
    assert convert(CifarRecipe, right) == CifarRecipe()
    with pytest.raises(ValueError) as error:  # noqa: PT011
        convert(CifarRecipe, {**right, **value})
    assert str(error.value) == said


# The same from the command line


STUDY = ("--table", "cifar_depth", "--schedule", "short", "--only", "plain-20")


def test_the_command_gives_one_line_of_any_damaged_file(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dry run and status of a folder in which one file after the other is damaged."""
    generator = random.Random(0)
    for name in ("spec.json", "result.json", "metrics.jsonl", "provenance.json", "heartbeat.json", ".lock.json"):
        path = root / RUN / name
        before = path.read_bytes() if path.exists() else None
        for raw in (*ODD[::2], bytes(generator.randrange(256) for _ in range(40))):
            path.write_bytes(raw)
            for words in ((*STUDY, "--dry-run"), (*STUDY, "--status")):
                status = run.main([*words, "--results", str(root), "--tables", str(tmp_path)])
                said = capsys.readouterr().err
                assert status in (0, 1, 2), (name, raw[:40])
                assert status != 2 or said.count("\n") == 1, (name, raw[:40], said)
        path.unlink() if before is None else path.write_bytes(before)


def test_finished_runs_leave_out_what_cannot_be_read(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("spec.json", "result.json"):
        before = (root / RUN / name).read_bytes()
        for raw in ODD:
            (root / RUN / name).write_bytes(raw)
            assert RUN not in finished_runs(root)
        (root / RUN / name).write_bytes(before)
    assert RUN in finished_runs(root)
    assert capsys.readouterr().err.count("left out: ") == 2 * len(ODD)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("bundle") / "runs.zip"
    bundle.pack(path, {f"runs/{RUN}/{file.name}": file for file in (MEASURED / RUN).iterdir()})
    return path.read_bytes()


def test_any_bundle_gives_a_value_or_one_line(packed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "runs.zip"

    @settings(FAST, max_examples=150)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        raw = bytearray(packed)
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.sampled_from((0, len(raw) // 2, max(0, len(raw) - 600))))
            raw[data.draw(st.integers(start, len(raw) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.sampled_from((len(raw), len(raw) - 1, len(raw) // 2)))
        path.write_bytes(bytes(raw[:cut]))
        shutil.rmtree(tmp_path / "to", ignore_errors=True)
        (tmp_path / "to").mkdir()
        one_line(lambda: bundle.unpack(path, tmp_path / "to"))

    check()


@pytest.mark.parametrize("flag", [0, 0x800])
def test_a_bundle_with_a_name_that_is_no_text_is_refused(flag: int, tmp_path: Path) -> None:
    """A zip whose directory says UTF-8 of a name that is none."""
    path = tmp_path / "runs.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(bundle.MANIFEST, "{}")
    raw = path.read_bytes().replace(b"manifest.json", b"manifest\xff\xfe\xff\xfe\xff")
    at = raw.index(b"PK\x01\x02")
    raw = raw[: at + 8] + flag.to_bytes(2, "little") + raw[at + 10 :]
    path.write_bytes(raw)
    with pytest.raises(UserError, match="nothing of it was taken"):
        bundle.unpack(path, tmp_path)

"""A path that an option names is checked in one place: a folder or a file that can be there, or one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Command

from bench.errors import UserError
from bench.files import check_file, check_folder

ODD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a name of 300 letters": (lambda folder: folder / ("x" * 300), "File name too long"),
    "links in a circle": (lambda folder: folder / "loop", "Too many levels of symbolic links"),
    "NUL": (lambda folder: folder / "a\0b", "it has a NUL"),
    "a link to nothing": (lambda folder: folder / "nothing", "it is a link to nothing"),
    "a pipe": (lambda folder: folder / "pipe", ""),
    "below a file": (lambda folder: folder / "file" / "x", ""),
    "a device": (lambda folder: Path("/dev/null"), ""),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nothing").symlink_to("nowhere")
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_path_is_refused_in_one_line(kind: str, folder: Path) -> None:
    make, reason = ODD[kind]
    for check in (check_folder, check_file, lambda path, option: check_file(path, option, exists=False)):
        with pytest.raises(UserError) as error:
            check(make(folder), "--results")
        said = str(error.value)
        assert said.startswith("--results ")
        assert reason in said
        assert "\n" not in said
        assert said.isprintable()
        assert len(said) < 400


def test_what_is_there_or_can_be_made_is_taken(folder: Path) -> None:
    assert check_folder(folder, "--results") == folder
    assert check_folder(folder / "new" / "below", "--results")
    assert check_file(folder / "file", "--import")
    assert check_file(folder / "new.zip", "--export", exists=False)
    with pytest.raises(UserError, match=r"--import .*there is no such file: give one that is there"):
        check_file(folder / "new.zip", "--import")
    with pytest.raises(UserError, match=r"--import .*it is a folder: give a file"):
        check_file(folder, "--import")
    with pytest.raises(UserError, match=r"--results .*it is no folder: give a folder"):
        check_folder(folder / "file", "--results")


@pytest.mark.parametrize("name", ["pipe", "/dev/null"])
def test_a_pipe_or_a_device_is_not_replaced_by_a_bundle(name: str, folder: Path, command: Command) -> None:
    target = folder / name
    before = target.stat()
    command.results = ROOT / "tables" / "measured"
    done = command("--export", target, "--force", check=False)
    assert done.returncode == 2
    assert done.stderr == f"run.py: --export {target}: it is a pipe or a device: give a plain file\n"
    assert target.stat() == before

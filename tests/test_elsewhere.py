"""Other people's shells, Git configurations, file names and editors: the command does what it does here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT, Command
from PIL import Image

from bench import run
from bench.files import load, read_lines, read_table
from bench.runs import checkout
from slurm import profile

SHELLS = {
    "a notebook's": {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "PYTHONIOENCODING": "ascii"},
    "a style of one's own": {"MATPLOTLIBRC": "STYLE", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "a damaged style": {"MATPLOTLIBRC": "DAMAGED", "MPLBACKEND": "none such", "PYTHONOPTIMIZE": "2"},
    "a bare one": {
        "HOME": "/proc",
        "TMPDIR": "/nowhere",
        "TZ": "Asia/Tokyo",
        "COLUMNS": "9",
        "PYTHONWARNINGS": "error",
    },
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_changes_no_page_and_no_figure(shell: str, command: Command) -> None:
    style = command.folder / "STYLE"
    style.write_text("backend: qtagg\nfont.size: 30\nsavefig.bbox: tight\naxes.facecolor: red\n")
    (command.folder / "DAMAGED").write_bytes(b"font.size: \xe9\n")
    done = command("--table", "third_party", env=os.environ | SHELLS[shell])
    assert "Traceback" not in done.stderr
    if done.stdout.isascii():
        assert "+-" in done.stdout
    else:
        assert "±" in done.stdout
    for name in ("third_party.md", "figures/third_party.svg"):
        assert (command.tables / name).read_bytes() == (ROOT / "tables" / name).read_bytes()


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    words = [sys.executable, str(ROOT / "bench" / "run.py"), "--help"]
    script = f'cd "{gone}" && rmdir "{gone}" && exec "$@"'
    done = subprocess.run(["sh", "-c", script, "sh", *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "run.py: the current folder is gone: change to another one\n")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone by somebody whose Git writes CRLF."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "-c", "core.autocrlf=true", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


def test_a_clone_has_the_bytes_of_the_commit_whatever_git_does_to_lines(clone: Path) -> None:
    shutil.copy(ROOT / ".gitattributes", clone)  # the one that is being tested, committed or not
    git = ["git", "-C", str(clone), "-c", "core.autocrlf=true"]
    subprocess.run([*git, "rm", "--quiet", "--cached", "-r", "."], check=True)
    subprocess.run([*git, "reset", "--quiet", "--hard"], check=True)
    listed = subprocess.run([*git, "ls-files", "--eol"], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        of_index, of_folder = line.split()[:2]
        assert of_index.removeprefix("i/") == of_folder.removeprefix("w/"), line


HABITS = """
[color]
    ui = always
    diff = always
[core]
    pager = false
    quotePath = false
[diff]
    external = /bin/false
    noprefix = true
    mnemonicPrefix = true
    context = 0
    renames = copies
"""


def test_the_patch_is_the_same_whatever_a_person_has_set(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (clone / "LICENSE").open("ab") as file:
        file.write(b"caf\xe9\n")
    plain = checkout.patch(clone)
    assert "+caf\\xe9\n" in plain
    (clone / "habits").write_text(HABITS)
    subprocess.run(["git", "-C", str(clone), "config", "include.path", str(clone / "habits")], check=True)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(clone / "habits"))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_EXTERNAL_DIFF", "GIT_PAGER"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("GIT_TRACE", "1")
    assert checkout.patch(clone) == plain
    assert len(checkout.commit(clone)) == 40


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody else")
def test_a_checkout_of_somebody_else_is_said_in_one_line(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = clone.parent / "config"
    config.write_text("")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    for path in (clone, clone / ".git"):
        os.chown(path, 65534, 65534)
    remedy = f"git config --global --add safe.directory {clone}"
    assert checkout.unknown(clone) == f"{clone} belongs to another user: {remedy}"
    subprocess.run([*remedy.split()], check=True)
    assert len(checkout.commit(clone)) == 40


def test_a_folder_without_git_and_one_inside_of_another_checkout_are_said(clone: Path, tmp_path: Path) -> None:
    assert checkout.unknown(tmp_path) == f"{tmp_path} is no git checkout: clone the project with git"
    with pytest.raises(checkout.Unknown, match="is a part of another checkout"):
        checkout.commit(clone / "bench")


BOM = b"\xef\xbb\xbf"


def test_files_of_an_editor_that_writes_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    for name, text in {"a.json": b'{"a": 1}', "a.jsonl": b'{"a": 1}\n', "a.csv": b"a\n1\n"}.items():
        (tmp_path / name).write_bytes(BOM + text)
    (tmp_path / "mine.toml").write_bytes(BOM + (ROOT / "slurm" / "profiles" / "cpu.toml").read_bytes())
    assert load(tmp_path / "a.json") == {"a": 1}
    assert read_lines(tmp_path / "a.jsonl") == [{"a": 1}]
    assert read_table(tmp_path / "a.csv", ["a"]) == [{"a": "1"}]
    assert profile.load(str(tmp_path / "mine.toml"), ()).name == "mine"


def test_a_broken_image_whose_name_is_no_text_is_named_in_one_line(command: Command) -> None:
    data = command.folder / "data"
    for number, place in enumerate(("train/a", "train/b", "val/a", "val/b")):
        (data / place).mkdir(parents=True)
        Image.new("RGB", (40, 40), (number, 0, 0)).save(data / place / "1.png")
    (data / "train/a" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"no image")
    words = ("--table", "imagenet_plain_vs_residual", "--only", "resnet-18-A", "--schedule", "smoke")
    done = command(*words, "--dataset", "imagefolder", "--data", data, check=False)
    assert done.returncode
    assert "Traceback" not in done.stderr
    line = next(line for line in done.stderr.splitlines() if "cannot be decoded" in line)
    assert f"1 of 3 images cannot be decoded, first {data}/train/a/caf\\xe9.jpg (no image)" in line


def test_pre_commit_and_the_workflow_do_what_make_and_ci_do() -> None:
    """Each hook is a line of `make check`, in its order; the workflow calls .ci/run and nothing beside it."""
    hooks = re.findall(r"entry: \.venv/bin/(.*)", (ROOT / ".pre-commit-config.yaml").read_text())
    recipe = re.search(r"^check: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    assert hooks == [line.removeprefix("\t$(BIN)/") for line in recipe[1].splitlines()]
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert workflow.rstrip().endswith("run: bash .ci/run")
    assert not re.search(r"pytest|ruff|mypy", workflow)


BLOCK = """import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in %r:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
"""


def test_results_are_read_without_torch(command: Command) -> None:
    """A page and report.html are written; what needs torch says so. requirements-report.txt is a part of pyproject.toml."""
    listed = (ROOT / "requirements-report.txt").read_text().splitlines()
    listed = {line for line in listed if not line.startswith("#")}
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert listed <= set(needed)
    left_out = {re.split(r"[>=]", line)[0] for line in set(needed) - listed}
    assert left_out == {"torch", "torchvision", "fvcore", "submitit", "scikit-learn", "pytest-benchmark"}
    block = command.folder / "block"
    block.mkdir()
    (block / "sitecustomize.py").write_text(BLOCK % (run.LEFT_OUT,))
    shell = os.environ | {"PYTHONPATH": str(block)}
    command("--table", "warmup", "--schedule", "short", "--report", env=shell)
    page = "warmup.short.md"
    assert (command.tables / page).read_bytes() == (ROOT / "tables" / page).read_bytes()
    assert (command.tables / "report.html").exists()
    refused = command("--table", "complexity", check=False, env=shell)
    said = "run.py: this command needs torch, which is not installed: pip install -e .\n"
    assert (refused.returncode, refused.stderr) == (2, said)

"""The command as a person types it: in a process of its own, from another folder, in folders with spaces."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import Command

from bench import run
from bench.command.tables import TABLES
from bench.runs.folder import RunFolder

SMOKE = ("--table", "cifar_depth", "--schedule", "smoke")
SMALL = (*SMOKE, "--only", "resnet-8-A")
A_WHILE = (*SMOKE, "--only", "resnet-20-A", "--set", "iterations=160")


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a person's mistake, which must end with exit status 2 and print nothing else."""
    assert run.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert len(lines) == 1, said.err
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--table is missing: choose from complexity, cifar_depth, imagenet_plain_vs_residual"),
        (
            ("--table", "cifar"),
            "--table cifar is no table: choose from complexity, cifar_depth, imagenet_plain_vs_residual",
        ),
        (
            ("--table", "cifar_depth", "--only", "vgg*"),
            "--only vgg* matches no net of cifar_depth: it has plain-20, plain-32",
        ),
        (("--table", "cifar_depth", "--only", "plain-21"), "--only plain-21: depth 21 is not 6n+2: try 20 or 26"),
        (("--table", "cifar_depth", "--only", "vgg-16"), "--only vgg-16 is no CIFAR net"),
        (("--table", "cifar_depth", "--seeds", "0"), "--seeds 0 is no number of runs: give 1 or more"),
        (("--table", "cifar_depth", "--seeds", "-3"), "--seeds -3 is no number of runs: give 1 or more"),
        (("--table", "cifar_depth", "--seeds", "x"), "--seeds: invalid literal for int() with base 10: 'x'"),
        (
            (*SMOKE, "--set", "bn_groups=64"),
            "--set bn_groups=64: bn_groups is no field of the recipe: choose from batch",
        ),
        ((*SMOKE, "--set", "bn_group=many"), "--set bn_group=many: bn_group must be a whole number or none"),
        ((*SMOKE, "--set", "decay=some"), "--set decay=some: decay must be all or weights"),
        ((*SMOKE, "--set", "bn_group"), "--set bn_group is no NAME=VALUE: try bn_group=64"),
        (("--table", "cifar_depth", "--gpus", "2"), "--gpus is for Slurm: add --cluster slurm"),
        (("--table", "cifar_depth", "--retry", "failed"), "--retry failed is for Slurm: add --cluster slurm"),
        (("--table", "cifar_depth", "--status", "--cancel"), "--status and --cancel are different questions"),
        (("--table", "cifar_depth", "--pack", "0"), "--pack 0 is no number of runs: give 1 or more"),
        (("--table", "cifar_depth", "--cluster", "pbs"), "invalid choice 'pbs' for argument '--cluster'"),
        (("--tabel", "cifar_depth"), "Unrecognized options: --tabel, cifar_depth: did you mean --table?"),
        (("--table", "cifar_depth", "--check", "--force"), "--check writes and runs nothing"),
        ((*SMOKE, "--selection", "val45k", "--dataset", "digits"), "--selection val45k is a split of cifar10"),
        ((*SMOKE, "--selection", "val45k"), "--selection val45k is a split of cifar10"),
    ],
)
def test_mistakes_get_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    assert message in complaint(capsys, *arguments)


def test_a_missing_data_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ("--results", str(tmp_path / "r"), "--tables", str(tmp_path / "t"), "--data", str(tmp_path / "nowhere"))
    assert run.main(("--table", "cifar_depth", "--only", "plain-20", *places)) == 2
    assert "nowhere: no cifar-10-batches-py in it: give --download" in capsys.readouterr().err
    assert not any((tmp_path / "t").iterdir())


def test_a_results_folder_that_cannot_be_written(command: Command) -> None:
    command.results.write_text("a file")
    done = command(*SMALL, check=False)
    assert done.returncode == 2
    assert "is not writable (" in done.stderr
    assert "choose another folder with --results" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_tables_folder_that_cannot_be_written_is_said_before_anything_is_run(command: Command) -> None:
    command.tables.write_text("a file")
    done = command(*SMALL, check=False)
    assert done.returncode == 2
    assert "choose another folder with --tables" in done.stderr
    assert not command.results.exists()


def test_slurm_that_is_not_there_is_said(command: Command) -> None:
    done = command(*SMALL, "--cluster", "slurm", check=False, env={"PATH": str(command.folder)})
    assert done.returncode == 2
    assert done.stderr == (
        "run.py: --cluster slurm: there is no scontrol on this machine's path: "
        "use --cluster local, or mend that and give it again\n"
    )


def test_help_lists_every_table_and_option(command: Command) -> None:
    text = command("--help").stdout
    for word in [
        *TABLES,
        "--cluster",
        "--schedule",
        "--seeds",
        "--only",
        "--dataset",
        "--data",
        "--results",
        "--tables",
    ]:
        assert word in text
    assert "Table 6" in text


def test_the_plan_names_every_run(command: Command) -> None:
    lines = command("--table", "cifar_depth", "--seeds", 2, "--dry-run").stdout.splitlines()
    assert lines[0].startswith("22 runs in ")
    assert sum("64,000 iterations of 128 on cifar10" in line for line in lines) == 22
    assert not command.results.exists()


def test_several_tables_and_all_of_them(command: Command) -> None:
    several = command("--table", *TABLES, "--dry-run").stdout
    assert several == command("--table", "all", "--dry-run").stdout
    assert "complexity counts imagenet-plain-18" in several
    assert "11 runs in " in several


def test_a_changed_field_has_a_page_of_its_own(command: Command) -> None:
    """The same identity from the command line as from the spec, and nothing is mixed with the table's own runs."""
    changed = ("--set", "bn_group=64", "drops=1,2", "iterations=4")
    said = command(*SMALL, *changed).stdout
    page = command.tables / "cifar_depth.smoke.bn_group=64.drops=1,2.iterations=4.md"
    assert str(page) in said
    assert " ".join(changed) in page.read_text()
    (spec,) = command.results.glob("*/spec.json")
    assert json.loads(spec.read_text())["recipe"]["drops"] == [1, 2]
    assert command(*SMALL, "--dry-run").stdout.endswith("  new\n")  # the run of the recipe itself is another


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A folder where one net was run by the command."""
    command = Command(tmp_path_factory.mktemp("a folder"))
    command.first = command(*SMALL)  # type: ignore[attr-defined]
    return command


def test_a_run_gives_a_page_and_a_figure(finished: Command) -> None:
    page = (finished.tables / "cifar_depth.smoke.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| ResNet-8 "))
    assert "not comparable" in row
    assert "| missing" in next(line for line in page.splitlines() if line.startswith("| ResNet-56 "))
    assert "![" in page
    assert (finished.tables / "figures" / "cifar_depth.smoke.svg").read_text().startswith("<?xml")
    assert (finished.tables / "figures" / "cifar_depth.smoke.png").read_bytes().startswith(b"\x89PNG")
    assert "scikit-learn's 8x8 handwritten digits" in page
    assert "ResNet-8" in finished.first.stdout  # type: ignore[attr-defined]
    assert "images/s" in finished.first.stdout  # type: ignore[attr-defined]
    assert "ETA" in finished.first.stdout  # type: ignore[attr-defined]


def test_the_run_folder_has_everything(finished: Command) -> None:
    (folder,) = [path for path in finished.results.iterdir() if path.is_dir()]
    names = {path.name for path in folder.iterdir()} - {".lock"}
    records = {"spec.json", "metrics.jsonl", "result.json", "provenance.json", "heartbeat.json"}
    assert names == {*records, "checkpoint.pt", "log.txt"}
    facts = json.loads((folder / "provenance.json").read_text())
    assert {"code", "packages", "cpu", "device", "precision", "deterministic", "host", "slurm"} <= facts.keys()
    assert {"started", "ended", "wall_seconds", "restarts"} <= facts.keys()
    result = RunFolder(finished.results, folder.name).read_result()
    assert result.test_error is not None
    assert result.test_error < 30  # it has learnt: guessing leaves 90 %


def test_the_same_command_runs_nothing_again(finished: Command) -> None:
    again = finished(*SMALL)
    assert "all 1 runs have a result" in again.stdout
    assert "done" in finished(*SMALL, "--dry-run").stdout


def test_report_runs_nothing(finished: Command) -> None:
    shutil.rmtree(finished.tables)
    assert "wrote" in finished(*SMALL, "--report").stdout
    assert (finished.tables / "cifar_depth.smoke.md").exists()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert path.exists(), process.communicate()


def running(command: Command) -> tuple[subprocess.Popen[str], RunFolder]:
    """A command that is at work on a run which takes a while, past its first checkpoint."""
    run_id = command(*A_WHILE, "--dry-run").stdout.splitlines()[1].split()[0]
    folder = RunFolder(command.results, run_id)
    process = command.start(*A_WHILE)
    wait_for(folder.checkpoint, process)
    return process, folder


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(command: Command) -> None:
    process, folder = running(command)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "stopped at iteration" in err
    assert "to go on, give the same command: python " in err
    assert "Traceback" not in err
    assert not folder.finished()
    assert "goes on from its checkpoint" in command(*A_WHILE, "--dry-run").stdout
    command(*A_WHILE)
    assert json.loads(folder.provenance.read_text())["restarts"] == 1
    iterations = [row["iteration"] for row in folder.read_metrics()]
    assert iterations == list(range(20, 161, 20))


@pytest.mark.slow
def test_two_commands_on_one_run(command: Command) -> None:
    process, _ = running(command)
    assert re.search(r"  running, \d+ of 160\n", command(*A_WHILE, "--dry-run").stdout)
    second = command(*A_WHILE, check=False)
    assert second.returncode == 2, second.stdout + second.stderr
    assert f"is being worked on by process {process.pid} on " in second.stdout + second.stderr
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    """On a real file system of half a megabyte; where it may not be mounted, with a limit on the size of files."""
    from bench.errors import UserError
    from bench.files import write_bytes

    small = tmp_path / "small"
    small.mkdir()
    mounted = (
        os.geteuid() == 0
        and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", small], capture_output=True).returncode
        == 0
    )
    if not mounted:
        pytest.skip("needs to mount a small file system")
    try:
        target = small / "checkpoint.pt"
        write_bytes(target, b"old" * 1000)
        with pytest.raises(UserError, match=r"no space left to write .*checkpoint\.pt: free some"):
            write_bytes(target, b"new" * 1_000_000)
        assert target.read_bytes() == b"old" * 1000
        assert [path.name for path in small.iterdir()] == ["checkpoint.pt"]
        done = Command(tmp_path)
        done.results = small / "results"
        ended = done(*SMALL, check=False)
        assert ended.returncode == 2, ended.stdout + ended.stderr
        assert "no space left to write" in ended.stderr
        assert "Traceback" not in ended.stderr
    finally:
        subprocess.run(["umount", small], check=True)

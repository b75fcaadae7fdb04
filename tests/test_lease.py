"""Locks that end with their holder, and folders that are shared: over any file system, from any host, under any umask."""

from __future__ import annotations

import errno
import fcntl
import functools
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from bench import files
from bench.cluster import snapshot
from bench.compute import job
from bench.compute.context import Context
from bench.errors import Busy, UserError
from bench.run import main
from bench.runs import lease
from bench.runs.folder import RunFolder
from bench.runs.spec import RunSpec
from bench.studies import cifar_depth as study
from bench.training import checkpoint
from bench.training.source import Source
from models.arch import Arch

RACES, RACERS = 200, 6
ID = "resnet-8-A-s0-0"


def spec() -> RunSpec:
    """A run of 30 iterations."""
    arch = Arch("cifar", 8, "A")
    recipe = replace(study.recipe(arch, "smoke", "digits"), iterations=30, drops=(15, 25), evaluate_every=10)
    return RunSpec(arch, recipe, "digits", 0)


def lock_of(folder: Path, age: float = 0, **facts: Any) -> Path:
    """The lease file of a process of another machine, unless `facts` say otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock.7"
    holder = {"host": "node7", "pid": 4711, "started": 1.0, "machine": "another boot", "job": "12_3", "token": "t"}
    path.write_text(json.dumps({**holder, **facts}))
    os.utime(path, (time.time() - age,) * 2)
    return path


def ended_process() -> dict[str, Any]:
    """The facts of a process of this machine that was killed."""
    process = subprocess.Popen(["sleep", "60"])
    facts = {"host": socket.gethostname(), "machine": lease._machine(), "pid": process.pid}
    facts["started"] = lease._started(process.pid)
    process.kill()
    process.wait()
    return facts


def race(results: Path, ready: Barrier, ended: dict[str, Any], mine: int) -> None:
    """Race for each folder in turn; whoever holds one leaves a mark, and nobody else's may be there."""
    for number in range(RACES):
        folder = RunFolder(results, str(number))
        if mine == 0:  # a free one, that of a dead process, that of a dead host, or one of each kind again
            folder.path.mkdir()
            if number % 4 == 1:
                lock_of(folder.path, **ended)
            if number % 4 == 2:
                lock_of(folder.path, age=lease.EXPIRES + 60)
            if number % 4 == 3:
                lock_of(folder.path).rename(folder.path / ".lock.7.free")
        ready.wait(60)
        for _ in range(2):
            try:
                with folder.locked():
                    with (folder.path / "inside").open("x"):
                        time.sleep(0.001 * (number % 3))
                    (folder.path / "inside").unlink()
                    with (folder.path / "held").open("a") as file:
                        print(mine, file=file)
            except Busy:
                pass
            except FileExistsError:
                (results / f"doubled {number}").touch()
        ready.wait(60)


@pytest.mark.parametrize(("links", "stays"), [(True, True), (False, True), (True, False)])
def test_no_two_processes_hold_a_run(tmp_path: Path, links: bool, stays: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 races none has two winners, and none has no winner: with hard links, without, and where leases are removed."""
    monkeypatch.setattr(lease, "held", functools.partial(lease.held, stays=stays))
    if not links:
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    fork = multiprocessing.get_context("fork")  # the children have the patch
    ready, ended = fork.Barrier(RACERS), ended_process()
    racers = [fork.Process(target=race, args=(tmp_path, ready, ended, mine)) for mine in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(120)
    assert [racer.exitcode for racer in racers] == [0] * RACERS
    assert list(tmp_path.glob("doubled*")) == []
    assert [number for number in range(RACES) if not (tmp_path / str(number) / "held").exists()] == []
    left = {path.name for path in tmp_path.glob("*/*") if path.name.count(".") > 3 or "new" in path.name}
    assert left == set()


def failing(code: int) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


HERE = {"host": socket.gethostname(), "machine": lease._machine()}
MYSELF = {**HERE, "pid": os.getpid(), "started": lease._started(os.getpid())}


@pytest.mark.parametrize(
    ("facts", "age", "free"),
    [
        (MYSELF, 10 * lease.EXPIRES, False),  # here the process decides, though it was silent for long
        ({**MYSELF, "started": 1.0}, 0, True),  # its number is another process's by now
        ({}, 0, False),
        ({}, lease.EXPIRES + 60, True),
        ({**MYSELF, "machine": "before it was started again"}, 0, False),  # or another machine of this name
        ({**MYSELF, "machine": "before it was started again"}, lease.EXPIRES + 60, True),
        ({"pid": "?"}, 0, False),  # a file that says nothing
        ({"pid": "?"}, lease.EXPIRES + 60, True),
    ],
)
def test_who_is_alive(tmp_path: Path, facts: dict[str, Any], age: float, free: bool) -> None:
    folder = RunFolder(tmp_path, ID)
    lock_of(folder.path, age, **facts)
    if free:
        with folder.locked():
            assert [path.name for path in folder.path.iterdir()] == [".lock.8"]  # the old file is gone
    else:
        with pytest.raises(Busy, match=rf"^run {ID} is being worked on by process \S+ on .*: wait for it, or choose"):
            folder.locked().__enter__()
    assert len(list(folder.path.iterdir())) == 1


def test_a_holder_of_another_machine_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, ID)
    lock_of(folder.path)
    with pytest.raises(Busy, match=r"by process 4711 on node7 \(Slurm job 12_3\): wait"):
        folder.locked().__enter__()


def test_a_holder_is_waited_for(tmp_path: Path) -> None:
    """As a task that was requeued waits for an earlier attempt: until that is released, or expires."""
    folder = RunFolder(tmp_path, ID)
    lock_of(folder.path, age=lease.EXPIRES - 1)
    with folder.locked(patience=60):
        pass


def test_who_looked_too_early_withdraws(tmp_path: Path) -> None:
    """What it saw of the folder was true once: it makes a file of an old number, and does not hold the run."""
    base, mine = tmp_path / ".lock", tmp_path / ".lock.new.x"
    mine.touch()
    for name in (".lock.8", ".lock.7.free"):
        (tmp_path / name).touch()
        assert not lease._take(base, 7, mine, (".lock.6.free", ""))
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, mine.name])
        (tmp_path / name).unlink()
    (tmp_path / ".lock.6.free").touch()
    assert lease._take(base, 7, mine, (".lock.6.free", ""))


def test_a_lease_that_is_removed_leaves_nothing_and_is_not_mistaken(tmp_path: Path) -> None:
    """Numbers begin again: who saw one of a dead holder finds the same name, makes the next number, and withdraws."""
    base, mine = tmp_path / ".lock", tmp_path / ".lock.new.x"
    dead = lock_of(tmp_path, **ended_process())
    number, seen, holder = lease._next(base, dead)
    assert holder is None
    dead.unlink()
    with lease.held(base, str, stays=False) as ours:
        mine.touch()
        ours.path.rename(base.with_name(seen[0]))
        assert not lease._take(base, number, mine, seen)
        base.with_name(seen[0]).rename(ours.path)
        mine.unlink()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_flock(tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(code))
    monkeypatch.setattr(fcntl, "lockf", failing(code))
    run = spec()
    job.run(run, Context(tmp_path, Source(Path())))
    assert RunFolder(tmp_path, run.run_id).finished()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EIO])
def test_a_lock_that_fails_is_one_line(tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", failing(code))
    folder = RunFolder(tmp_path, ID)
    said = f"^{folder.path} could not be locked \\({os.strerror(code)}\\): mend that and give the same command again$"
    with pytest.raises(UserError, match=said):
        folder.locked().__enter__()
    assert list(folder.path.iterdir()) == []


def test_a_holder_that_is_killed_frees_the_run_at_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, ID)
    hold = f"""
import sys, time
from pathlib import Path
from bench.runs.folder import RunFolder
with RunFolder(Path({str(tmp_path)!r}), {ID!r}).locked():
    print("held", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    with pytest.raises(Busy, match=f"process {process.pid} on"):
        folder.locked().__enter__()
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie, which nobody has waited for, has ended too
    with folder.locked():
        pass
    process.communicate()


def test_a_run_that_was_taken_over_writes_no_more(tmp_path: Path) -> None:
    """It was silent for long, as one whose node was suspended; what the other one writes stays."""
    run = spec()
    folder = RunFolder(tmp_path, run.run_id)
    kept: dict[str, bytes] = {}

    def take_over(report: Any) -> None:
        if report.iteration == 20 and not kept:
            (lock,) = folder.path.glob(".lock.*")
            lock_of(folder.path).rename(folder.path / f".lock.{int(lock.suffix[1:]) + 1}")
            lock.unlink()
            kept.update({path.name: path.read_bytes() for path in folder.path.iterdir() if path.name != "log.txt"})

    with pytest.raises(Busy, match=r"was taken over by process 4711 on node7 .*: wait for that one$"):
        job.run(run, Context(tmp_path, Source(Path()), on_report=take_over))
    assert kept
    assert {path.name: path.read_bytes() for path in folder.path.iterdir() if path.name != "log.txt"} == kept
    assert not folder.finished()


@pytest.mark.parametrize(
    ("facts", "age", "free"),
    [
        ({"pid": os.getpid(), "host": socket.gethostname()}, 0, False),
        ({"pid": os.getpid(), "host": socket.gethostname()}, 10**7, True),  # this process began later
        ({"pid": 2**22 + 1, "host": socket.gethostname()}, 0, True),
        ({"pid": 1, "host": "node7"}, 0, False),
        ({"pid": 1, "host": "node7"}, 3600, True),
        ({"pid": -1}, 3600, True),
    ],
)
def test_locks_of_older_versions(tmp_path: Path, facts: dict[str, Any], age: float, free: bool) -> None:
    """They held a flock on `.lock`, and said in `.lock.json` who does; that may have been left by one that was killed."""
    folder = RunFolder(tmp_path, ID)
    folder.path.mkdir()
    (folder.path / ".lock").touch()
    older = folder.path / ".lock.json"
    older.write_text(json.dumps(facts))
    os.utime(older, (time.time() - age,) * 2)
    if free:
        with folder.locked():
            assert not older.exists()
    else:
        with pytest.raises(Busy, match=f"by process {facts['pid']} on {facts['host']}: wait"):
            folder.locked().__enter__()


SMALL = ("--table", "cifar_depth", "--schedule", "smoke", "--only", "resnet-8", "--set", "iterations=20", "drops=10,15")
FULL = {
    errno.EDQUOT: "no space left to write",
    errno.ENOSPC: "no space left to write",
    errno.ESTALE: "could not be written",
}


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_the_umask_decides_who_may_read_and_write(tmp_path: Path, umask: int) -> None:
    """Every file and folder of a run, its pages, the report, an export, an import and a copy of the code."""
    before = os.umask(umask)
    try:
        results, tables, other = (tmp_path / name for name in ("results", "tables", "other"))
        for words in (
            (*SMALL, "--results", results, "--tables", tables),
            ("export", tmp_path / "runs.zip", "--checkpoints", "all", "--results", results),
            ("import", tmp_path / "runs.zip", "--results", other),
        ):
            assert main([str(word) for word in words]) == 0
        snapshot.take(results)
    finally:
        os.umask(before)
    made = [path for path in tmp_path.rglob("*") if not path.is_symlink()]
    assert {".py", ".pt", ".json", ".jsonl", ".md", ".svg", ".png", ".zip", ".html", ".txt"} <= {p.suffix for p in made}
    wrong = {
        str(path.relative_to(tmp_path)): oct(mode)
        for path in made
        if (mode := path.stat().st_mode & 0o777) != (0o777 if path.is_dir() else 0o666) & ~umask
    }
    assert wrong == {}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was never disturbed."""
    return job.run(spec(), Context(tmp_path_factory.mktemp("whole"), Source(Path())))


@pytest.mark.parametrize(
    ("code", "where"),
    [(errno.EDQUOT, "write"), (errno.ENOSPC, "fsync"), (errno.EDQUOT, "fsync"), (errno.ESTALE, "replace")],
)
def test_a_file_system_that_is_full_or_away_loses_nothing(
    tmp_path: Path, whole: Path, code: int, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second checkpoint fails: the first one stays, the error is one line, and the run ends with the same bits."""
    seen: list[Path] = []
    write_atomic, real = files.write_atomic, os.replace

    def second(path: Path, write: Any) -> None:
        seen.extend([path] if path.name == "checkpoint.pt" else [])
        with monkeypatch.context() as patch:
            if path.name == "checkpoint.pt" and len(seen) == 2:
                patch.setattr(*{"write": (files._File, "write"), "fsync": (os, "fsync"), "replace": (os, "replace")}[where],
                              failing(code))  # fmt: skip
            write_atomic(path, write)

    monkeypatch.setattr(checkpoint, "write_atomic", second)
    run, folder = spec(), RunFolder(tmp_path, spec().run_id)
    with pytest.raises(UserError, match=FULL[code]) as error:
        job.run(run, Context(folder.results, Source(Path())))
    assert "\n" not in str(error.value)
    assert str(folder.checkpoint) in str(error.value)
    assert os.replace is real
    assert checkpoint.read(folder.checkpoint, run)["progress"]["iteration"] == 10
    names = {
        "spec.json",
        "provenance.json",
        "heartbeat.json",
        "checkpoint.pt",
        "metrics.jsonl",
        "log.txt",
        ".lock.1.free",
    }
    assert {path.name for path in folder.path.iterdir()} <= names
    job.run(run, Context(folder.results, Source(Path())))
    ends = [checkpoint.read(each / "checkpoint.pt", run)["net"] for each in (folder.path, whole)]
    assert all(bool((ends[0][name] == ends[1][name]).all()) for name in ends[1])


def test_homes_that_are_links_stay_as_typed(tmp_path: Path) -> None:
    """In what is printed and stored: nodes may have the link, and not what it leads to on this machine."""
    real, home = tmp_path / "disk 3" / "someone", tmp_path / "home"
    real.mkdir(parents=True)
    home.symlink_to(real)
    (real / "checkout").symlink_to(ROOT)
    typed = home / "checkout"
    words = ["--table", "cifar_depth", "--schedule", "smoke", "--only", "resnet-8", "--cluster", "slurm", "--dry-run"]
    for script, folder in (("bench/run.py", typed), (typed / "bench" / "run.py", tmp_path)):
        done = subprocess.run(
            [sys.executable, str(script), *words, "--tables", "here"],
            cwd=folder, env={**os.environ, "PWD": str(folder)}, capture_output=True, text=True,
        )  # fmt: skip
        assert f"#SBATCH --output={typed}/results/slurm/" in done.stdout, done.stdout + done.stderr
        assert f"PYTHONPATH={typed}/results/slurm/code/" in done.stdout
        assert f"--chdir={typed}/results/slurm/code/" in done.stdout
        assert str(real) not in done.stdout
        assert f"{ROOT}/results" not in done.stdout

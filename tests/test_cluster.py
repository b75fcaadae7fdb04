"""What of job arrays can be told without a cluster: profiles, shapes, and how states are read."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cluster import launch, status, task
from bench.cluster.submissions import SentArray, Submission
from bench.compute import job
from bench.compute.context import Context
from bench.compute.heartbeat import Attempt
from bench.errors import Interrupted, UserError
from bench.runs.folder import RunFolder
from bench.runs.spec import RunSpec
from bench.studies import cifar_depth
from bench.training.source import Source
from models.arch import Arch, parse_arch
from slurm import array, profile, site, states


def write(folder: Path, text: str) -> str:
    path = folder / "site.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu = 1", "gpu is no key: choose from account, constraint, cpus, gpu_type, gpus, mem, nodes, parallel, partition"),
        ("[shape.huge]\ngpus = 1", "[shape.huge] is no shape: choose from cifar, deep, imagenet, report"),
        ("[shape.deep]\ncpu = 1", "cpu is no key"),
        ("gpus = 1.5", "gpus = 1.5: give a whole number"),
        ("gpus = 'a100:many'", "gpus 'a100:many': must be a whole number, or TYPE:NUMBER such as a100:1"),
        ("sbatch = 'hint=x'", "sbatch 'hint=x': must be a table of sbatch's options"),
        ("[sbatch]\narray = '1-3'", "array of sbatch is set by the harness: runs are grouped by the harness"),
        ("[sbatch]\ngres = ['gpu:1']", "gres ['gpu:1']: must be one line of text, a number, true or false"),
        ("[sbatch]\ncpus-per-task = 'few'", "cpus 'few': must be a whole number"),
        ("gpus = true", "gpus = True: give a whole number"),
        ("cpus = 0", "cpus 0 is too few: give 1 or more"),
        ("time = '00:00:00'", "time 00:00:00 is less than a minute"),
        ("time = 'a day'", "time 'a day' is no time: give minutes, or HH:MM:SS, or D-HH:MM:SS"),
        ("mem = 'lots'", "mem 'lots' is no size: give 500M or 8G"),
        ("preemption = 'never'", "preemption = 'never': give requeue or stop"),
        ("setup = 'module load cuda'", "setup = 'module load cuda': give a list of shell lines"),
        ("gpus = ", "is no TOML"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_profile_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        launch.load_profile(write(tmp_path, text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


PROFILES = {
    "accounts": "--account=my-account --mail-type=END,FAIL --partition=gpu",
    "apptainer": "--gpus-per-node=1 --mem=32G",
    "condo": "--partition=owners,gpu --requeue",
    "cpu": "--mem=3G",
    "default": "--gpus-per-node=1 --mem=8G --time=480",
    "no_mem": "--cpus-per-task=12 --gpus-per-node=1",
    "qos": "--constraint=a100 --hint=nomultithread --qos=gpu-short",
    "typed_gpus": "--gpus-per-node=a100:1 --mem=32G",
}
"""Profile -> some options of the array of a small net."""


def directives(chosen: profile.Profile, overrides: dict[str, object]) -> list[str]:
    """The options of sbatch of an array with one run."""
    (planned,) = launch.arrange([spec("resnet-20-A")], chosen, overrides, pack=1, limit=10)
    return array.directives(launch.preview(planned, Path("results")))


def test_every_profile_of_the_project_is_whole() -> None:
    assert profile.names() == sorted(PROFILES)
    for name, expected in PROFILES.items():
        chosen = launch.load_profile(name)
        for shape in launch.SHAPES:
            launch.resolve(chosen, shape, {})
        found = directives(chosen, {})
        assert set(expected.split()) <= set(found)
        assert not any(option.startswith("--wckey") for option in found)
        assert any(option.startswith("--mem=") for option in found) == (name not in ("no_mem", "qos"))
    assert launch.load_profile("condo").report().partition == "gpu"
    assert dict(launch.load_profile("accounts").report().sbatch) == {"mail-type": "END,FAIL"}
    (planned,) = launch.arrange([spec("resnet-20-A")], launch.load_profile("apptainer"), {}, pack=1, limit=10)
    assert '"$IMAGE" python -u -m submitit' in array.script(launch.preview(planned, Path("results")))


@pytest.mark.parametrize(
    ("text", "overrides", "has", "has_not"),
    [
        ("gpus = 'a100:1'", {}, ["--gpus-per-node=a100:1", "--mem=8G"], []),
        ("gpus = 'a100:1'", {"gpus": "2"}, ["--gpus-per-node=a100:2"], []),
        ("gpus = '2080ti'", {}, ["--gpus-per-node=2080ti:1"], []),
        ("gres = 'gpu:a100:1'", {}, ["--gres=gpu:a100:1"], ["--gpus-per-node"]),
        ("gres = 'gpu:a100:1'", {"gpus": "0"}, [], ["--gpus-per-node", "--gres"]),
        ("gres = 'lscratch:100'", {}, ["--gres=lscratch:100", "--gpus-per-node=1"], []),
        ("mem_per_cpu = '4G'", {}, ["--mem-per-cpu=4G"], ["--mem="]),
        ("mem_per_cpu = '4G'", {"mem": "9G"}, ["--mem=9G"], ["--mem-per-cpu"]),
        ("mem = ''\nhint = 'nomultithread'", {}, ["--hint=nomultithread"], ["--mem"]),
        ("", {"sbatch": {"mem": ""}}, [], ["--mem"]),
        ("[sbatch]\nexclusive = true\nlicenses = 'a:1'", {}, ["--exclusive", "--licenses=a:1"], []),
        ("[sbatch]\nexclusive = true", {"sbatch": {"exclusive": False}}, [], ["--exclusive"]),
        ("[sbatch]\nwckey = 'w'\ncomment = 'for a course'", {}, ["--wckey=w", "--comment='for a course STAMP'"], []),
        ("cpus = 3", {"sbatch": {"cpus-per-task": "5"}}, ["--cpus-per-task=5"], ["--cpus-per-task=3"]),
        ("[sbatch]\nmail_user = 'me@example.org'", {}, ["--mail-user=me@example.org"], []),
        ("[sbatch]\nreservation = 'r'\n[shape.cifar.sbatch]\nreservation = 's'", {}, ["--reservation=s"], []),
    ],
)  # fmt: skip
def test_any_option_of_sbatch_can_be_given_and_has_the_last_word(
    tmp_path: Path, text: str, overrides: dict[str, object], has: list[str], has_not: list[str]
) -> None:
    found = directives(launch.load_profile(write(tmp_path, text)), overrides)
    assert set(has) <= set(found)
    assert [option for option in found if option.startswith(tuple(has_not))] == []


def test_the_report_takes_over_the_place_and_not_the_gpus(tmp_path: Path) -> None:
    """What [shape.report] says comes last: at some sites only jobs with a GPU are taken."""
    text = "gres = 'gpu:4'\nwckey = 'w'\nmem = ''\n[shape.report]\ncpus = 2\n[shape.report.sbatch]\nhint = 'x'"
    found = launch.load_profile(write(tmp_path, text)).report({"sbatch": {"exclusive": True, "reservation": "r"}})
    assert dict(found.sbatch) == {"hint": "x", "reservation": "r", "wckey": "w"}
    assert (found.gpus, found.cpus, found.mem, found.minutes) == (0, 2, "", 30)


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("(null)", 0), ("gpu", 1), ("gpu:2", 2), ("gpu:a100:4(S:0-1),gpu:t4:1", 5), ("gpu:2080ti:4(S:0-1)", 4),
        ("gpu:1g.5gb:7(S:0),gpu:a100_3g.20gb:2(S:1,3)", 9), ("lscratch:900,gpu:8", 8), ("gpu:a100", 1), ("shard:16", 0),
    ],
)  # fmt: skip
def test_gpus_are_counted_whatever_their_type_is_called(gres: str, gpus: int) -> None:
    assert site.gpus_of(gres) == gpus


SINFO = """normal|up|2-00:00:00|64|515000|(null)|skl,hdr
gpu|up|1-00:00:00|64|515000|gpu:a100:4(S:0-1)|a100,80g
down|inact|odd|64+|515000+|gpu:2080ti:4(S:0-1)|x"""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "big shows no default partition: choose from normal, gpu, down"),
        ({"partition": "gpu"}, None),
        ({"partition": "gpu,normal", "gpus": 0}, None),
        ({"partition": "gpu,normal"}, "nodes of partition normal have 0 at most; partitions with GPUs: gpu, down"),
        ({"partition": "gpu,owners"}, "partition owners is not on big: choose from normal, gpu, down"),
        ({"partition": "down"}, "partition down is down"),
        ({"partition": "gpu", "mem": ""}, None),
        ({"partition": "gpu", "gpus": 5}, "gpus 5 makes 5 on a node; nodes of partition gpu have 4 at most"),
    ],
)
def test_what_sinfo_shows_is_explained(asked: dict[str, Any], said: str | None) -> None:
    big = site.Site("big", 1001, False, tuple(site.read_partitions(SINFO.splitlines())))
    found = site.objection(profile.ClusterProfile(**asked), big)
    assert found is None if said is None else said in str(found)


def test_the_command_line_wins_over_the_shape_and_the_shape_over_the_file(tmp_path: Path) -> None:
    chosen = launch.load_profile(write(tmp_path, "mem = '5G'\ncpus = 3\n[shape.deep]\nmem = '6G'"))
    assert launch.resolve(chosen, "cifar", {}).mem == "5G"
    assert launch.resolve(chosen, "deep", {}).mem == "6G"
    assert launch.resolve(chosen, "deep", {"mem": "7G"}).mem == "7G"
    assert launch.resolve(chosen, "deep", {}).cpus == 3


def spec(net: str, seed: int = 0) -> RunSpec:
    arch = parse_arch(net)
    return RunSpec(arch, cifar_depth.recipe(arch, "paper", "cifar10", "all"), "cifar10", seed)


def test_runs_are_arranged_by_shape_and_packed_and_cut(tmp_path: Path) -> None:
    """1202 layers share no array with 20, and no task with anything."""
    chosen = launch.load_profile("default")
    runs = [spec(net, seed) for net in ("resnet-20-A", "resnet-1202-A") for seed in range(5)]
    planned = launch.arrange(runs, chosen, {}, pack=2, limit=2)
    assert [(each.shape, [len(task) for task in each.tasks]) for each in planned] == [
        ("cifar", [2, 2]),
        ("cifar", [1]),
        ("deep", [1, 1]),
        ("deep", [1, 1]),
        ("deep", [1]),
    ]
    assert [run for each in planned for task in each.tasks for run in task] == runs
    assert planned[0].profile.mem == "8G"
    assert planned[2].profile.mem == "16G"


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("90:30", 91), ("1:30:00", 90), ("1-12", 2160), ("1-12:30", 2190), ("1-00:00:01", 1441)],
)
def test_times_are_read_as_slurm_reads_them(text: str, minutes: int) -> None:
    assert profile.minutes(text) == minutes


@pytest.mark.parametrize(("text", "megabytes"), [("500", 500), ("500M", 500), ("8G", 8192), ("1T", 1 << 20)])
def test_sizes_are_read_as_slurm_reads_them(text: str, megabytes: int) -> None:
    assert profile.megabytes(text) == megabytes


@pytest.mark.parametrize(
    ("text", "numbers"), [("", [0]), ("7", [7]), ("[1-3,8%2]", [1, 2, 3, 8]), ("[0-8:4]", [0, 4, 8]), ("[5]", [5])]
)
def test_indices_are_read_as_slurm_writes_them(text: str, numbers: list[int]) -> None:
    assert states.indices(text) == numbers


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("Priority", "Priority"),
        ("None", ""),
        ("BadConstraints", "BadConstraints: no node has what it asks for"),
        ("QOSMaxCpuPerUserLimit", "QOSMaxCpuPerUserLimit: a limit of your account or QOS"),
        ("(launch failed requeued held)", "launch failed requeued held: `scontrol release 1_2` lets it go"),
    ],
)
def test_a_reason_that_does_not_pass_by_itself_is_explained(reason: str, why: str) -> None:
    assert states.TaskState("1_2", "PENDING", "", reason).why == why


def test_a_run_that_diverged_has_failed_but_is_not_tried_again(tmp_path: Path) -> None:
    """The same seed would diverge again; its NaN is a result."""
    from bench.compute import heartbeat
    from bench.files import write_json

    run = spec("plain-20")
    folder = RunFolder(tmp_path, run.run_id)
    folder.path.mkdir()
    heart = heartbeat.Heart(folder, None)
    heart.beat("failed", kind="NaN", reason="the loss was not finite after 7 iterations")
    write_json(folder.result, {})
    (found,) = status.survey([run], tmp_path).standings
    assert (found.state, found.diverged) == ("failed", True)
    assert found.why == "NaN: the loss was not finite after 7 iterations"


def of_seconds() -> RunSpec:
    arch = Arch("cifar", 8, "A")
    return RunSpec(arch, replace(cifar_depth.recipe(arch, "smoke"), iterations=4, evaluate_every=2), "digits", 0)


def test_a_task_that_has_done_anything_at_all_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One iteration before its time is up is enough; a task that did none would be requeued for ever, and fails instead."""
    said = tmp_path / "said"
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> "{said}"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")

    @contextmanager
    def hurried(*numbers: int, twice: bool) -> Iterator[set[int]]:
        """A task whose time is up as soon as it begins."""
        yield {signal.SIGUSR2}

    monkeypatch.setattr(task, "listening", hurried)
    run = of_seconds()
    work = task.Work((run,), Context(tmp_path, Source(Path())), requeue=True, cpus=1, comment="test")
    job.run(run, Context(tmp_path, Source(Path())))
    for _ in range(2):  # anew, from far behind what was done before, and on from there
        with pytest.raises(SystemExit) as end:
            task.work(replace(work, context=replace(work.context, force=True)))
        assert end.value.code == 128 + signal.SIGUSR2
    assert said.read_text() == "requeue 7\n" * 2
    assert "stopped at iteration 2" in RunFolder(tmp_path, run.run_id).log.read_text()

    def interrupted(*arguments: object) -> None:
        raise Interrupted("before the first iteration")

    monkeypatch.setattr(job, "run", interrupted)
    with pytest.raises(task.TaskFailed, match="no iteration was completed before the time was up: give more --time"):
        task.work(work)


def test_a_requeue_does_not_force_again_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else --force would compute a short run anew at each requeue that a longer one of the same task needs."""
    run = of_seconds()
    times = []
    for restart, comment in (("0", "first"), ("0", "second"), ("1", "second"), ("0", "third")):
        monkeypatch.setenv("SLURM_RESTART_COUNT", restart)
        context = Context(tmp_path, Source(Path()), force=True)
        task.work(task.Work((run,), context, requeue=True, cpus=1, comment=comment))
        times.append(RunFolder(tmp_path, run.run_id).result.stat().st_mtime_ns)
    assert times[0] < times[1] == times[2] < times[3]


def test_what_is_queued_to_be_computed_anew_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until its own task has a result: else --force given twice would send it twice, and --status say that nothing waits."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    squeue = tmp_path / "squeue"
    run = of_seconds()
    job.run(run, Context(tmp_path, Source(Path())))

    def state(sent: bool, queued: str) -> str:
        array = SentArray("stamp.1", "7", "cifar", str(tmp_path / "none"), ((run.run_id,),))
        Submission("stamp", "cifar_depth", 0.0, "c", False, "", (array,), force=sent).write(tmp_path)
        squeue.write_text(f"#!/bin/sh\necho '7|N/A|{queued}|n1|None|stamp.1'\n")
        squeue.chmod(0o755)
        (found,) = status.survey([run], tmp_path).standings
        return found.state

    assert state(False, "PENDING") == "done"  # a run that was sent without a result, and has one now
    assert [state(True, word) for word in ("PENDING", "RUNNING", "CANCELLED")] == ["queued", "running", "done"]
    job.run(run, Context(tmp_path, Source(Path()), force=True, attempt=Attempt("stamp.1.0", 0, "7")))
    assert state(True, "RUNNING") == "done"


def test_the_default_profile_is_what_a_profile_gets_that_says_nothing(tmp_path: Path) -> None:
    """Its values are those of slurm/profile.py, and its shapes are everybody's: no number stands in a third place."""
    default, silent = launch.load_profile("default"), launch.load_profile(write(tmp_path, ""))
    for shape in launch.SHAPES:
        assert launch.resolve(silent, shape, {}) == launch.resolve(default, shape, {})
    assert launch.resolve(silent, "imagenet", {}).tasks_per_node == 8

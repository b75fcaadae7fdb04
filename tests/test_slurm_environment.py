"""A person's shell is full of settings of Slurm: none of them reaches a job, or changes what is asked. On a real Slurm."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import slurm_site
from conftest import ROOT
from slurm_site import Site, Table

from slurm import programs

pytestmark = [pytest.mark.slow, pytest.mark.slurm]
BRIEF = ("--only", "resnet-8-A", "--set", "iterations=40")

NAMES = """
SBATCH_ACCOUNT SBATCH_ACCTG_FREQ SBATCH_ARRAY_INX SBATCH_BATCH SBATCH_CLUSTERS SBATCH_CONSTRAINT SBATCH_CONTAINER
SBATCH_CONTAINER_ID SBATCH_CORE_SPEC SBATCH_CPUS_PER_GPU SBATCH_CPU_FREQ_REQ SBATCH_DEBUG SBATCH_DELAY_BOOT
SBATCH_DISTRIBUTION SBATCH_ERROR SBATCH_EXCLUSIVE SBATCH_EXPORT SBATCH_GET_USER_ENV SBATCH_GPUS SBATCH_GPUS_PER_NODE
SBATCH_GPUS_PER_TASK SBATCH_GPU_BIND SBATCH_GPU_FREQ SBATCH_GRES SBATCH_GRES_FLAGS SBATCH_HINT SBATCH_IGNORE_PBS SBATCH_INPUT
SBATCH_JOB_NAME SBATCH_MEM_BIND SBATCH_MEM_PER_CPU SBATCH_MEM_PER_GPU SBATCH_MEM_PER_NODE SBATCH_NETWORK SBATCH_NO_KILL
SBATCH_NO_REQUEUE SBATCH_OPEN_MODE SBATCH_OUTPUT SBATCH_OVERCOMMIT SBATCH_PARTITION SBATCH_POWER SBATCH_PROFILE SBATCH_QOS
SBATCH_REQUEUE SBATCH_REQ_SWITCH SBATCH_RESERVATION SBATCH_SEGMENT_SIZE SBATCH_SIGNAL SBATCH_SPREAD_JOB SBATCH_THREADS_PER_CORE
SBATCH_THREAD_SPEC SBATCH_TIMELIMIT SBATCH_TRES_BIND SBATCH_TRES_PER_TASK SBATCH_USE_MIN_NODES SBATCH_WAIT SBATCH_WAIT4SWITCH
SBATCH_WAIT_ALL_NODES SBATCH_WCKEY
SQUEUE_ACCOUNT SQUEUE_ALL SQUEUE_ARRAY SQUEUE_FEDERATION SQUEUE_FORMAT SQUEUE_FORMAT2 SQUEUE_LICENSES SQUEUE_LOCAL SQUEUE_NAMES
SQUEUE_PARTITION SQUEUE_PRIORITY SQUEUE_QOS SQUEUE_SIBLING SQUEUE_SORT SQUEUE_STATES SQUEUE_USERS
SACCT_FEDERATION SACCT_FORMAT SACCT_LOCAL SINFO_ALL SINFO_FEDERATION SINFO_FORMAT SINFO_LOCAL SINFO_PARTITION SINFO_SORT
SCONTROL_ALL SCONTROL_FEDERATION SCONTROL_FUTURE SCONTROL_LOCAL SCONTROL_SIBLING
SCANCEL_ACCOUNT SCANCEL_BATCH SCANCEL_CTLD SCANCEL_FULL SCANCEL_HURRY SCANCEL_INTERACTIVE SCANCEL_NAME SCANCEL_PARTITION
SCANCEL_QOS SCANCEL_STATE SCANCEL_USER SCANCEL_VERBOSE SCANCEL_WCKEY
SALLOC_PARTITION SRUN_CONTAINER SRUN_CPUS_PER_TASK SRUN_DEBUG SRUN_EXPORT_ENV SLURMD_NODENAME
SLURM_ACCOUNT SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID SLURM_BITSTR_LEN SLURM_CLUSTERS SLURM_CONF_OUT SLURM_CONSTRAINT
SLURM_CPUS_PER_GPU SLURM_CPUS_PER_TASK SLURM_CPU_BIND SLURM_DEBUG SLURM_DEBUG_FLAGS SLURM_DEPENDENCY SLURM_DISTRIBUTION
SLURM_EPILOG SLURM_EXACT SLURM_EXCLUSIVE SLURM_EXIT_ERROR SLURM_EXPORT_ENV SLURM_GPUS SLURM_GPUS_PER_NODE SLURM_GPUS_PER_TASK
SLURM_GRES SLURM_HINT SLURM_IMMEDIATE SLURM_JOBID SLURM_JOB_ACCOUNT SLURM_JOB_ID SLURM_JOB_NAME SLURM_JOB_NODELIST
SLURM_JOB_NUM_NODES SLURM_JOB_PARTITION SLURM_JOB_QOS SLURM_JSON SLURM_LABELIO SLURM_MEM_BIND SLURM_MEM_PER_CPU
SLURM_MEM_PER_GPU SLURM_MEM_PER_NODE SLURM_MPI_TYPE SLURM_NETWORK SLURM_NNODES SLURM_NODELIST SLURM_NPROCS SLURM_NTASKS
SLURM_NTASKS_PER_NODE SLURM_OPEN_MODE SLURM_OVERLAP SLURM_PARTITION SLURM_PROCID SLURM_PROFILE SLURM_PROLOG SLURM_QOS
SLURM_REMOTE_CWD SLURM_RESERVATION SLURM_RESTART_COUNT SLURM_SIGNAL SLURM_STDERRMODE SLURM_STDINMODE SLURM_STDOUTMODE
SLURM_STEP_ID SLURM_TASKS_PER_NODE SLURM_TASK_EPILOG SLURM_TASK_PROLOG SLURM_TEST_EXEC SLURM_THREADS SLURM_THREADS_PER_CORE
SLURM_TIMELIMIT SLURM_TIME_FORMAT SLURM_TOPO_LEN SLURM_TRES_PER_TASK SLURM_UMASK SLURM_UNBUFFEREDIO SLURM_USE_MIN_NODES
SLURM_WAIT SLURM_WCKEY SLURM_WORKING_CLUSTER SLURM_WORKING_DIR SLURM_YAML
"""
"""Variables that sbatch, srun, squeue, sacct, sinfo, scontrol and scancel read: the manual pages of 22.05, and later ones."""
SETTINGS = NAMES.split()
WRONG = {
    **dict.fromkeys(SETTINGS, "nonsense"),
    "SBATCH_EXPORT": "NONE", "SLURM_EXPORT_ENV": "NONE", "SRUN_EXPORT_ENV": "NONE", "SBATCH_GET_USER_ENV": "1",
    "SBATCH_PARTITION": "high", "SLURM_PARTITION": "high", "SBATCH_TIMELIMIT": "1", "SLURM_TIMELIMIT": "1",
    "SBATCH_ARRAY_INX": "0-3", "SBATCH_NO_REQUEUE": "1", "SBATCH_WCKEY": "w", "SBATCH_JOB_NAME": "n", "SBATCH_WAIT": "1",
    "SBATCH_EXCLUSIVE": "user", "SBATCH_GPUS": "2", "SBATCH_OUTPUT": "/dev/null", "SBATCH_DEBUG": "3", "SBATCH_SIGNAL": "9@1",
    "SBATCH_MEM_PER_CPU": "1000", "SLURM_MEM_PER_CPU": "1000", "SLURM_MEM_PER_NODE": "1000", "SLURM_MEM_PER_GPU": "1000",
    "SLURM_NTASKS": "4", "SLURM_NPROCS": "4", "SLURM_NNODES": "2", "SLURM_CPUS_PER_TASK": "7", "SRUN_CPUS_PER_TASK": "7",
    "SLURM_PROCID": "3", "SLURM_ARRAY_TASK_ID": "5", "SLURM_RESTART_COUNT": "4", "SLURM_JOB_ID": "1", "SLURM_TEST_EXEC": "1",
    "SQUEUE_STATES": "COMPLETED", "SQUEUE_USERS": "nobody", "SQUEUE_FORMAT": "%i", "SQUEUE_PARTITION": "high",
    "SQUEUE_NAMES": "x", "SINFO_FORMAT": "%P", "SINFO_PARTITION": "high", "SCANCEL_STATE": "SUSPENDED", "SCANCEL_NAME": "x",
    "SCANCEL_INTERACTIVE": "1", "SLURM_CLUSTERS": "elsewhere", "SLURM_TIME_FORMAT": "relative", "SLURM_LABELIO": "1",
}  # fmt: skip
"""The same with values that Slurm takes and that would spoil the runs, or hide them."""


class Shell(Site):
    """The site as a shell sees it that exports these variables; what the tests ask is asked without them."""

    def __init__(self, site: Site, more: dict[str, str]) -> None:
        super().__init__(site.machine)
        self.environment = {**site.environment, **more}

    def call(self, *command: str) -> str:
        done = subprocess.run(
            command, env=programs.environment(self.environment), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def packages_of_a_module(folder: Path) -> Path:
    """What a site's module puts on PYTHONPATH: a package that writes down the environment of each task."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import json, os\nif 'SUBMITIT_EXECUTOR' in os.environ:\n"
        f"    json.dump(dict(os.environ), open({str(folder)!r} + f'/{{os.getpid()}}.json', 'w'))\n"
    )
    return folder


@pytest.mark.newer
@pytest.mark.parametrize("settings", [dict.fromkeys(SETTINGS, "nonsense"), WRONG], ids=["nonsense", "wrong"])
def test_no_setting_of_a_shell_reaches_a_run_or_hides_it(site: Site, tmp_path: Path, settings: dict[str, str]) -> None:
    """From the launch to the finished page. What waits is seen, is not sent twice, and is cancelled."""
    packages = packages_of_a_module(tmp_path / "packages")
    study = Table(tmp_path, Shell(site, {**settings, "PYTHONPATH": str(packages), "RANK": "9"}), *BRIEF)
    said = study.send("--seeds", 2)
    assert "sent array 1 as job" in said
    assert "0 to send" in study.send("--seeds", 2)
    study.wait_until_empty()
    assert set(study.status().values()) == {"done"}
    assert "ResNet-8" in (study.tables / "cifar_depth.smoke.iterations=40.md").read_text()
    tasks = [json.loads(path.read_text()) for path in packages.glob("*.json")]
    assert len(tasks) >= 2
    leaked = {(name, task[name]) for task in tasks for name in settings if task.get(name) == settings[name]}
    assert {pair for pair in leaked if pair[0] not in ("SLURM_PROCID", "SLURM_NNODES")} <= {("SLURM_EXPORT_ENV", "ALL")}
    assert all("RANK" not in task for task in tasks)
    assert {task["SLURM_JOB_PARTITION"] for task in tasks} == {"debug"}

    study.send("--seeds", 6, "--sbatch", "hold")
    assert study.tasks()
    assert "cancelled 4 runs" in study("--cancel", "--seeds", 6).stdout
    study.wait_until_empty()


def test_a_launch_from_inside_a_job(site: Site, tmp_path: Path) -> None:
    """The job's own memory, tasks and ids are not those of the jobs that it sends."""
    study = Table(tmp_path, site, *BRIEF)
    script = tmp_path / "script"
    study.command.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, ROOT / "bench" / "run.py", *study.arguments, "--cluster", "slurm", "--profile", "cpu",
               "--cpus", 1, "--mem", "1500M", "--results", study.results, "--tables", study.tables]  # fmt: skip
    script.write_text(
        f"#!/bin/bash\n#SBATCH --mem-per-cpu=1000 --ntasks=2\n{' '.join(repr(str(word)) for word in command)}\n"
    )
    site.call("sbatch", f"--output={tmp_path}/said", "--export=ALL,SLURM_HINT=nomultithread", str(script))
    site.wait("the launch", lambda: list(study.results.glob("slurm/*/submission.json")) or "error" in said(tmp_path))
    site.wait("its end", lambda: "nobody needs to stay logged in" in said(tmp_path))
    study.wait_until_empty()
    assert set(study.status().values()) == {"done"}
    (provenance,) = study.results.glob("*/provenance.json")
    assert json.loads(provenance.read_text())["slurm"]["ntasks"] == "1"
    assert (study.tables / "cifar_depth.smoke.iterations=40.md").exists()


def said(folder: Path) -> str:
    return (folder / "said").read_text() if (folder / "said").exists() else ""


@pytest.fixture(scope="module")
def odd() -> Iterator[Site]:
    """A site without arrays and without a default partition."""
    with contextmanager(slurm_site.start)(nodes=2, max_array_size=0) as site:
        site.call("scontrol", "update", "PartitionName=debug", "Default=NO")
        yield site


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "onemachine shows no default partition: choose from debug, short, low"),
        (
            ("--partition", "debug,nowhere"),
            "partition nowhere is not on onemachine: choose from debug, short, low",
        ),
        (("--partition", "debug", "--sbatch", "reservation=none"), "sbatch: Requested reservation is invalid"),
        (("--partition", "debug", "--sbatch", "gres=gpu:h100:1"), "sbatch: "),
        (("--partition", "debug", "--sbatch", "colour=blue"), "sbatch: "),
        (("--partition", "debug", "--sbatch", "array=0-3"), "--sbatch array of sbatch is set by the harness"),
    ],
)
def test_what_sbatch_refuses_comes_back_in_one_line(
    odd: Site, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    study = Table(tmp_path, odd, *BRIEF)
    done = study("--cluster", "slurm", "--profile", "cpu", *arguments, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert "sbatch" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not study.results.exists()


def test_what_sbatch_takes_is_sent(odd: Site, tmp_path: Path) -> None:
    """A list of partitions, options by sbatch's names, not even the environment; without arrays a job a task."""
    study = Table(tmp_path, odd, *BRIEF)
    options = ("exclusive", "mem-per-cpu=900M", "comment=for a course", "hint=nomultithread", "mail-type=END", "nice=5",
               "export=NONE")  # fmt: skip
    text = study.send("--partition", "debug,high", "--seeds", 2, "--mem", "1G", "--sbatch", *options)
    assert "--exclusive" in text and "--mem-per-cpu=900M" in text and "--mem=" not in text  # noqa: PT018
    assert "sent array 2 as job" in text
    assert "0 to send" in study.send("--partition", "debug,high", "--seeds", 2)
    odd.wait("an empty queue", lambda: not odd.call("squeue", "--noheader", "--all").strip())
    assert set(study.status().values()) == {"done"}
    shown = odd.call("squeue", "--all", "--states=all", "--noheader", "--format=%k|%w|%y").splitlines()
    assert all(line.startswith("for a course 2") for line in shown)
    assert not any("submitit" in line for line in shown)


def test_a_plug_in_that_routes_jobs_is_let_do_so(odd: Site, tmp_path: Path) -> None:
    conf = odd.machine.conf
    conf.write_text(conf.read_text() + "JobSubmitPlugins=partition\n")
    odd.call("scontrol", "reconfigure")
    odd.call("scontrol", "update", "PartitionName=debug", "Default=NO")  # the file says YES
    study = Table(tmp_path, odd, *BRIEF)
    assert "note: onemachine shows no default partition" in study.send()
    odd.wait("an empty queue", lambda: not odd.call("squeue", "--noheader", "--all").strip())
    assert set(study.status().values()) == {"done"}

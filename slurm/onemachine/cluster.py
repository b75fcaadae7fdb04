"""Bring up and take down a Slurm of several nodes on one machine: as root or not, without systemd or cgroups.

Everything lies in one folder and listens on ports that were free, so that several of them, and a site's own Slurm, do
not meet. The nodes are slurmd processes that claim cores, memory and two GPUs each (device files that exist anywhere
stand for the GPUs: Slurm schedules them, nothing can compute on them).
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

TOOLS = ("munged", "mungekey", "slurmctld", "slurmd", "scontrol", "sinfo")
ACCOUNTING_TOOLS = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb")
PACKAGES = "slurmctld slurmd slurm-client munge, and for accounting slurmdbd slurm-wlm-mysql-plugin mariadb-server"
DAEMONS = ("munged", "slurmctld", "slurmd", "slurmstepd", "slurmdbd", "mariadbd")
SECONDS = 60.0


class ClusterError(Exception):
    """The cluster cannot be brought up; the text says what is missing or which log to read."""


@dataclass(frozen=True)
class OneMachine:
    """What the cluster looks like."""

    folder: Path
    nodes: int = 2
    cpus: int = 2
    memory_mb: int = 8_000
    max_array_size: int = 1001
    accounting: bool = False
    min_job_age: int = 3600
    """Seconds for which squeue still shows a job that has ended."""

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"


def missing_tools(accounting: bool = False) -> list[str]:
    """The programs that a cluster needs and this machine lacks."""
    return [name for name in TOOLS + (ACCOUNTING_TOOLS if accounting else ()) if _which(name) is None]


def up(cluster: OneMachine) -> Path:
    """Start the cluster and wait until its nodes are idle. Returns the slurm.conf; raises ClusterError."""
    if lacking := missing_tools(cluster.accounting):
        raise ClusterError(f"{', '.join(lacking)} not found: install the packages {PACKAGES}")
    if len(str(cluster.folder / "run" / "munge.socket")) > 100:
        raise ClusterError(f"{cluster.folder} is too long a path for a socket: choose another folder")
    down(cluster.folder)
    try:
        _start(cluster)
    except BaseException:
        _kill_all(cluster.folder)  # the folder stays, with its logs
        raise
    return cluster.conf


def down(folder: Path) -> None:
    """End every job, daemon and process of the cluster in `folder`, and delete the folder. Nothing there: nothing done."""
    if not (folder / "slurm.conf").exists():
        return
    environment = environment_of(folder / "slurm.conf")
    for command in (["scancel", "--user", getpass.getuser()], ["scontrol", "shutdown"]):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(command, env=environment, capture_output=True, timeout=15)
    _kill_all(folder)
    shutil.rmtree(folder)


def environment_of(conf: Path) -> dict[str, str]:
    """The environment in which Slurm's commands speak to this cluster."""
    return {**os.environ, "SLURM_CONF": str(conf), "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}


def _start(cluster: OneMachine) -> None:
    folder, names = cluster.folder, [f"n{i}" for i in range(cluster.nodes)]
    for part in ("run", "state", "log", *(f"spool/{name}" for name in names)):
        (folder / part).mkdir(parents=True)
    folder.chmod(0o711)
    (folder / "run").chmod(0o711)
    controller, database, accounting, *node_ports = _free_ports(3 + cluster.nodes)
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n", encoding="utf-8")
    if _version() >= (23, 11):  # earlier ones do not know the word, and look for no cgroups here
        (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n", encoding="utf-8")
    cluster.conf.write_text(_slurm_conf(cluster, controller, accounting, node_ports))

    run = folder / "run"
    _run("mungekey", "--create", "--keyfile", run / "munge.key")
    files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid", "seed-file": "munge.seed"}
    _run(
        "munged", "--force", *(f"--{k}={run / v}" for k, v in files.items()), f"--log-file={folder / 'log/munged.log'}"
    )
    if cluster.accounting:
        _start_accounting(cluster, database, accounting)
    environment = environment_of(cluster.conf)
    _run("slurmctld", "-i", "-f", cluster.conf, environment=environment)
    for name in names:
        start_node(cluster, name)
    idle = ["sinfo", "--noheader", "--Node", "--format=%N %t"]
    _wait(
        lambda: len({line for line in _say(idle, environment).splitlines() if line.endswith(" idle")}) == cluster.nodes,
        f"the nodes did not become idle: read {folder / 'log'}",
    )


def start_node(cluster: OneMachine, name: str) -> None:
    """Start the slurmd of one node."""
    _run("slurmd", "-f", cluster.conf, "-N", name, environment=environment_of(cluster.conf))


def kill_node(cluster: OneMachine, name: str) -> None:
    """Kill a node as a power cut would: its slurmd, and everything that runs under it, at once."""
    daemon = int((cluster.folder / "run" / f"slurmd-{name}.pid").read_text(encoding="utf-8"))
    jobs = [p for p in _processes_of(cluster.folder) if _environ(p).get("SLURMD_NODENAME") == name]
    steps = {above for p in jobs if _command(above := _parent(p)).startswith("slurmstepd")}
    for each in [psutil.Process(daemon), *steps, *jobs]:  # in this order, or the daemons would tell how the jobs ended
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


def _slurm_conf(cluster: OneMachine, controller: int, accounting: int, node_ports: Sequence[int]) -> str:
    folder, user, host = cluster.folder, getpass.getuser(), socket.gethostname().split(".")[0]
    nodes = "\n".join(
        f"NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cluster.cpus} "
        f"RealMemory={cluster.memory_mb} Gres=gpu:2 Feature=cpu,node{i} State=UNKNOWN"
        for i, port in enumerate(node_ports)
    )
    storage = "AccountingStorageType=accounting_storage/none"
    if cluster.accounting:
        storage = (
            "AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=localhost\n"
            f"AccountingStoragePort={accounting}\nAccountingStoragePass={folder}/run/munge.socket"
        )
    return f"""\
ClusterName=onemachine
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket,cred_expire=15
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SlurmSchedLogFile={folder}/log/sched.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=5,bf_interval=5,batch_sched_delay=0
SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
MailProg=/bin/true
SlurmdParameters=config_overrides
KillWait=5
SlurmdTimeout=10
MinJobAge={cluster.min_job_age}
EnforcePartLimits=ALL
FirstJobId={int(time.time()) % 60_000_000 + 1}
MaxArraySize={cluster.max_array_size}
MaxJobCount=20000
{storage}
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
GresTypes=gpu
{nodes}
PartitionName=DEFAULT Nodes=ALL DefMemPerCPU=1000 State=UP
PartitionName=debug Default=YES MaxTime=1-00:00:00 PriorityTier=5 PreemptMode=OFF
PartitionName=short MaxTime=00:10:00 PriorityTier=5 PreemptMode=OFF
PartitionName=low MaxTime=1-00:00:00 PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=high MaxTime=1-00:00:00 PriorityTier=10 PreemptMode=OFF
"""


def _start_accounting(cluster: OneMachine, database: int, accounting: int) -> None:
    folder, user = cluster.folder, getpass.getuser()
    data, sock = folder / "mariadb", folder / "run" / "mariadb.socket"
    _run("mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={user}",
         "--auth-root-authentication-method=normal", "--skip-test-db")  # fmt: skip
    with (folder / "log" / "mariadb.log").open(
        "w", encoding="utf-8"
    ) as log:  # it does not put itself into the background
        subprocess.run(
            ["setsid", "--fork", str(_which("mariadbd")), "--no-defaults", f"--datadir={data}", f"--socket={sock}",
             f"--port={database}", "--bind-address=127.0.0.1", f"--user={user}",
             f"--pid-file={folder / 'run/mariadb.pid'}"],
            check=True, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment_of(cluster.conf),
        )  # fmt: skip
    _wait(sock.exists, f"MariaDB did not start: read {folder / 'log/mariadb.log'}")
    statements = (
        "create database slurm_acct_db; create user 'slurm'@'%' identified by 'slurm'; "
        "grant all on slurm_acct_db.* to 'slurm'@'%'; flush privileges;"
    )
    client = ["mariadb", "--no-defaults", f"--socket={sock}", "-u", "root", "-e", statements]
    _wait(lambda: subprocess.run(client, capture_output=True).returncode == 0, "MariaDB takes no statements")
    conf = folder / "slurmdbd.conf"
    conf.write_text(
        f"AuthType=auth/munge\nAuthInfo=socket={folder}/run/munge.socket\nDbdHost=localhost\nDbdPort={accounting}\n"
        f"SlurmUser={user}\nPidFile={folder}/run/slurmdbd.pid\nLogFile={folder}/log/slurmdbd.log\n"
        f"StorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\nStoragePort={database}\n"
        "StorageUser=slurm\nStoragePass=slurm\nStorageLoc=slurm_acct_db\n"
    )
    conf.chmod(0o600)
    _run("slurmdbd", environment=environment_of(cluster.conf))
    _wait(lambda: _listens(accounting), f"slurmdbd does not answer: read {folder / 'log/slurmdbd.log'}")


def _kill_all(folder: Path) -> None:
    """Ask the processes of the cluster to end, then make them."""
    for number, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 10.0)):
        for process in _processes_of(folder):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        end = time.monotonic() + seconds
        while _processes_of(folder) and time.monotonic() < end:
            time.sleep(0.05)


def _processes_of(folder: Path) -> list[psutil.Process]:
    """The daemons of the cluster, its job steps, and what runs in them; not a shell that only has SLURM_CONF set."""
    return [process for process in psutil.process_iter() if _is_of(folder, process)]


def _is_of(folder: Path, process: psutil.Process) -> bool:
    if not _lives(process):
        return False
    command, environ = _command(process), _environ(process)
    daemon = command.split(" ")[0].rsplit("/", 1)[-1].rstrip(":") in DAEMONS
    named = daemon and f"{folder}/" in command
    return named or (environ.get("SLURM_CONF") == f"{folder}/slurm.conf" and (daemon or "SLURM_JOB_ID" in environ))


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _parent(process: psutil.Process) -> psutil.Process | None:
    try:
        return process.parent()
    except psutil.Error:
        return None


def _command(process: psutil.Process | None) -> str:
    """The command line; empty where the process has ended, or is not ours to see."""
    try:
        return " ".join(process.cmdline()) if process else ""
    except psutil.Error:
        return ""


def _environ(process: psutil.Process) -> dict[str, str]:
    """The environment that it started in; empty where the process has ended, or is not ours to see."""
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}


def _which(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")


def _run(name: str, *arguments: object, environment: dict[str, str] | None = None) -> None:
    """Run a program that ends or puts itself into the background. Raises ClusterError with what it said."""
    command = [str(_which(name)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=SECONDS)
    if done.returncode:
        raise ClusterError(f"{' '.join(command)} failed: {done.stderr.strip() or done.stdout.strip()}")


def _version() -> tuple[int, ...]:
    """Slurm's, as 24, 11, 5."""
    said = _say([str(_which("slurmctld")), "-V"], dict(os.environ))
    return tuple(map(int, re.findall(r"\d+", said)[:3]))


def _say(command: Sequence[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=SECONDS).stdout


def _wait(ready: object, problem: str) -> None:
    end = time.monotonic() + SECONDS
    while not ready():  # type: ignore[operator]
        if time.monotonic() > end:
            raise ClusterError(problem)
        time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

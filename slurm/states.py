"""How tasks stand, by the scheduler: one call of squeue, and one of sacct for what squeue has forgotten."""

from __future__ import annotations

import getpass
import re
from collections.abc import Collection
from dataclasses import dataclass

from slurm.programs import NoSlurm, call

ACTIVE = frozenset(
    {
        "PENDING",
        "RUNNING",
        "CONFIGURING",
        "COMPLETING",
        "SUSPENDED",
        "REQUEUED",
        "REQUEUE_HOLD",
        "REQUEUE_FED",
        "RESIZING",
        "SIGNALING",
        "STAGE_OUT",
        "STOPPED",
        "SPECIAL_EXIT",
        "RESV_DEL_HOLD",
    }
)
"""States of a task that has not come to its end."""

STUCK = {
    "JobHeldUser": "held; `scontrol release` lets it go",
    "JobHeldAdmin": "held by an administrator",
    "BadConstraints": "no node has what it asks for",
    "PartitionTimeLimit": "its time is above the partition's limit",
    "PartitionNodeLimit": "it asks for more nodes than the partition gives",
    "PartitionConfig": "the partition cannot give what it asks for",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition is inactive",
    "DependencyNeverSatisfied": "what it waits for can never happen",
    "ReqNodeNotAvail": "the nodes it asks for are down or reserved",
    "InvalidAccount": "the account is not valid",
    "InvalidQOS": "the QOS is not valid",
}
"""Reasons for which a queued task does not start by itself, however long one waits."""

QUEUE = "%F|%K|%T|%N|%r|%k"
ACCOUNTING = "JobID,State,NodeList,ExitCode"
NO_NODE = frozenset({"None assigned", "(null)", "N/A", "Unknown", "None"})


@dataclass(frozen=True)
class TaskState:
    """One task of an array as the scheduler knows it."""

    job_id: str
    """`123_4`: what scancel takes."""
    state: str
    node: str
    reason: str

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def why(self) -> str:
        """The reason why it waits, with what that means where it does not start by itself."""
        reason = self.reason.strip("()")
        for name, meaning in STUCK.items():
            if reason.startswith(name):
                return f"{reason}: {meaning}"
        if "held" in reason.lower():
            return f"{reason}: `scontrol release {self.job_id}` lets it go"
        if reason.startswith(("Assoc", "QOS", "MaxJobs", "MaxSubmit")):
            return f"{reason}: a limit of your account or QOS"
        return "" if reason == "None" else reason


def of_queue() -> dict[tuple[str, int], TaskState]:
    """(comment, index in the array) -> state, of every task of this user that squeue still knows: one call.

    Tasks are told by their comment, not by their job id, since ids start again when a cluster is rebuilt. Raises NoSlurm.
    """
    return read_queue(
        call("squeue", "--noheader", "--array", "--states=all", f"--user={getpass.getuser()}", f"--format={QUEUE}")
    )


def read_queue(text: str) -> dict[tuple[str, int], TaskState]:
    """The same out of what squeue printed in the format QUEUE."""
    found = {}
    for line in text.splitlines():
        job, index, state, node, reason, comment = line.split("|", maxsplit=5)
        number = int(index) if index.isdigit() else 0
        job_id = f"{job}_{index}" if index.isdigit() else job
        found[comment.rpartition(" ")[2], number] = TaskState(job_id, state, named(node), reason)
    return found


def of_accounting(job_ids: Collection[str], since: str) -> dict[tuple[str, int], TaskState]:
    """(array's job id, index) -> state, by sacct: one call. `since` is a time such as 2026-01-31T12:00:00.

    Where accounting is off or does not answer, nothing.
    """
    if not job_ids:
        return {}
    try:
        text = call(
            "sacct", "--noheader", "--parsable2", "--allocations", f"--starttime={since}",
            f"--jobs={','.join(sorted(job_ids))}", f"--format={ACCOUNTING}",
        )  # fmt: skip
    except NoSlurm:
        return {}
    return read_accounting(text)


def read_accounting(text: str) -> dict[tuple[str, int], TaskState]:
    """The same out of what sacct printed in the format ACCOUNTING."""
    found: dict[tuple[str, int], TaskState] = {}
    for line in text.splitlines():
        job_id, state, node, code = line.split("|")
        job, _, index = job_id.partition("_")
        word = state.split(" ")[0].rstrip("+")  # `CANCELLED by 1000`; `CANCELLED+` where a site cuts columns
        for number in indices(index):
            if "[" not in index:
                found[job, number] = TaskState(job_id, word, named(node), code)
            elif word not in ACTIVE:  # tasks that ended together before they began; one that began has its own line
                found.setdefault((job, number), TaskState(f"{job}_{number}", word, "", code))
    return found


def named(node: str) -> str:
    """The node, or nothing: Slurm has several words for none."""
    return "" if node in NO_NODE else node


def indices(text: str) -> list[int]:
    """The indices in what Slurm writes after a job's id: `` is 0, `7`, `[1-3,8%2]`, `[0-8:4]`.

    A long list is cut by Slurm, as `[1,3,5,...]`: of what follows the cut nothing is known.
    """
    found: list[int] = []
    for part in text.strip("[]").split("%")[0].split(","):
        if match := re.fullmatch(r"(\d*)(?:-(\d+)(?::(\d+))?)?", part):
            first, last, step = match.groups()
            found += range(int(first or 0), int(last or first or 0) + 1, int(step or 1))
    return found

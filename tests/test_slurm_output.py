"""What Slurm's programs print, by version: 22.05 and 24.11 as they printed it here, and forms that their manuals name."""

from __future__ import annotations

import pytest

from slurm import site, states
from slurm.states import TaskState

QUEUE = {
    "22.05 and 24.11": """\
31|0|CANCELLED|n0|None|stamp/1
32|N/A|FAILED|n0|NonZeroExitCode|stamp/2
33|22|PENDING||BeginTime|stamp/3
34|N/A|PENDING||JobHeldUser|(null)
31|1|RUNNING|n0|None|stamp/1
""",
    "other words for no node, a comment with a bar": """\
31|0|CANCELLED|n0|None|stamp/1
32|N/A|FAILED|n0|NonZeroExitCode|stamp/2
33|22|PENDING|(null)|BeginTime|stamp/3
34|N/A|PENDING|N/A|JobHeldUser|a|b
31|1|RUNNING|n0|None|stamp/1
""",
}
"""Of squeue."""

ACCOUNTING = {
    "22.05": """\
41|FAILED|n0|3:0
42|CANCELLED by 0|None assigned|0:0
43|PENDING|None assigned|0:0
44_0|CANCELLED by 0|n0|0:0
44_[2-3%1]|CANCELLED by 0|None assigned|0:0
45_[22-40:2]|PENDING|None assigned|0:0
46_1|COMPLETED|n1|0:0
""",
    "24.11: another order": """\
44_0|CANCELLED by 0|n0|0:0
44_[2-3%1]|CANCELLED by 0|None assigned|0:0
41|FAILED|n0|3:0
42|CANCELLED by 0|None assigned|0:0
43|PENDING|None assigned|0:0
45_[22-40:2]|PENDING|None assigned|0:0
46_1|COMPLETED|n1|0:0
""",
    "cut states and lists, other words for no node": """\
41|FAILED|n0|3:0
42|CANCELLED+|Unknown|0:0
43|PENDING|(null)|0:0
44_0|CANCELLED by 0|n0|0:0
44_[2-3,...]|CANCELLED+|(null)|0:0
45_[1,3,5...]|PENDING||0:0
46_1|COMPLETED|n1|0:0
""",
}
"""Of sacct."""

STORAGE = {
    "accounting_storage/none": False,  # 22.05
    "(null)": False,  # 24.11
    "": False,
    "accounting_storage/slurmdbd": True,
}
"""AccountingStorageType in `scontrol show config` -> whether sacct can be asked."""


@pytest.mark.newer
@pytest.mark.parametrize("version", QUEUE)
def test_squeue_is_read(version: str) -> None:
    found = states.read_queue(QUEUE[version])
    assert found["stamp/1", 0] == TaskState("31_0", "CANCELLED", "n0", "None")
    assert found["stamp/1", 1] == TaskState("31_1", "RUNNING", "n0", "None")
    assert found["stamp/2", 0] == TaskState("32", "FAILED", "n0", "NonZeroExitCode")
    assert found["stamp/3", 22] == TaskState("33_22", "PENDING", "", "BeginTime")
    assert len(found) == 5


@pytest.mark.newer
@pytest.mark.parametrize("version", ACCOUNTING)
def test_sacct_is_read(version: str) -> None:
    found = states.read_accounting(ACCOUNTING[version])
    expected = [
        TaskState("41", "FAILED", "n0", "3:0"),
        TaskState("42", "CANCELLED", "", "0:0"),
        TaskState("43", "PENDING", "", "0:0"),
        TaskState("44_0", "CANCELLED", "n0", "0:0"),
        TaskState("44_2", "CANCELLED", "", "0:0"),
        TaskState("46_1", "COMPLETED", "n1", "0:0"),
    ]
    assert [
        found[task.job_id.partition("_")[0], int(task.job_id.partition("_")[2] or 0)] for task in expected
    ] == expected
    assert not any(job == "45" for job, _ in found)  # none of it has begun or ended


@pytest.mark.newer
@pytest.mark.parametrize("storage", STORAGE)
def test_a_site_without_accounting_is_known(storage: str) -> None:
    assert site.has_accounting(storage) is STORAGE[storage]


@pytest.mark.newer
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("debug*|up|1-00:00:00|2|8000|gpu:2|cpu,node0", ("debug", True, True, 1440, 2, 8000, 2)),  # 22.05 and 24.11
        ("short|up|10:00|2|8000|(null)|(null)", ("short", False, True, 10, 2, 8000, 0)),
        ("long|drain|infinite|64+|257000+|gpu:a100:4(S:0-1)|(null)", ("long", False, False, None, 64, 257000, 4)),
        ("old|inact|n/a|8|1000|(null)|(null)", ("old", False, False, None, 8, 1000, 0)),
    ],
)
def test_sinfo_is_read(line: str, expected: tuple[object, ...]) -> None:
    (partition,) = site.read_partitions([line])
    (kind,) = partition.kinds
    facts = partition.name, partition.default, partition.up, partition.max_minutes
    assert (*facts, kind.cpus, kind.memory_mb, kind.gpus) == expected

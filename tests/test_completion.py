"""What real shells offer after TAB, for `python bench/run.py` and for the console script."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

BIN = Path(sys.executable).parent
ACTIVATE = 'eval "$(activate-global-python-argcomplete --dest=-)"'
BEGIN = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f"bind 'set bell-style none'; {ACTIVATE}"),
    "zsh": (["zsh", "-f", "-i"], f"autoload -Uz compinit; compinit -u -d $ZDOTDIR/dump; {ACTIVATE}"),
}
PATIENCE = 60.0


class Shell:
    """An interactive shell in a terminal of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        arguments, begin = BEGIN[name]
        ours, theirs = pty.openpty()
        environment = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "TERM": "dumb",
            "PS1": "",
            "ZDOTDIR": str(folder),
        }
        environment |= {"COLUMNS": "200", "LINES": "50", "HISTFILE": ""}
        self.process = subprocess.Popen(
            arguments, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.terminal = ours
        self.type(f"{begin}; echo re''ady\n")
        self.until("ready")

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def until(self, wanted: str) -> str:
        """What is printed, up to and with a text."""
        seen, end = "", time.monotonic() + PATIENCE
        while wanted not in seen:
            assert time.monotonic() < end, f"no {wanted!r} in {seen!r}"
            if select.select([self.terminal], [], [], 0.2)[0]:
                seen += re.sub(r"\x1b\[[\d;?]*[a-zA-Z]|[\a\r\b]", "", os.read(self.terminal, 65536).decode())
        return seen

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


@pytest.fixture(params=BEGIN)
def shell(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    if not shutil.which(request.param):
        assert not os.environ.get("CI"), "no test skips in CI"
        pytest.skip(f"needs {request.param}")
    found = Shell(request.param, tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize("program", ["python bench/run.py", "resnet-bench"])
def test_shells_complete_the_command(shell: Shell, program: str) -> None:
    if program == "resnet-bench" and not (BIN / program).exists():
        assert not os.environ.get("CI"), "no test skips in CI"
        pytest.skip("needs the console script: install the project again")
    for typed, offered in (
        ("--table cif", "cifar_depth"),
        ("--sched", "--schedule"),
        ("--schedule sh", "short"),
        ("stat", "status"),
        ("status --sel", "--selection"),
        ("--table imagenet_shortcuts --only resnet-15", "resnet-152-B"),
        ("--set bn_st", "bn_statistics="),
    ):
        shell.type(f"{program} {typed}\t")
        shell.until(offered)
        shell.type("\x15")  # Ctrl-U: an empty line again

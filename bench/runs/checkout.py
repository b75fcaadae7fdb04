"""Commit and patch of the checkout, whatever the person's own Git configuration says."""

from __future__ import annotations

import os
import shlex
import subprocess
from functools import cache
from pathlib import Path

CLEAN = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
OPTIONS = (
    "--no-pager", "-c", "color.ui=false", "-c", "core.quotePath=true", "-c", "core.fsmonitor=false",
    "-c", "diff.suppressBlankEmpty=false", "-c", "diff.relative=false",
)  # fmt: skip
PATCH = (
    "diff", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3",
    "--inter-hunk-context=0", "--diff-algorithm=myers", "--no-renames", "--submodule=short", "-O/dev/null", "HEAD",
)  # fmt: skip
"""A patch that `git apply` takes, in the same words on any machine."""


class Unknown(Exception):
    """The commit is unknown. Says why, and the remedy, in one line."""


def commit(root: Path) -> str:
    """The commit that is checked out in a folder. Raises Unknown."""
    top, found = _git(root, "rev-parse", "--show-toplevel", "HEAD").splitlines()
    if not os.path.samefile(top, root):
        raise Unknown(f"{root} is a part of another checkout, {top}: clone the project with git")
    return found


def patch(root: Path) -> str:
    """What differs from the commit, as a patch; empty where nothing does. Bytes that are not UTF-8 stand as `\\xe9`."""
    return _git(root, *PATCH)


@cache
def unknown(root: Path) -> str | None:
    """Why the commit of a folder is unknown, with the remedy, in one line; None where it is known."""
    try:
        commit(root)
    except Unknown as error:
        return str(error)
    return None


def _git(root: Path, *arguments: str) -> str:
    """What git prints without a person's configuration; with it only where that says whose checkouts are trusted."""
    theirs = {name: value for name, value in os.environ.items() if name.startswith("GIT_CONFIG_")}
    rest = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {"LC_ALL": "C"}
    done = _run(root, arguments, rest | CLEAN)
    if done.returncode and "dubious ownership" in done.stderr:  # safe.directory counts in a person's files alone
        done = _run(root, arguments, rest | theirs)
    if done.returncode:
        raise Unknown(_why(root, done.stderr))
    return done.stdout


def _run(root: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(root), *OPTIONS, *arguments]
    try:
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
            encoding="utf-8", errors="backslashreplace",
        )  # fmt: skip
    except FileNotFoundError:
        raise Unknown("git is not installed: install it") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise Unknown(f"git does not run ({error}): mend that") from None


def _why(root: Path, said: str) -> str:
    if "dubious ownership" in said:
        remedy = f"git config --global --add safe.directory {shlex.quote(str(root))}"
        return f"{root} belongs to another user: {remedy}"
    if "not a git repository" in said:
        return f"{root} is no git checkout: clone the project with git"
    return f"git says {' '.join(said.split())[:200]!r}: mend that"

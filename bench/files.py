"""Files that are whole: each is written to a temporary name in the same folder, flushed, then moved into place.

A reader sees the old file or the new one, never a part of either.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from bench.errors import UserError

AGAIN = "move its folder away and run again"
"""The remedy for a damaged file of a run."""


class Damaged(UserError):
    """A file is not what it should be. Names the file, what is wrong, and the remedy."""

    def __init__(
        self, path: Path, reason: object, remedy: str = "move it away and give the same command again"
    ) -> None:
        self.path, self.reason = path, str(reason)
        super().__init__(f"{path} is damaged ({self.reason}): {remedy}")


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write` on a temporary file beside `path`, flush it to disk and move it into place.

    Raises UserError where the disk is full or the folder not writable; the old file stays whole.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
    except (OSError, RuntimeError) as error:  # torch.save turns a failed write into RuntimeError
        code = error.errno if isinstance(error, OSError) else None
        if code in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise UserError(f"{path.parent} is not writable ({os.strerror(code)}): choose another folder") from error
        if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or _no_space(path.parent):
            raise UserError(f"no space left to write {path}: free some and give the same command again") from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _no_space(folder: Path) -> bool:
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < 1 << 20


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` atomically."""
    write_atomic(path, lambda file: file.write(data))


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, data: Any) -> None:
    """Write `data` atomically as indented JSON. NaN and infinity are refused."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises UserError, naming file and remedy, where it is cut or no object."""
    try:
        data = json.loads(path.read_text())
    except ValueError as error:
        raise Damaged(path, error) from error
    except OSError as error:
        raise unreadable(path, error) from error
    if not isinstance(data, dict):
        raise Damaged(path, "no object")
    return data


def unreadable(path: Path | str, error: OSError) -> UserError:
    """What to say of a file that the system does not let us read."""
    return UserError(f"{path} cannot be read ({error.strerror}): mend that and give the same command again")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file of one JSON object a line. Raises UserError where it is damaged."""
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise Damaged(path, error, AGAIN) from error


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def write_probe(folder: Path, option: str = "--results") -> None:
    """Raise UserError, naming the option, unless files can be written in `folder`; it is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder} is not writable ({error.strerror}): choose another folder with {option}") from error

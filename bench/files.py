"""Files that are whole, and readers that believe nothing.

Each file is written to a temporary name in the same folder, flushed, then moved into place.

A reader sees the old file or the new one, never a part of either.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import math
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from bench.errors import UserError

AGAIN = "move its folder away and run again"
"""The remedy for a damaged file of a run."""


MOST = 1 << 26
"""Bytes that no file of ours comes near, checkpoints and images aside."""
DEEPEST = 32
"""Objects and lists within one another, of which our files have five."""
LARGE = re.compile(rb"[0-9](?:[eE]\+?[0-9]{3}|[0-9]{18})")  # one beginning for both: three times as fast
"""What a number has that is infinite to a computer, or too large for 64 bits."""


AWAY = (errno.ESTALE, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ETIMEDOUT, errno.ENOTCONN)
"""What a file system says that is full, or away."""


class Damaged(UserError):
    """A file is not what it should be. Names the file, what is wrong, and the remedy."""

    def __init__(
        self, path: Path, reason: object, remedy: str = "move it away and give the same command again"
    ) -> None:
        self.path, self.reason = path, str(reason)
        super().__init__(f"{path} is damaged ({self.reason}): {remedy}")


GUARDS: dict[Path, Callable[[], None]] = {}
"""Folder -> what raises where this process may write there no more. Asked before a file is moved into place."""


@contextlib.contextmanager
def guarded(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """Within this, `check` is asked before each file of the folder is put into its place."""
    GUARDS[folder] = check
    try:
        yield
    finally:
        del GUARDS[folder]


class _File(io.FileIO):
    """A file that remembers why a write failed: torch.save says that it did, and not why."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            raise


ONE_PATH = (IsADirectoryError, FileNotFoundError)
"""Faults of one path, not of its file system: the run that has it fails, and others go on."""


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write` on a temporary file beside `path`, flush it to disk and move it into place.

    The umask decides who may read it. The old file stays whole where writing fails. Raises UserError for a fault of the disk
    or the folder, OSError for one of this path alone.
    """
    temporary, raw = path.with_name(f".{path.name}.{secrets.token_hex(4)}"), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = _File(temporary, "x")
        with io.BufferedWriter(raw) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        move(temporary, path)
    except ONE_PATH:
        raise
    except (OSError, RuntimeError) as error:
        failure = error if isinstance(error, OSError) else raw.failure if raw else None
        if failure is None and not _no_space(path.parent):
            raise
        raise unwritten(path, failure) from error
    finally:
        if raw is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def move(temporary: Path, path: Path) -> None:
    """Put a whole file into its place. Raises UserError where that fails, or where this process may write there no more."""
    try:
        if check := GUARDS.get(path.parent):
            check()
        os.replace(temporary, path)
    except ONE_PATH:
        raise
    except OSError as error:
        raise unwritten(path, error) from error


def unwritten(path: Path, error: OSError | None) -> UserError:
    """What to say of a file that could not be written; without an error, because the disk is full."""
    code = error.errno if error else errno.ENOSPC
    if code in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return UserError(f"{path.parent} is not writable ({os.strerror(code)}): choose another folder")
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or _no_space(path.parent):
        return UserError(f"no space left to write {path}: free some and give the same command again")
    why = error.strerror or type(error).__name__ if error else ""
    return UserError(f"{path} could not be written ({why}): mend that and give the same command again")


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


def load(path: Path, most: int = MOST) -> Any:
    """The value in a JSON file of at most `most` bytes. Raises UserError, naming file, reason and remedy."""
    return _read_with(path, most, parse)


def read_json(path: Path, most: int = MOST) -> dict[str, Any]:
    """The object in a JSON file. Raises UserError, naming file, reason and remedy."""
    data = load(path, most)
    if not isinstance(data, dict):
        raise Damaged(path, "no object")
    return data


def read_lines(path: Path, most: int = MOST) -> list[dict[str, Any]]:
    """The objects in a file of one JSON object a line. Raises UserError, naming file, reason and remedy."""
    try:
        rows: list[dict[str, Any]] = _read_with(path, most, lambda raw: [parse(line) for line in raw.splitlines()])
        if not all(isinstance(row, dict) for row in rows):
            raise Damaged(path, "a line is no object")
    except Damaged as error:
        raise Damaged(path, error.reason, AGAIN) from error
    return rows


def _read_with(path: Path, most: int, parse: Callable[[bytes], Any]) -> Any:
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
            raise Damaged(path, "no file of data")
        if found.st_size > most:
            raise Damaged(path, f"{found.st_size:,} bytes, and it has at most {most:,}")
        return parse(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise Damaged(path, error) from error


def unreadable(path: Path | str, error: OSError) -> UserError:
    """What to say of a file that the system does not let us read."""
    return UserError(f"{path} cannot be read ({error.strerror}): mend that and give the same command again")


def parse(raw: bytes) -> Any:
    """The value of a JSON text in UTF-8, with or without a byte-order mark.

    Raises ValueError for what JSON readers differ on, or choke on later: NaN and infinity, integers beyond 64 bits, a name
    that is given twice, nesting without end, NUL and lone surrogates in text.
    """
    hooks: dict[str, Any] = {"parse_int": _integer, "parse_float": _finite} if LARGE.search(raw) else {}
    try:
        value = json.loads(raw.decode("utf-8-sig"), parse_constant=_finite, object_pairs_hook=_once, **hooks)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if raw.count(b"[") + raw.count(b"{") > DEEPEST and _depth(value) > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST}")
    if b"\\u" in raw:
        text = json.dumps(value, ensure_ascii=False)
        text.encode("utf-8")  # a lone surrogate is no text
        if re.search(r"(?<!\\)(\\\\)*\\u0000", text):
            raise ValueError("NUL in a text")
    return value


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text:.80} is no finite number")
    return number


def _integer(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) >= 1 << 63:
        raise ValueError(f"{text[:20]}... is larger than 64 bits")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth


T = TypeVar("T")


def convert(kind: type[T], data: Any) -> T:
    """Data from JSON as a value of a type: a dataclass, or what is made of lists, numbers, texts and dataclasses.

    Strict: each field is there, no other one is, and each has its type; lists become tuples. Raises ValueError that names
    field, value and expectation: `drops[1] is '3'; expected int`.
    """
    import msgspec

    _named(kind, data, "")
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ValueError(_explain(kind, data, str(error))) from None


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header that has these columns, and perhaps others, in UTF-8 with or without a mark.

    Raises UserError, naming file, line and reason.
    """

    def rows(raw: bytes) -> list[dict[str, str]]:
        reader = csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline=""), strict=True)
        if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
            raise ValueError(f"no column {', '.join(missing)}")
        found = []
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"line {reader.line_num} has another number of fields than the first one")
            found.append({name: row[name] for name in columns})
        return found

    try:
        found: list[dict[str, str]] = _read_with(path, MOST, rows)
    except csv.Error as error:
        raise Damaged(path, error) from error
    return found


def read_as(kind: type[T], path: Path, version: int, remedy: str) -> T:
    """The object in a JSON file of a version, as a value of a type. Raises UserError, naming file, reason and remedy."""
    data = read_json(path)
    try:
        if (found := data.pop("format", None)) != version:
            raise ValueError(f"format is {found!r:.80}; expected {version}")
        return convert(kind, data)
    except ValueError as error:
        raise Damaged(path, error, remedy) from error


def read_rows(kind: type[T], path: Path, most: int = MOST) -> list[T]:
    """The lines of a file of one JSON object a line, each as a value of a type. Raises UserError."""
    rows = read_lines(path, most)
    try:
        return [convert(kind, row) for row in rows]
    except ValueError as error:
        raise Damaged(path, error, AGAIN) from error


def _named(hint: Any, data: Any, where: str) -> None:
    """Raise ValueError where an object has other fields than its dataclass."""
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(data, dict):
        hints = _hints(hint)
        if wrong := data.keys() ^ hints.keys():
            words = ", ".join(sorted(map(str, wrong)))
            raise ValueError(f"{where or getattr(hint, '__name__', '')} fields differ: {words:.200}")
        for name, inner in hints.items():
            if inner is not None:
                _named(inner, data[name], f"{where}.{name}" if where else name)
        return
    inner = [each for each in get_args(hint) if _nested(each)]
    values = [data]  # of a union, for each of its types
    if get_origin(hint) is dict:
        values = list(data.values()) if isinstance(data, dict) else []
    elif get_origin(hint) in (list, tuple):
        values = data if isinstance(data, list) else []
    for value in values:
        for each in inner:
            _named(each, value, where)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Field -> its type where that has dataclasses in it, else None."""
    found = get_type_hints(kind)
    return {each.name: found[each.name] if _nested(found[each.name]) else None for each in fields(kind)}


def _nested(hint: Any) -> bool:
    return is_dataclass(hint) or any(map(_nested, get_args(hint)))


def _explain(kind: Any, data: Any, said: str) -> str:
    """`drops[1] is '3'; expected int`, of what msgspec says."""
    match = re.fullmatch(r"(.*?)(?: - at `\$\.?(.*)`)?", said, re.DOTALL)
    if not match or not (match[2] or said.startswith("Expected")):
        return said
    reason, where = match[1], match[2] or ""
    if where.startswith("[...]"):  # which one msgspec does not say
        for key, each in data.items() if isinstance(data, dict) else ():
            try:
                convert(get_args(kind)[1], each)
            except ValueError as error:
                return f"{key}{'.' if is_dataclass(get_args(kind)[1]) else ' '}{error}".replace("value is", "is")
    value, hint = data, kind
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", where):
        try:
            value = value[int(index)] if index else value[name]
            hint = get_type_hints(hint).get(name) if is_dataclass(hint) else None
        except (LookupError, TypeError):
            return f"{where}: {reason}"
    expected = re.match(r"Expected `(.*?)`", reason)
    if get_origin(hint) is Literal:
        wanted = " or ".join(map(str, get_args(hint)))
    elif expected:
        wanted = expected[1].replace("|", "or").replace("null", "none")
    else:
        return f"{where}: {reason}"
    return f"{where or 'value'} is {value!r:.80}; expected {wanted}"


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def check_folder(path: Path, option: str) -> Path:
    """The folder that an option names, which may be missing yet.

    Raises UserError, naming option, path, reason and remedy, where no folder can be there or it cannot be looked into.
    """
    found = _status(path, option)
    if found and not stat.S_ISDIR(found.st_mode):
        raise _unfit(path, option, "it is no folder", "give a folder")
    if found and not os.access(path, os.R_OK | os.X_OK):
        raise _unfit(path, option, "it cannot be read", "change its permissions, or give another folder")
    if not found:
        above = next((each for each in path.absolute().parents if each.exists()), None)
        if above and not above.is_dir():
            raise _unfit(path, option, f"{above} is no folder", "give another one")
    return path


def check_file(path: Path, option: str, exists: bool = True) -> Path:
    """The file that an option names: to be read, or where `exists` is False to be written.

    Raises UserError, naming option, path, reason and remedy, for what is no plain file, missing or not readable.
    """
    found = _status(path, option)
    if found and stat.S_ISDIR(found.st_mode):
        raise _unfit(path, option, "it is a folder", "give a file")
    if found and not stat.S_ISREG(found.st_mode):
        raise _unfit(path, option, "it is a pipe or a device", "give a plain file")
    if exists and not found:
        raise _unfit(path, option, "there is no such file", "give one that is there")
    if exists and not os.access(path, os.R_OK):
        raise _unfit(path, option, "it cannot be read", "change its permissions, or give another file")
    if not exists:
        check_folder(path.absolute().parent, option)
    return path


def as_typed(path: Path) -> Path:
    """The absolute path of what a person typed, following no link.

    A home may be a link to where only this machine has it. The shell's PWD has the links that Python's own folder has not.
    """
    here = Path.cwd()
    said = Path(os.environ.get("PWD", ""))
    with contextlib.suppress(OSError):
        if said.is_absolute() and said.samefile(here):
            here = said
    return here / path


def path_fault(path: Path | str) -> str | None:
    """Why nothing can be at a path, in words; None where something is, or could be made."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return "it is a link to nothing" if os.path.islink(path) else None
    except OSError as error:  # a name of 300 letters, links in a circle, a file or a closed folder above it
        return error.strerror or "nothing can be there"
    except ValueError:
        return "it has a NUL"
    return None


def _status(path: Path, option: str) -> os.stat_result | None:
    """What a path names; None where there is nothing. Raises UserError for a path at which nothing can be."""
    if reason := path_fault(path):
        raise _unfit(path, option, reason, "give another path")
    return os.stat(path) if path.exists() else None


def _unfit(path: Path, option: str, reason: str | None, remedy: str) -> UserError:
    name = ascii(str(path))[1:-1] if not str(path).isprintable() else str(path)
    return UserError(f"{option} {name if len(name) <= 200 else name[:100] + '...'}: {reason}: {remedy}")


def write_probe(folder: Path, option: str = "--results") -> None:
    """Raise UserError, naming the option, unless files can be written in `folder`; it is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder} is not writable ({error.strerror}): choose another folder with {option}") from error

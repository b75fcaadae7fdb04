"""One file that carries runs from machine to machine: a zip of their records, with the checksum of each file.

`runs/<run_id>/<file>` and `weights/<name>/evaluation.json`, sorted, without times, so that the same runs give the same
bytes; last `manifest.json`. Checkpoints are stored as they are, all else is deflated: a finished run takes some kilobytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bench.errors import UserError
from bench.exchange.validate import EVALUATION, FILES, LIMITS
from bench.files import convert, parse, write_atomic

FORMAT = 1
"""Of the bundle; the files in it have versions of their own."""
KIND = "resnet-bench runs"
MANIFEST = "manifest.json"
NAME = re.compile(
    rf"runs/[A-Za-z0-9-]{{1,150}}-s[0-9]{{1,20}}-[0-9a-f]{{8}}/({'|'.join(map(re.escape, FILES))})"
    rf"|weights/\w[\w.-]{{0,200}}/{re.escape(EVALUATION)}"
)
"""The only names that a bundle may have."""
MOST_FILES = 200_000
MANIFEST_LIMIT = 1 << 26
CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """What the manifest says of one file."""

    bytes: int
    sha256: str


def pack(path: Path, files: Mapping[str, Path]) -> int:
    """Write a bundle of files, by their names in it, atomically. Returns its size in bytes. Raises UserError."""
    write_atomic(path, lambda file: _write(file, files))
    return path.stat().st_size


def _write(file: IO[bytes], files: Mapping[str, Path]) -> None:
    entries = {}
    with zipfile.ZipFile(file, "w") as bundle:
        for name, source in sorted(files.items()):
            size, digest = 0, hashlib.sha256()
            large = source.stat().st_size > 1 << 30
            with source.open("rb") as whole, bundle.open(_member(name), "w", force_zip64=large) as member:
                while chunk := whole.read(CHUNK):
                    member.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
            entries[name] = {"bytes": size, "sha256": digest.hexdigest()}
        manifest = {"format": FORMAT, "kind": KIND, "files": entries}
        bundle.writestr(_member(MANIFEST), json.dumps(manifest, indent=1) + "\n")


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    info.compress_type = zipfile.ZIP_STORED if name.endswith(".pt") else zipfile.ZIP_DEFLATED
    return info


def unpack(path: Path, folder: Path) -> None:
    """Extract a bundle into an empty folder, after looking at every name and size, and at every checksum on the way.

    Nothing is written outside `folder`, and no more than the manifest says. Raises UserError, naming what is wrong.
    """
    try:
        with zipfile.ZipFile(path) as bundle:
            infos = _look_over(path, bundle)
            entries = _manifest(path, bundle, infos)
            needed, free = sum(entry.bytes for entry in entries.values()), shutil.disk_usage(folder).free
            if needed > free:
                raise refusal(path, f"holds {needed:,} bytes, and {free:,} are free in {folder.parent}", "make room")
            for name, entry in entries.items():
                _extract(path, bundle, infos[name], entry, folder)
    except FileNotFoundError as error:
        raise UserError(f"--import {path}: there is no such file: give one that --export has written") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        ValueError,
        RuntimeError,
        OverflowError,
    ) as error:
        raise refusal(
            path, f"is no bundle, or not whole ({str(error)!a:.200})"
        ) from error  # names in it may be any bytes
    except OSError as error:
        raise refusal(
            path, f"cannot be unpacked ({error.strerror})", "mend that and give the same command again"
        ) from error


def refusal(path: Path, reason: str, remedy: str = "export it again") -> UserError:
    """The error for a bundle that is not taken."""
    return UserError(f"--import {path} {reason}: nothing of it was taken; {remedy}")


def _look_over(path: Path, bundle: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by name, each of which is a plain file of a known name."""
    infos: dict[str, zipfile.ZipInfo] = {}
    if len(bundle.infolist()) > MOST_FILES:
        raise refusal(path, f"holds more than {MOST_FILES:,} files")
    for info in bundle.infolist():
        name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
        said = ascii(name[:200])
        if name.startswith(("/", "\\")) or "\\" in name or ":" in name or ".." in Path(name).parts:
            raise refusal(path, f"holds {said}, which would lie outside of the results folder")
        if name != MANIFEST and not NAME.fullmatch(name):
            raise refusal(path, f"holds {said}, which is no file of a run")
        if kind not in (0, stat.S_IFREG):
            raise refusal(path, f"holds {said}, which is a link, a device or a folder")
        if name in infos:
            raise refusal(path, f"holds {said} twice")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise refusal(path, f"holds {said} in a form that --export does not write")
        if info.file_size > LIMITS.get(Path(name).name, MANIFEST_LIMIT):
            raise refusal(path, f"holds {said} of {info.file_size:,} bytes, which is more than it can have")
        infos[name] = info
    return infos


def _manifest(path: Path, bundle: zipfile.ZipFile, infos: Mapping[str, zipfile.ZipInfo]) -> dict[str, Entry]:
    """Name -> size and checksum, of each member and of no other."""
    if MANIFEST not in infos:
        raise refusal(path, f"has no {MANIFEST}")
    try:
        data: Any = parse(bundle.read(MANIFEST))
        if data["kind"] != KIND or type(data["format"]) is not int:
            raise ValueError("of something else")
    except (ValueError, TypeError, KeyError) as error:
        raise refusal(path, f"has a damaged {MANIFEST} ({error})") from error
    if data["format"] != FORMAT:
        older = data["format"] < FORMAT
        remedy = "export it again with this version" if older else "take the version that wrote it, or a later one"
        raise refusal(path, f"is a bundle of format {data['format']}, and this version reads {FORMAT}", remedy)
    try:
        entries = convert(dict[str, Entry], data.get("files"))
    except ValueError as error:
        raise refusal(path, f"has a damaged {MANIFEST} ({error})") from error
    if unequal := sorted(set(entries) ^ (set(infos) - {MANIFEST})):
        raise refusal(path, f"holds other files than its {MANIFEST} says ({unequal[0][:200]!a})")
    for name, entry in entries.items():
        if infos[name].file_size != entry.bytes:
            raise refusal(path, f"holds {name} of another size than its {MANIFEST} says")
    return entries


def _extract(path: Path, bundle: zipfile.ZipFile, info: zipfile.ZipInfo, entry: Entry, folder: Path) -> None:
    """Write one member, and refuse it where its bytes are not those of the manifest."""
    target, size, digest = folder / info.filename, 0, hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with bundle.open(info) as member, target.open("xb") as file:
        while chunk := member.read(CHUNK):
            size += len(chunk)
            if size > entry.bytes:
                break
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if size != entry.bytes or digest.hexdigest() != entry.sha256:
        raise refusal(path, f"holds {info.filename} with other bytes than its {MANIFEST} says")

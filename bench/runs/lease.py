"""A lease: one process at a time, on any file system, and never longer than its holder lives.

flock is missing on some Lustre and NFS mounts, and where a server keeps locks, that of a dead node may stay. A lease needs
only what every shared file system has.

- The lease `.lock` is the file `.lock.N` of the highest N. Its text names the holder. The holder touches it now and then.
- Released, it is renamed to `.lock.N.free`. The file of the highest N is never removed, so that no number comes twice.
- A lease whose folder keeps nothing but results (`stays=False`) is removed when it is released, and its numbers begin again.
- To take it, free or expired, is to make `.lock.N+1`. That is `link`: the file has its text from the first moment, and of
  two processes the server lets one succeed, on NFS too. File systems without hard links have O_EXCL.
- Who has made a file that is not of the highest number came late, and withdraws. So does who finds below it another file
  than the one it went by, or another holder's text in that. So no two processes hold one lease.
- On the holder's machine its process decides whether it lives. From another machine the file's age does. Both ends of the
  age are times of the file system, so that clocks of machines may differ.
- A holder that was silent for long, and then goes on, finds a higher number. `Lease.check` says so before it writes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.errors import Busy, UserError
from bench.files import convert, parse

RENEWED = 15.0
"""Seconds between two touches of a lease's file."""
EXPIRES = 180.0
"""Seconds without a touch after which a lease of another machine has expired."""
GRACE = 10.0
"""Seconds for which a process tries again that was overtaken while it looked."""
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)
"""What `link` answers on a file system without hard links."""
Seen = tuple[str, str]
"""Name of a lease's highest file, and its holder's token."""
NOTHING: Seen = ("", "")
GONE = (errno.ENOENT, errno.ESTALE)
"""What reading answers where the file was renamed meanwhile."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lease, as its file says."""

    host: str = "?"
    pid: int = 0
    started: float = 0.0
    """Start of the process in clock ticks since boot; where there is no /proc, in seconds since 1970."""
    machine: str = ""
    """Boot and namespace of processes: numbers of processes mean the same where these do."""
    job: str = ""
    """Job and task of Slurm."""
    token: str = ""

    @property
    def name(self) -> str:
        """`process 17 on node3 (Slurm job 5_2)`."""
        return f"process {self.pid or '?'} on {self.host}" + (f" (Slurm job {self.job})" if self.job else "")

    def ended(self, age: float) -> bool:
        """Whether the holder of a lease that was touched `age` seconds ago lives no more, as far as can be seen here."""
        if self.pid > 0 and (self.host, self.machine) == (socket.gethostname(), _machine()):
            return not lives(self.pid, self.started)
        return age > EXPIRES


@dataclass(frozen=True)
class Lease:
    """A lease that this process holds, unless another has taken it over."""

    base: Path
    number: int

    @property
    def path(self) -> Path:
        return Path(f"{self.base}.{self.number}")

    def check(self) -> None:
        """Raise Busy where the lease was taken over: nothing more may be written under it. Raises OSError."""
        highest, name = _files(self.base)[-1]
        if highest > self.number or not self.path.exists():
            who = "somebody"
            with contextlib.suppress(OSError):
                who = _read(self.base.with_name(name)).name
            raise Busy(f"{self.base.parent} was taken over by {who} while this process was silent: wait for that one")


@contextlib.contextmanager
def held(base: Path, busy: Callable[[Holder], str], patience: float = 0, stays: bool = True) -> Iterator[Lease]:
    """Hold the lease `base` (a path that no file has, in a folder that exists) for this process.

    Released, its file stays under another name, or is removed (`stays=False`).

    Raises Busy, in the words that `busy` gives of the holder, where another one holds it for more than `patience` seconds.
    Raises UserError where the file system lets no lease be taken.
    """
    try:
        lease = _acquire(base, busy, patience)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise UserError(
            f"{base.parent} could not be locked ({why}): mend that and give the same command again"
        ) from error
    ended = threading.Event()
    threading.Thread(target=_renew, args=(lease.path, ended), name=f"lease {base}", daemon=True).start()
    try:
        yield lease
    finally:
        ended.set()
        with contextlib.suppress(OSError):  # it then ends with this process, or by its age
            os.rename(lease.path, f"{lease.path}.free") if stays else lease.path.unlink()


def lives(pid: int, started: float | None = None, before: float | None = None) -> bool:
    """Whether a process of this machine lives, a zombie not; of one that is hidden from us, that may be.

    `started`: what `Holder` says of its start. `before`: seconds since 1970 by which it had begun, give or take a minute.
    """
    import psutil

    try:
        os.kill(pid, 0)  # sees processes that /proc hides from other people
    except PermissionError:
        pass
    except (ProcessLookupError, OverflowError):  # a pid from a damaged file may be any number
        return False
    try:
        process = psutil.Process(pid)
        it_is = started in (None, _started(pid)) and (before is None or process.create_time() < before + 60)
        return it_is and bool(process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OSError):
        return True


def age(path: Path, now: float) -> float:
    """Seconds since a file was touched, where another one that was touched just now has the time `now`."""
    return now - path.stat().st_mtime


def touched(path: Path) -> float:
    """Touch a file; returns the time by the clock of its file system."""
    os.utime(path)
    return path.stat().st_mtime


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> float:
    import psutil

    try:  # not psutil's seconds, which move when the clock is set
        return float(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return float(psutil.Process(pid).create_time())


def _me() -> Holder:
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID", "0")
    job = f"{array}_{index}" if array else os.environ.get("SLURM_JOB_ID", "")
    pid = os.getpid()
    return Holder(socket.gethostname(), pid, _started(pid), _machine(), job, secrets.token_hex(8))


def _files(base: Path) -> list[tuple[int, str]]:
    """Number and name of each file of a lease, the highest last, and of one number the free one; (0, "") before all."""
    pattern = re.compile(re.escape(base.name) + r"\.([1-9]\d{0,17})(\.free)?")
    found = [(int(match[1]), match[0]) for name in os.listdir(base.parent) if (match := pattern.fullmatch(name))]
    return [(0, ""), *sorted(found)]


def _read(path: Path) -> Holder:
    """Who holds a lease; a holder of no name where the file says nothing, or nothing to us. Raises OSError."""
    try:
        return convert(Holder, parse(path.read_bytes()))
    except (PermissionError, ValueError):
        return Holder()


def _acquire(base: Path, busy: Callable[[Holder], str], patience: float) -> Lease:
    me, began = _me(), time.monotonic()
    mine = base.with_name(f"{base.name}.new.{me.token}")
    mine.write_text(json.dumps(asdict(me)) + "\n")
    try:
        while True:
            number, seen, holder = _next(base, mine)
            if number and holder is None and _take(base, number, mine, seen):
                return Lease(base, number)
            waited = time.monotonic() - began
            if holder and waited >= patience:
                raise Busy(busy(holder))
            if waited >= patience + GRACE:
                raise OSError(errno.EAGAIN, "other processes were faster each time")
            time.sleep(min(0.5, patience) if holder else 0.01)
    finally:
        with contextlib.suppress(OSError):
            mine.unlink()


def _next(base: Path, mine: Path) -> tuple[int, Seen, Holder | None]:
    """The next number of a lease, what it follows, and who holds it now, if anybody does; number 0 where it changed."""
    highest, name = _files(base)[-1]
    if not highest:
        return 1, NOTHING, None
    try:
        path = base.with_name(name)
        holder = _read(path)
        seen = name, holder.token
        if name.endswith(".free") or holder.ended(age(path, touched(mine))):
            return highest + 1, seen, None
        return highest + 1, seen, holder
    except OSError as error:
        if error.errno not in GONE:
            raise
        return 0, NOTHING, None


def _take(base: Path, number: int, mine: Path, seen: Seen) -> bool:
    """Make the file of this number, which follows the one that was seen; returns whether the lease is ours."""
    path = Path(f"{base}.{number}")
    if not _make(path, mine):
        return False
    others = [each for each in _files(base)[1:] if each != (number, path.name)]
    if not _still(base, others, seen):  # it was taken, and perhaps released, since we looked
        path.unlink(missing_ok=True)
        return False
    with contextlib.suppress(OSError):
        for _, name in others:
            base.with_name(name).unlink(missing_ok=True)
        now = mine.stat().st_mtime
        for each in base.parent.glob(f"{base.name}.new.*"):
            if _read(each).ended(age(each, now)):  # of a process that was killed while it looked
                each.unlink(missing_ok=True)
    return True


def _still(base: Path, others: list[tuple[int, str]], seen: Seen) -> bool:
    """Whether the highest of the other files is the one that was seen, of the same holder. Numbers may have begun again."""
    highest = others[-1][1] if others else ""
    try:
        return seen == ((highest, _read(base.with_name(highest)).token) if highest else NOTHING)
    except OSError:
        return False


def _make(path: Path, mine: Path) -> bool:
    """Give a file this name as well, which none has; returns whether that was done."""
    try:
        os.link(mine, path)
        return True
    except FileExistsError:
        return mine.stat().st_nlink == 2  # it was done, and the answer of the NFS server was lost
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    try:
        with path.open("xb") as file:
            file.write(mine.read_bytes())
        return True
    except FileExistsError:
        return False


def _renew(path: Path, ended: threading.Event) -> None:
    """Touch a lease's file until it is released or taken over. A thread: a compiler or a first look at all images may take
    longer than a lease lasts, without a heartbeat."""
    while not ended.wait(RENEWED):
        try:
            os.utime(path)  # no time given: a server puts in its own
        except FileNotFoundError:
            return
        except OSError:
            continue

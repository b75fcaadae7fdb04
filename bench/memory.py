"""Memory that a training process keeps instead of giving it back to the system after every iteration.

An iteration allocates and frees the same hundred megabytes each time. By default glibc returns large blocks to the system
at once, and the system clears every page anew: a tenth of the time of an iteration, more when compiled. Kept, and on large
pages, they cost nothing. These are documented tunables of glibc, which reads them when a process starts; other systems
do not know them and take no harm.
"""

from __future__ import annotations

import os
import sys

NAME = "GLIBC_TUNABLES"
GIGABYTE = 1 << 30
TUNABLES = {
    "hugetlb": 1,  # ask for transparent huge pages
    "mmap_threshold": 4 * GIGABYTE,  # no block is mapped by itself, to be unmapped when freed
    "trim_threshold": 8 * GIGABYTE,  # nor is the end of the heap given back
    "top_pad": GIGABYTE >> 4,
}
VALUE = ":".join(f"glibc.malloc.{name}={value}" for name, value in TUNABLES.items())


def restart_keeping_memory() -> None:
    """Start this command again as a process that keeps its memory. Returns where it is one, or cannot be."""
    if sys.platform == "linux" and NAME not in os.environ and sys.orig_argv:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, NAME: VALUE})

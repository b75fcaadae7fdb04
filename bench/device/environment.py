"""What a training process finds in its environment: that memory is kept, and that idle threads sleep.

Memory: an iteration allocates and frees the same hundred megabytes each time. By default glibc returns large blocks to the
system at once, and the system clears every page again: a tenth of the time of an iteration, more when compiled. Kept, and on
large pages, they cost nothing. These are documented tunables of glibc, which reads them when a process starts; other
systems do not know them and take no harm.

Threads: those of OpenMP wait for each other after each operation. In a loop they hold their core, so a run beside another
program kept 9 % of its speed (GNU's default, 300,000 rounds) or 30 % (20,000). Asleep at once they keep 59 %, and a run that
is alone is 12 % slower: see tables/harness.md. `GOMP_SPINCOUNT=20000` in the shell is for who has the cores alone. Read by
GNU's library, which PyTorch brings along on Linux.
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
ENVIRONMENT = {NAME: VALUE, "GOMP_SPINCOUNT": "0"}


def restart() -> None:
    """Start this command again in the environment of one that trains; a person's own values stand.

    Returns where it has it, or cannot have it.
    """
    if sys.platform == "linux" and NAME not in os.environ and sys.orig_argv:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**ENVIRONMENT, **os.environ})

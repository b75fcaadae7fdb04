"""Which seeds each net of a table is run with: so many, a list, or the paper's own plan."""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.arch import Arch

MOST = 1000
"""Runs of one net: more than any spread needs, and still planned within seconds."""
LARGEST = 2**31 - 1
FIVE_TIMES = Arch("cifar", 110, "A")
"""The one net that the paper trained five times (Table 6, "best (mean ± std)"); the others it trained once."""


@dataclass(frozen=True)
class Seeds:
    """Seeds by net. `several` are the seeds of ResNet-110, `others` those of every other net."""

    text: str
    """As `--seeds` takes it: `5`, `0,3,7` or `paper`."""
    several: tuple[int, ...]
    others: tuple[int, ...]

    @staticmethod
    def first(count: int) -> Seeds:
        """Seeds 0 to `count` - 1 for every net."""
        return Seeds(str(count), tuple(range(count)), tuple(range(count)))

    @staticmethod
    def parse(text: str) -> Seeds:
        """The seeds that a text names. Raises ValueError, with the allowed range, for any other text."""
        if text.lower() == "paper":
            return Seeds("paper", tuple(range(5)), (0,))
        if re.fullmatch(r"\d{1,9}", text, re.ASCII):
            if not 1 <= int(text) <= MOST:
                raise ValueError(f"number of seeds must be 1 to {MOST:,}")
            return Seeds.first(int(text))
        if re.fullmatch(r"(\d{1,10},)+\d{0,10}", text, re.ASCII):
            listed = [int(word) for word in text.split(",") if word]
            if max(listed) > LARGEST:
                raise ValueError(f"seed {max(listed)} must be 0 to {LARGEST:,}")
            if len(set(listed)) < len(listed):
                raise ValueError("a seed is listed twice: name each once")
            if len(listed) > MOST:
                raise ValueError(f"{len(listed):,} seeds are listed: number of seeds must be 1 to {MOST:,}")
            return Seeds(",".join(map(str, listed)) + ("," if len(listed) == 1 else ""), tuple(listed), tuple(listed))
        if re.fullmatch(r"-?\d+", text, re.ASCII):
            raise ValueError(f"number of seeds must be 1 to {MOST:,}")
        raise ValueError("must be a count such as 5, a list such as 0,3,7, or paper")

    def of(self, arch: Arch) -> tuple[int, ...]:
        """The seeds of a net, in order."""
        return self.several if arch == FIVE_TIMES else self.others


ONE = Seeds.first(1)

"""What a check found: one line of the doctor's table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from bench.runs.ranges import Range, check
from bench.training.source import Source

FORMAT = 1
"""Version of the JSON that --json writes."""
Verdict = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    section: str
    name: str
    verdict: Verdict
    found: str
    remedy: str = ""
    """What to do where the verdict is `warn` or `fail`."""
    needed: bool = False
    """Whether runs with default options fail, or lose their GPU, where this fails."""
    seconds: Annotated[float | None, Range("seconds", least=0)] = None

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Examination:
    """Everything that was found on one machine: what --json writes."""

    host: str
    created: str
    """UTC, ISO 8601."""
    seconds: float
    machine: dict[str, Any]
    """Provenance, as of a run that starts now."""
    environment: dict[str, str]
    """Variables that change how PyTorch computes."""
    findings: tuple[Finding, ...]

    @property
    def status(self) -> int:
        """Exit status: 1 where something fails that runs with default options need."""
        return int(any(each.verdict == "fail" and each.needed for each in self.findings))


@dataclass(frozen=True)
class Question:
    """What the doctor looks at beside the machine itself."""

    results: Path
    source: Source


Check = Callable[[Question], Iterable[Finding]]

"""Values of options: each converter checks one kind of value, and its error names the allowed range."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.command import names
from bench.files import path_fault
from bench.studies.seeds import Seeds
from slurm import profile, sbatch_options
from slurm.sbatch_options import ProfileError

T = TypeVar("T")


@dataclass(frozen=True)
class Whole:
    """Whole numbers from `least` to `most`."""

    least: int
    most: int

    def __call__(self, text: str) -> int:
        """Raises ArgumentTypeError."""
        if re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII) and self.least <= int(text) <= self.most:
            return int(text)
        raise ArgumentTypeError(f"{text}: must be a whole number from {self.least:,} to {self.most:,}")


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    def __call__(self, text: str) -> str:
        """Raises ArgumentTypeError, with the nearest word."""
        if text in self.words:
            return text
        choices = f"choose from {', '.join(self.words)}"
        raise ArgumentTypeError(f"{text}: {'; '.join(filter(None, [names.nearest(text, self.words), choices]))}")


def said_by(convert: Callable[[str], T]) -> Callable[[str], T]:
    """A converter whose ValueError is the text of the complaint."""

    def converted(text: str) -> T:
        try:
            return convert(text)
        except ValueError as error:
            raise ArgumentTypeError(f"{text}: {error}") from None

    return converted


seeds = said_by(Seeds.parse)


def time_limit(text: str) -> str:
    """A time limit as sbatch writes it, of a minute or more. Raises ArgumentTypeError."""
    if re.fullmatch(r"[\d:-]{1,20}", text, re.ASCII):
        try:
            if profile.minutes(text) >= 1:
                return text
        except ProfileError:
            pass
    raise ArgumentTypeError(f"{text}: must be a minute or more, as 90, 4:00:00 or 1-12:00:00")


def memory(text: str) -> str:
    """A memory size as sbatch writes it. Raises ArgumentTypeError."""
    if re.fullmatch(r"\d{1,12}[KMGT]?B?", text, re.ASCII | re.IGNORECASE):
        return text
    raise ArgumentTypeError(f"{text}: must be a size such as 500M or 8G")


def gpus(text: str) -> str:
    """A number of GPUs, with or without their type. Raises ArgumentTypeError."""
    try:
        if sbatch_options.typed_gpus(text)["gpus"] <= 1024:
            return text
    except ProfileError:
        pass
    raise ArgumentTypeError(f"{text}: must be a whole number from 0 to 1,024, or TYPE:NUMBER such as a100:2")


def sbatch_option(text: str) -> str:
    """An option of sbatch, as KEY=VALUE or KEY. Raises ArgumentTypeError."""
    try:
        sbatch_options.parse(text)
    except ProfileError as error:
        raise ArgumentTypeError(str(error)) from None
    return text


def word(text: str) -> str:
    """A text that is not empty and stays in one line. Raises ArgumentTypeError."""
    if text.strip() and text.isprintable():
        return text
    raise ArgumentTypeError(f"{text!r}: must be one line of text")


def path(text: str) -> Path:
    """A path at which something is or can be made. Raises ArgumentTypeError."""
    if reason := path_fault(text) if text else "it is empty":
        shown = repr(text) if not text.isprintable() or not text else text if len(text) < 80 else f"{text[:60]}..."
        raise ArgumentTypeError(f"{shown}: {reason}: choose another path")
    return Path(text)


def ending(*suffixes: str) -> Callable[[str], Path]:
    """A path that ends in one of these. Its converter raises ArgumentTypeError."""

    def converted(text: str) -> Path:
        found = path(text)
        if found.suffix not in suffixes:
            raise ArgumentTypeError(f"{found}: must end in {' or '.join(suffixes)}")
        return found

    return converted


def choices_of(convert: object) -> Iterable[str]:
    """The words that a converter takes, for completion; none where it takes others too."""
    return convert.words if isinstance(convert, Choice) else ()

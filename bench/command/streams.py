"""Standard output and error that take any text, on a terminal of any encoding."""

from __future__ import annotations

import codecs
import io
import sys

PLAIN = {
    "±": "+-", "×": "x", "·": "*", "−": "-", "–": "-", "—": "-", "…": "...", "→": "->", "≤": "<=", "≥": ">=",
    "─": "-", "━": "-", "│": "|", "┼": "+", "•": "*", "╸": "-", "╺": "-",
}  # fmt: skip
"""What stands for a character that the terminal lacks; for others, their number."""


def take_any_text() -> None:
    """Print what the terminal lacks in plain letters, and a byte of a file name that is no text as `\\xe9`."""
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_letter, error.object[error.start : error.end])), error.end


def _letter(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # how Python keeps a byte that is no text
        return f"\\x{number - 0xDC00:02x}"
    return PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode()

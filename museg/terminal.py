"""Text from data, models and file names, made fit for a terminal."""

from __future__ import annotations

import re

MAX_LINE_CHARACTERS = 2000

_CONTROL = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but the line feed, what turns the direction of writing, and halves of surrogate pairs."""


def printable(text: str) -> str:
    """`text` with everything that could steer a terminal spelt out: an escape character becomes `\\x1b`."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """`text` in one printable line of at most `MAX_LINE_CHARACTERS`."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= MAX_LINE_CHARACTERS else line[: MAX_LINE_CHARACTERS - 1] + "…"

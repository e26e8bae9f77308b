"""Read segments and option letters out of an answer as leniently as the benchmark does."""

from __future__ import annotations

import re

from museg.data.samples import Segment

NUMBER = r"\d+(?:\.+\d*)?"
DASHED = re.compile(rf"({NUMBER})\s*-\s*({NUMBER})")

_SPOKEN = re.compile(rf"({NUMBER})\s* to \s*({NUMBER})")
_SENTENCE_END = re.compile(r"[!?\n]")
_EVENT_WORDS = ("start", "end", "happen")
_WHOLE_NUMBER = re.compile(r"\b(?:\d+\.\d+|\d+)\b")
_SIGNED_NUMBER = re.compile(r"[-+]?\d*\.\d+|[-+]?\d+")
_BRACKETED_LETTER = re.compile(r"\(([A-Za-z])\)")
_PREAMBLE = "best option:"


def answered_segments(answer: str) -> list[Segment]:
    """All segments of the first notation that occurs, each with its smaller number first; empty if none does.

    `3 - 7`; else `3 to 7`; else the first number of every sentence about a start, an end or a happening, in pairs.
    Sentences end in `!`, `?` or a new line; a full stop might be a decimal point.
    """
    text = answer.lower()
    segments = _pairs(DASHED, text) or _pairs(_SPOKEN, text) or _told_in_sentences(text)
    return [(min(segment), max(segment)) for segment in segments]


def answered_moment(answer: str) -> float | None:
    """The first number, in seconds; None without one."""
    found = _SIGNED_NUMBER.search(answer)
    return float(found.group()) if found else None


def bracketed_letter(answer: str) -> str | None:
    """The first letter in round brackets anywhere, lower case."""
    found = _BRACKETED_LETTER.search(answer)
    return found.group(1).lower() if found else None


def without_preamble(answer: str) -> str:
    """The answer from its option on: without `Best option:` and an opening bracket."""
    if answer.lower().startswith(_PREAMBLE):
        answer = answer[len(_PREAMBLE) :]
    return answer.lstrip().lstrip("(").lstrip()


def leading_letter(option: str) -> str | None:
    """The first character, lower case, if it stands alone as a letter would: `b`, `B.`, `B) …`."""
    return option[0].lower() if len(option) == 1 or option[1:2] in (".", ",", " ", ")") else None


def _pairs(notation: re.Pattern[str], text: str) -> list[Segment]:
    try:
        return [(float(start), float(end)) for start, end in notation.findall(text)]
    except ValueError:  # `1..5`: the benchmark's script ends with a traceback
        return []


def _told_in_sentences(text: str) -> list[Segment]:
    sentences = [s for s in _SENTENCE_END.split(text) if any(word in s for word in _EVENT_WORDS)]
    numbers = [float(found.group()) for found in map(_WHOLE_NUMBER.search, sentences) if found]
    return list(zip(numbers[::2], numbers[1::2], strict=False))

"""Read the reasoning and the segments out of a completion, as the authors' rewards do (src/train.py)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from museg.data.samples import Segment

ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)

_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_STRUCTURE = re.compile(r"\s*<think>(.*)</think>\s*<answer>(.*)</answer>\s*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedAnswer:
    """One completion, read once for all rewards; what a reward function of your own is called with."""

    text: str
    """The whole completion."""
    reasoning: str | None
    """What stands in `<think>`; None unless the text is exactly the reasoning followed by the answer."""
    content: str | None
    """What stands in the only `<answer>` pair; None if there isn't exactly one."""
    numbers: tuple[Segment, ...] | None
    """Answered pairs of numbers as written, which may be no segments; None if the content doesn't parse."""
    segments: tuple[Segment, ...]
    """Answered segments in seconds, in emission order: empty if any token doesn't parse, isn't finite, is negative or
    has start >= end. (The authors let `0-inf` through, which gives NaN.)"""


def parse_answer(text: str) -> ParsedAnswer:
    content = answer_content(text)
    numbers = answered_numbers(content) if content is not None else None
    possible = numbers is not None and all(0 <= start < end and math.isfinite(end) for start, end in numbers)
    return ParsedAnswer(
        text=text,
        reasoning=_reasoning(text),
        content=content,
        numbers=None if numbers is None else tuple(numbers),
        segments=tuple(numbers) if numbers is not None and possible else (),
    )


def answer_content(text: str) -> str | None:
    """What stands in the completion's only `<answer>` pair; None if there isn't exactly one."""
    if text.count("<answer>") != 1 or text.count("</answer>") != 1:
        return None
    found = ANSWER.search(text)
    return found.group(1) if found else None


def answered_numbers(content: str) -> list[Segment] | None:
    """The first two numbers of each whitespace-separated token, parts split on `-`, in emission order.

    Python's `float` decides what a number is (`1_0`, `1e1` and `inf` are), further parts are ignored. None if any token
    doesn't give two numbers.
    """
    numbers = []
    for token in content.split():
        start, separator, rest = token.partition("-")
        if not separator:
            return None
        try:
            numbers.append((float(start), float(rest.partition("-")[0])))
        except ValueError:
            return None
    return numbers


def predicted_segments(text: str) -> list[Segment]:
    """The answered segments of a completion, as `ParsedAnswer.segments`."""
    return list(parse_answer(text).segments)


def _reasoning(text: str) -> str | None:
    if any(text.count(tag) != 1 for tag in _TAGS):
        return None
    structure = _STRUCTURE.fullmatch(text)
    return structure.group(1) if structure else None

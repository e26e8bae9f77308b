"""Read the reasoning and the segments out of a completion, as the authors' rewards do (src/train.py)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from museg.data.samples import Segment

_TAG = re.compile(r"</?(?:think|answer)>")
_ANSWER_TAGS = ["<answer>", "</answer>"]
_TAGS = ["<think>", "</think>", *_ANSWER_TAGS]


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
    reasoning, content = _parts(text)
    numbers = answered_numbers(content) if content is not None else None
    return ParsedAnswer(
        text=text,
        reasoning=reasoning,
        content=content,
        numbers=None if numbers is None else tuple(numbers),
        segments=_segments(numbers or ()),
    )


def answer_content(text: str) -> str | None:
    """What stands in the completion's only `<answer>` pair; None if there isn't exactly one."""
    return _parts(text)[1]


def answered_numbers(content: str) -> list[Segment] | None:
    """The first two numbers of each whitespace-separated token, parts split on `-`, in emission order.

    Python's `float` decides what a number is (`1_0`, `1e1` and `inf` are), further parts are ignored. None if any token
    doesn't give two numbers.
    """
    numbers = []
    for token in content.split():
        parts = token.split("-", 2)
        try:
            numbers.append((float(parts[0]), float(parts[1])))
        except (ValueError, IndexError):
            return None
    return numbers


def predicted_segments(text: str) -> list[Segment]:
    """The answered segments of a completion, as `ParsedAnswer.segments`."""
    return list(parse_answer(text).segments)


def _parts(text: str) -> tuple[str | None, str | None]:
    """Reasoning and content, as `ParsedAnswer` has them."""
    tags = _TAG.findall(text)
    if tags == _TAGS:
        before, _, rest = text.partition("<think>")
        reasoning, _, rest = rest.partition("</think>")
        between, _, rest = rest.partition("<answer>")
        content, _, after = rest.partition("</answer>")
        return (None if (before + between + after).strip() else reasoning), content
    if [tag for tag in tags if tag in _ANSWER_TAGS] == _ANSWER_TAGS:
        return None, text.partition("<answer>")[2].partition("</answer>")[0]
    return None, None


def _segments(numbers: Sequence[Segment]) -> tuple[Segment, ...]:
    for start, end in numbers:
        if not 0 <= start < end < math.inf:
            return ()
    return tuple(numbers)

"""Read the segments out of a completion, as the authors' rewards do (src/train.py)."""

from __future__ import annotations

import math
import re

from museg.data.samples import Segment

ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


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
    """The answered segments in seconds and in emission order.

    Empty if there isn't exactly one answer, or if any of its tokens doesn't parse, isn't finite, is negative or has
    start >= end. (The authors let `0-inf` through, which gives NaN.)
    """
    content = answer_content(text)
    numbers = answered_numbers(content) if content is not None else None
    if numbers is None or not all(0 <= start < end and math.isfinite(end) for start, end in numbers):
        return []
    return numbers

"""Reward for the shape of a completion: reasoning, an answer that parses, and its timestamps cited in the reasoning."""

from __future__ import annotations

import re

from museg.rewards.answers import answered_numbers

NO_STRUCTURE = 0.0
UNPARSED_ANSWER = 0.2
UNCITED_TIMESTAMPS = 0.6
COMPLETE = 1.0

MAX_CITATIONS = 10
"""A timestamp found more often than this in the reasoning counts as padding."""

_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_STRUCTURE = re.compile(r"\s*<think>(.*)</think>\s*<answer>(.*)</answer>\s*", re.DOTALL)
_PLAIN_NUMBER = re.compile(r"(\d+)\.(\d+)")


def format_reward(text: str, *, cite_timestamps: bool) -> float:
    """0, 0.2, 0.6 or 1 as in the authors' `reward_format` (`cite_timestamps`) and `reward_format_n_timestamp`.

    0 unless each of the four tags occurs once and the whole text is the reasoning followed by the answer; 0.2 if the
    answer doesn't parse; with `cite_timestamps`, 0.6 unless the reasoning names every answered number 1 to 10 times.
    """
    if any(text.count(tag) != 1 for tag in _TAGS):
        return NO_STRUCTURE
    structure = _STRUCTURE.fullmatch(text)
    if structure is None:
        return NO_STRUCTURE
    reasoning, content = structure.groups()
    numbers = answered_numbers(content)
    if numbers is None:
        return UNPARSED_ANSWER
    if cite_timestamps and not all(
        1 <= num_citations(number, reasoning) <= MAX_CITATIONS for segment in numbers for number in segment
    ):
        return UNCITED_TIMESTAMPS
    return COMPLETE


def num_citations(number: float, reasoning: str) -> int:
    """How often `str(number)`, taken as a regular expression, matches without overlap.

    So the point of `5.0` stands for any character, and `15x01` cites it. Plain numbers are scanned for by hand: every
    completion has others, and compiling each would cost more than the rest of the reward.
    """
    pattern = str(number)
    plain = _PLAIN_NUMBER.fullmatch(pattern)
    if plain is None:
        return len(re.findall(pattern, reasoning, re.DOTALL))
    whole, fraction = plain.groups()
    count, position = 0, reasoning.find(whole)
    while position >= 0:
        after_point = position + len(whole) + 1
        if reasoning.startswith(fraction, after_point):
            count += 1
            position = reasoning.find(whole, after_point + len(fraction))
        else:
            position = reasoning.find(whole, position + 1)
    return count

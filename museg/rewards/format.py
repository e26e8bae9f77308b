"""Rewards for the shape of a completion: reasoning, an answer that parses, its timestamps cited in the reasoning."""

from __future__ import annotations

import re

from museg.config.choices import Citations
from museg.rewards.answers import ParsedAnswer

NO_STRUCTURE = 0.0
UNPARSED_ANSWER = 0.2
UNCITED_TIMESTAMPS = 0.6
COMPLETE = 1.0

MAX_CITATIONS = 10
"""A timestamp found more often than this in the reasoning counts as padding."""

_PLAIN_NUMBER = re.compile(r"(\d+)\.(\d+)")
_WRITTEN_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+")


def format_reward(answer: ParsedAnswer) -> float:
    """0, 0.2 or 1 as in the authors' `reward_format_n_timestamp`.

    0 unless each of the four tags occurs once and the whole text is the reasoning followed by the answer; 0.2 if the
    answer doesn't parse.
    """
    if answer.reasoning is None:
        return NO_STRUCTURE
    return UNPARSED_ANSWER if answer.numbers is None else COMPLETE


def tiered_format(format_n_timestamp: float, timestamp: float) -> float:
    """0, 0.2, 0.6 or 1 as in the authors' `reward_format`: 0.6 for a format complete but for its citations."""
    return UNCITED_TIMESTAMPS if format_n_timestamp == COMPLETE and timestamp == 0 else format_n_timestamp


def timestamp_reward(answer: ParsedAnswer, citations: Citations) -> float:
    """1 if structure and answer are right and the reasoning names every answered number 1 to 10 times, else 0.

    An empty answer has no number to name and earns 1, as it does in the authors' `reward_format`.
    """
    if answer.reasoning is None or answer.numbers is None:
        return 0.0
    numbers = {number for segment in answer.numbers for number in segment}
    if citations is Citations.number:
        written = [float(number) for number in _WRITTEN_NUMBER.findall(answer.reasoning)]
        counts = [written.count(number) for number in numbers]
    else:
        counts = [num_matches(number, answer.reasoning) for number in numbers]
    return float(all(1 <= count <= MAX_CITATIONS for count in counts))


def num_matches(number: float, reasoning: str) -> int:
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

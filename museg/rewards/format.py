"""Rewards for the shape of a completion: reasoning, an answer that parses, its timestamps cited in the reasoning."""

from __future__ import annotations

import re
from collections.abc import Set

from museg.config.choices import Citations
from museg.rewards.answers import ParsedAnswer

NO_STRUCTURE = 0.0
UNPARSED_ANSWER = 0.2
UNCITED_TIMESTAMPS = 0.6
COMPLETE = 1.0

MAX_CITATIONS = 10
"""A timestamp found more often than this in the reasoning counts as padding."""

_PLAIN_NUMBER = re.compile(r"(\d+)\.(\d+)")
_ONLY_FIGURES = bytes(code if code in b"0123456789." else ord(" ") for code in range(256))
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
    cited = _cited_as_number if citations is Citations.number else _cited_as_text
    return float(cited(numbers, answer.reasoning))


def _cited_as_number(numbers: Set[float], reasoning: str) -> bool:
    written = [float(number) for number in _WRITTEN_NUMBER.findall(reasoning)]
    return all(1 <= written.count(number) <= MAX_CITATIONS for number in numbers)


def _cited_as_text(numbers: Set[float], reasoning: str) -> bool:
    """Whether `num_matches` of each is 1 to 10.

    Most are written as they are sought, and their whole part stands nowhere often: then that is so, and is soon seen in
    what is left of the reasoning without words.
    """
    figures = " ".join(reasoning.encode("latin-1", "replace").translate(_ONLY_FIGURES).decode("latin-1").split())
    for number in numbers:
        pattern = str(number)
        if pattern in figures and (
            # Citations don't overlap: so many have no room.
            len(figures) <= MAX_CITATIONS * len(pattern) or figures.count(pattern.partition(".")[0]) <= MAX_CITATIONS
        ):
            continue
        if not 1 <= num_matches(number, reasoning) <= MAX_CITATIONS:
            return False
    return True


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

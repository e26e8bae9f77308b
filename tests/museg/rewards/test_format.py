from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from museg.config.choices import Citations
from museg.rewards.answers import parse_answer
from museg.rewards.format import format_reward, num_matches, tiered_format, timestamp_reward

CITED = "<think>from 10.0 to 20.0</think>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{CITED}<answer>10-20</answer>", 1.0),
        (f" \n{CITED}\n<answer>10-20</answer>\n", 1.0),
        ("<think></think><answer></answer>", 1.0),
        ("<think>from 10 to 20</think><answer>10-20</answer>", 0.6),  # sought as 10.0 and 20.0
        ("<think>10.0</think><answer>10-20</answer>", 0.6),
        (f"<think>{'10.0 ' * 10} 20.0</think><answer>10-20</answer>", 1.0),
        (f"<think>{'10.0 ' * 11} 20.0</think><answer>10-20</answer>", 0.6),
        ("<think>at 110x05 and 20.0</think><answer>10-20</answer>", 1.0),  # part of a number, any character as point
        (f"{CITED}<answer>10s-20s</answer>", 0.2),
        (f"{CITED}<answer>10.0 - 20.0</answer>", 0.2),
        (f"{CITED} so <answer>10-20</answer>", 0.0),
        (f"{CITED}<answer>10-20</answer> done", 0.0),
        (f"{CITED}<answer>10-20</answer><answer></answer>", 0.0),
        (f"<answer>10-20</answer>{CITED}", 0.0),
        (f"{CITED.upper()}<answer>10-20</answer>", 0.0),
        ("10-20", 0.0),
        ("", 0.0),
    ],
)
def test_the_four_tiers(text: str, expected: float) -> None:
    answer = parse_answer(text)
    assert tiered_format(format_reward(answer), timestamp_reward(answer, Citations.text)) == expected


def test_without_the_timestamp_tier_uncited_numbers_are_complete() -> None:
    assert format_reward(parse_answer("<think>early</think><answer>10-20</answer>")) == 1.0
    assert format_reward(parse_answer("<think>early</think><answer>10 to 20</answer>")) == 0.2


@pytest.mark.parametrize(
    ("text", "as_text", "as_number"),
    [
        (f"{CITED}<answer>10-20</answer>", 1, 1),
        ("<think>10 to 20s</think><answer>10.00-20.00</answer>", 0, 1),
        ("<think>10.00-20.</think><answer>10-20</answer>", 0, 1),
        ("<think>.5, then 0.50</think><answer>0.5-0.5</answer>", 1, 1),
        ("<think>110x05 and 20.0</think><answer>10-20</answer>", 1, 0),
        ("<think>110.0 120.0</think><answer>10-20</answer>", 1, 0),
        (f"<think>{'10.0 ' * 11} 20.0</think><answer>10-20</answer>", 0, 0),
        ("<think></think><answer></answer>", 1, 1),
        (f"{CITED}<answer>10.0 to 20.0</answer>", 0, 0),
        (f"{CITED}, so <answer>10-20</answer>", 0, 0),
        ("<think>nan inf</think><answer>nan-inf</answer>", 1, 0),
    ],
)
def test_timestamps_are_cited_as_text_or_as_numbers(text: str, as_text: float, as_number: float) -> None:
    answer = parse_answer(text)
    assert timestamp_reward(answer, Citations.text) == as_text
    assert timestamp_reward(answer, Citations.number) == as_number


@given(
    st.one_of(st.sampled_from([0.0, 1.0, 1.1, 11.0, 1e16, 1.5e-7]), st.floats(0, 1e20), st.just(float("nan"))),
    st.text(alphabet="01.5e+- \nx", max_size=60),
)
def test_citations_are_counted_as_the_regular_expression_does(number: float, reasoning: str) -> None:
    reasoning = f"{reasoning}{number}{reasoning}"
    assert num_matches(number, reasoning) == len(re.findall(str(number), reasoning, re.DOTALL))

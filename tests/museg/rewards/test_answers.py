from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from museg.rewards.answers import answer_content, answered_numbers, parse_answer, predicted_segments


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("<answer>1-2</answer>", "1-2"),
        ("before <answer>\n1-2\n</answer> after", "\n1-2\n"),
        ("no answer", None),
        ("<answer>1-2", None),
        ("</answer>1-2<answer>", None),
        ("<answer>1-2</answer><answer>3-4</answer>", None),
        ("<Answer>1-2</Answer>", None),
    ],
)
def test_an_answer_is_the_content_of_the_only_pair_of_tags(text: str, content: str | None) -> None:
    assert answer_content(text) == content


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        ("", []),
        ("1-2", [(1, 2)]),
        ("1-2\n\t3.5-4", [(1, 2), (3.5, 4)]),
        ("1-2-9", [(1, 2)]),
        ("1_0-2_0", [(10, 20)]),
        ("1e1-2e1", [(10, 20)]),
        ("20-10", [(20, 10)]),
        ("0-inf", [(0, math.inf)]),
        ("10.00 - 20.00", None),
        ("10,20", None),
        ("10s-20s", None),
        ("10–20", None),
        ("-5-10", None),
        ("1-2 3", None),
        ("a-b-c", None),
    ],
)
def test_numbers_are_what_float_reads_on_both_sides_of_a_hyphen(
    content: str, numbers: list[tuple[float, float]] | None
) -> None:
    assert answered_numbers(content) == numbers


@pytest.mark.parametrize("content", ["20-10", "5-5", "0-inf", "nan-5", "1-2 x", "-1-2", "1-2 8-3"])
def test_one_impossible_segment_voids_the_answer(content: str) -> None:
    assert predicted_segments(f"<answer>{content}</answer>") == []


def test_a_parsed_answer_holds_reasoning_content_numbers_and_segments() -> None:
    answer = parse_answer(" <think>at 5</think>\n<answer>5-7 9-8</answer>")
    assert (answer.reasoning, answer.content) == ("at 5", "5-7 9-8")
    assert answer.numbers == ((5, 7), (9, 8))
    assert answer.segments == ()
    assert parse_answer("<think>at 5</think><answer>5-7</answer>").segments == ((5, 7),)


def test_without_the_right_structure_there_is_no_reasoning_but_maybe_an_answer() -> None:
    answer = parse_answer("<think>at 5</think> So: <answer>5-7</answer>")
    assert answer.reasoning is None
    assert answer.segments == ((5, 7),)
    assert parse_answer("<think>at 5</think><answer>soon</answer>").numbers is None


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)).filter(lambda segment: segment[0] < segment[1])))
def test_segments_are_read_back_in_emission_order(segments: list[tuple[float, float]]) -> None:
    written = " ".join(f"{start!r}-{end!r}" for start, end in segments if "e-" not in f"{start!r}{end!r}")
    readable = [(start, end) for start, end in segments if "e-" not in f"{start!r}{end!r}"]
    assert predicted_segments(f"<think>.</think><answer>{written}</answer>") == readable

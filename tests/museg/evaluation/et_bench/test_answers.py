from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from museg.data.samples import Segment
from museg.evaluation.et_bench.answers import answered_moment, answered_segments
from museg.evaluation.et_bench.timed_captions import timed_captions

ANSWERS = st.lists(
    st.sampled_from([*"0123456789.-: \n", " to ", "start", "end", "seconds", "1..5", "9" * 400, "a caption"])
).map("".join)


@pytest.mark.parametrize(
    ("answer", "segments"),
    [
        ("1.5 - 4 and 9-7.25", [(1.5, 4), (7.25, 9)]),
        ("3 to 7, not 1 then 2", [(3, 7)]),
        ("1-2, or 3 to 7", [(1, 2)]),
        ("It starts at 9.\nIt ends at 13.5!", [(9, 13.5)]),
        ("It starts at 9.\nA dog at 10.\nIt ends at 13", [(9, 13)]),
        ("It starts at 9. It ends at 13.", []),
        ("It starts at 00:07\nIt ends at 01:20", [(0, 1)]),
        ("1..5-7", []),
        ("none", []),
    ],
)
def test_segments_are_read_in_the_first_notation_that_occurs(answer: str, segments: list[Segment]) -> None:
    assert answered_segments(answer) == segments


@pytest.mark.parametrize(("answer", "moment"), [("at .5 s", 0.5), ("-3", -3), ("7.25, 8", 7.25), ("soon", None)])
def test_the_first_number_is_the_moment(answer: str, moment: float | None) -> None:
    assert answered_moment(answer) == moment


@pytest.mark.parametrize(
    ("answer", "captions"),
    [
        ("At 0:30 seconds the dog runs", [((10, 50), "the dog runs.")]),
        ("0:05 to 1:10 seconds, it runs\n2:00 seconds, it rests", [((5, 70), "it runs")]),
        ("4 and 9 seconds, it runs", [((4, 9), "it runs.")]),
        ("1, 2, 3 seconds, it runs", []),
        ("1:2:3 seconds, it runs", []),
        ("9 - 4 seconds, It Runs, again", [((4, 9), "it runs, again")]),
        ("1 - 2, it runs, 3 - 4, so", [((1, 2), "it runs")]),
        ("start time 1, end time 4, it runs for 5 seconds", []),
        ("starting time: 1, ending time: 4\n* it runs", [((1, 4), "it runs")]),
    ],
)
def test_captions_are_guessed_from_looser_notations(answer: str, captions: list[tuple[Segment, str]]) -> None:
    assert [(caption.segment, caption.text) for caption in timed_captions(answer)] == captions


@given(ANSWERS)
def test_no_answer_ends_the_evaluation(answer: str) -> None:
    segments = [*answered_segments(answer), *(caption.segment for caption in timed_captions(answer))]
    assert all(start <= end for start, end in segments)

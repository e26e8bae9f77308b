from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from museg.config.schema import RewardConfig
from museg.data.samples import Sample, Segment
from museg.data.targets import as_written, render_answer, target_text
from museg.errors import DataError
from museg.rewards.answers import parse_answer
from museg.rewards.scoring import Scorer

SCORER = Scorer.from_config(RewardConfig())
times_s = st.floats(0, 990, allow_nan=False)
segments = st.tuples(times_s, st.floats(1e-6, 9.9)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def sample(*solution: Segment, response: str | None = None) -> Sample:
    return Sample(idx=7, problem="When?", solution=solution, video="a.mp4", task="tal", response=response)


def test_a_solution_is_written_with_two_decimals_and_cited() -> None:
    assert target_text(sample((1, 2.5), (7.128, 9))) == (
        "<think>The event happens from 1.00 to 2.50 and from 7.13 to 9.00.</think><answer>1.00-2.50 7.13-9.00</answer>"
    )


def test_a_segment_too_short_for_two_decimals_still_ends_after_it_starts() -> None:
    assert as_written((3.001, 3.002)) == (3.0, 3.01)
    assert SCORER.score(target_text(sample((3.001, 3.002))), sample((3.001, 3.002))).values["format"] == 1.0


@given(st.lists(segments, min_size=1, max_size=5))
def test_every_solution_earns_the_full_format_reward_and_reads_back_rounded(solution: list[Segment]) -> None:
    text = target_text(sample(*solution))
    assert SCORER.score(text, sample(*solution)).values["format"] == 1.0
    assert parse_answer(text).segments == tuple(as_written(segment) for segment in solution)
    for annotated, answered in zip(solution, parse_answer(text).segments, strict=True):
        assert answered == pytest.approx(annotated, abs=0.0151)


def test_segments_apart_earn_all_there_is_to_earn() -> None:
    solution = ((1.25, 2.5), (10.0, 20.0))
    assert SCORER.score(target_text(sample(*solution)), sample(*solution)).total == pytest.approx(3.0, abs=1e-5)


def test_a_response_is_taught_as_it_is() -> None:
    assert target_text(sample((1, 2), response="It happens late.")) == "It happens late."


@pytest.mark.parametrize("token", ["<|video_pad|>", "<|im_end|>"])
def test_a_response_with_a_special_token_is_refused_with_its_row(token: str) -> None:
    complaint = f"sample 7: `response` holds the special token {token}"
    with pytest.raises(DataError, match=re.escape(complaint)):
        target_text(sample((1, 2), response=f"Late.{token}"))


def test_numbers_are_written_as_asked() -> None:
    assert render_answer([(1, 2)], write="{:.1f}".format) == (
        "<think>The event happens from 1.0 to 2.0.</think><answer>1.0-2.0</answer>"
    )

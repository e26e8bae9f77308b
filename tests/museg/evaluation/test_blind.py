from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from museg.data.samples import Sample, Segment
from museg.errors import DataError
from museg.evaluation.blind import (
    AnswerUnit,
    ConstantAnswer,
    best_constant_answer,
    best_constant_answer_for_all_segments,
    swapped_videos,
)
from museg.evaluation.grounding import score_grounding, temporal_iou


def sample(video: str, duration_s: float | None = None, *solution: Segment) -> Sample:
    return Sample(
        idx=0, problem="when?", solution=solution or ((1.0, 2.0),), video=video, task="tvg", duration_s=duration_s
    )


def test_neighbours_in_duration_trade_videos() -> None:
    samples = [sample("long", 60.0), sample("short", 10.0), sample("longer", 61.0), sample("shorter", 9.0)]
    assert swapped_videos(samples) == [2, 3, 0, 1]


def test_the_last_three_trade_in_a_circle() -> None:
    assert swapped_videos([sample(name, 10.0) for name in "abcde"]) == [1, 0, 3, 4, 2]


def test_questions_about_one_video_are_shown_the_same_other_one() -> None:
    samples = [sample("a", 10.0), sample("a", 10.0), sample("b", 10.0), sample("a", 10.0)]
    assert swapped_videos(samples) == [2, 2, 0, 2]


def test_unknown_durations_trade_among_themselves() -> None:
    assert swapped_videos([sample("a"), sample("b", 10.0), sample("c"), sample("d", 99.0)]) == [2, 3, 0, 1]


def test_one_sample_has_only_its_own_video() -> None:
    assert swapped_videos([sample("a", 10.0)]) == [0]
    assert swapped_videos([]) == []


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=2).filter(lambda videos: len(set(videos)) > 1),
    st.dictionaries(st.sampled_from("abcdefgh"), st.one_of(st.none(), st.integers(5, 9).map(float))),
)
def test_nobody_is_shown_its_own_video(videos: list[str], durations: dict[str, float | None]) -> None:
    samples = [sample(video, durations.get(video)) for video in videos]
    swapped = swapped_videos(samples)
    assert all(videos[own] != videos[other] for own, other in enumerate(swapped))
    if len(set(videos)) == len(videos):
        assert sorted(swapped) == list(range(len(videos)))


def test_the_best_constant_answer_in_seconds() -> None:
    samples = [sample("a", 20.0, (5, 10)), sample("b", 90.0, (5, 10)), sample("c", 90.0, (6, 11), (0, 90))]
    answer = best_constant_answer(samples)
    assert (answer.segment, answer.unit) == ((5, 10), AnswerUnit.seconds)
    assert answer.miou == pytest.approx((1 + 1 + 4 / 6) / 3)
    assert str(answer) == "5.0 to 10.0 s"


def test_the_best_constant_answer_as_shares_of_the_duration() -> None:
    answer = best_constant_answer([sample("a", 10.0, (2, 4)), sample("b", 100.0, (20, 40))])
    assert answer.segment == pytest.approx((0.2, 0.4))
    assert answer.miou == pytest.approx(1.0)
    assert str(answer) == "20% to 40% of the duration"


def test_shares_need_every_duration() -> None:
    answer = best_constant_answer([sample("a", None, (2, 4)), sample("b", 100.0, (20, 40))])
    assert answer.unit is AnswerUnit.seconds
    assert answer.miou == pytest.approx(0.5)


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 20)).map(lambda pair: (pair[0] / 2, (pair[0] + pair[1]) / 2)),
        min_size=1,
        max_size=12,
    )
)
def test_no_answer_on_a_quarter_second_grid_is_better(annotated: list[Segment]) -> None:
    grid = [(a / 4, b / 4) for a in range(120) for b in range(a + 1, 121)]
    best = best_constant_answer([sample(str(index), None, segment) for index, segment in enumerate(annotated)])
    assert temporal_iou(grid, annotated).mean(axis=1).max() == pytest.approx(best.miou)


def test_many_samples_are_searched_by_their_quantiles() -> None:
    starts = np.random.default_rng(0).uniform(0, 12, 1_000)
    samples = [sample(str(index), None, (start, start + 6)) for index, start in enumerate(starts)]
    answer = best_constant_answer(samples)
    grid = [(a / 4, b / 4) for a in range(48) for b in range(a + 1, 73)]
    exhaustive = temporal_iou(grid, [sample.solution[0] for sample in samples]).mean(axis=1).max()
    assert answer.miou == pytest.approx(exhaustive, abs=1e-3)


def test_there_must_be_samples() -> None:
    with pytest.raises(DataError, match="there are no samples"):
        best_constant_answer([])


def test_the_best_constant_answer_to_questions_about_all_segments_has_the_best_f1() -> None:
    samples = [sample("a", None, (0, 1), (10, 20)), sample("b", None, (30, 31), (10, 20)), sample("c", None, (10, 20))]
    answer = best_constant_answer_for_all_segments(samples)
    assert (answer.segment, answer.unit) == ((10, 20), AnswerUnit.seconds)
    assert answer.miou == pytest.approx(1 / 3), "with the first annotations"
    texts = [f"<answer>{answer.given_to(each)}</answer>" for each in samples]
    assert score_grounding(samples, texts)["f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_no_other_answer_that_starts_and_ends_with_annotations_has_a_better_f1() -> None:
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(8):
        starts = rng.uniform(0, 50, 3)
        samples.append(sample("a", None, *((float(s), float(s + rng.uniform(1, 30))) for s in starts)))

    def f1(start: float, end: float) -> float:
        return score_grounding(samples, [f"<answer>{start:.6f}-{end:.6f}</answer>"] * len(samples))["f1"]

    every = [segment for each in samples for segment in each.solution]
    best = max(f1(start, end) for start, _ in every for _, end in every if start < end)
    assert f1(*best_constant_answer_for_all_segments(samples).segment) == pytest.approx(best)


def test_an_answer_in_shares_is_given_in_the_seconds_of_each_video() -> None:
    answer = ConstantAnswer(segment=(0.25, 0.5), unit=AnswerUnit.durations, miou=1.0)
    assert answer.given_to(sample("a", 40.0)) == "10.000000-20.000000"
    with pytest.raises(DataError, match="its duration isn't known"):
        answer.given_to(sample("a"))

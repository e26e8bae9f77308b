from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from museg.config.choices import RewardPreset
from museg.data.samples import Segment
from museg.rewards.global_matching import merged_segments
from museg.rewards.rules import PRESETS
from museg.rewards.segment_matching import BELOW_ONE, SegmentMatch, match_segments

REFERENCE, PAPER, ROBUST = (PRESETS[preset] for preset in RewardPreset)


def scores(match: SegmentMatch) -> tuple[float, float, float]:
    return match.globally, match.locally, match.combined


@pytest.mark.parametrize(
    ("predicted", "annotated", "reference", "paper", "robust"),
    [
        ([(10, 20)], [(10, 20)], (1, 1, 2), (1, 1, 1), (1, 1, 1)),
        ([(10, 20)] * 3, [(10, 20)], (1, 1 / 3, 4 / 3), (1, 1 / 3, 2 / 3), (1, 1, 1)),
        ([(10, 15), (12, 20)], [(10, 20)], (1, 0.375, 1.375), (1, 0.375, 0.6875), (1, 1, 1)),
        ([(50, 60), (10, 20)], [(10, 20), (50, 60)], (1, 0.2, 1.2), (1, 1, 1), (1, 1, 1)),
        ([(0, 10)], [(0, 10), (2, 8)], (16 / 13, 0.5, 16 / 13 + 0.5), (1, 0.5, 0.75), (1, 1, 1)),
        ([(10, 15)], [(10, 20)], (2 / 3, 0.75, 17 / 12), (0.5, 0.75, 0.625), (2 / 3, 0.75, 17 / 24)),
        ([], [(10, 20)], (0, 0, 0), (0, 0, 0), (0, 0, 0)),
    ],
)
def test_what_each_preset_pays(
    predicted: list[Segment], annotated: list[Segment], reference: object, paper: object, robust: object
) -> None:
    assert scores(match_segments(predicted, annotated, REFERENCE)) == pytest.approx(reference, abs=1e-5)
    assert scores(match_segments(predicted, annotated, PAPER)) == pytest.approx(paper, abs=1e-12)
    assert scores(match_segments(predicted, annotated, ROBUST)) == pytest.approx(robust, abs=1e-12)


@pytest.mark.parametrize(
    ("predicted", "annotated", "expected"),
    [
        ([(10, 30)], [(10, 20)], (1, 1, 1)),  # cut at the end
        ([(10, 20)], [(10, 25)], (1, 1, 1)),  # so is the annotation
        ([(10, 20), (20, 30)], [(10, 20)], (1, 1, 1)),  # the same time as 10-30
        ([(10, 20), (25, 35)], [(10, 20)], (2 / 3, 0.5, 7 / 12)),  # begins after the end: wrong
        ([(25, 35)], [(10, 20)], (0, 0, 0)),
        ([(10, 20), (25, 35)], [(10, 20), (25, 35)], (1, 1, 1)),  # an annotation there: the duration can't be true
        ([(25, 35)], [(25, 30)], (2 / 3, 0.75, 17 / 24)),
    ],
)
def test_there_is_no_time_after_the_end_of_the_video(
    predicted: list[Segment], annotated: list[Segment], expected: tuple[float, float, float]
) -> None:
    assert scores(match_segments(predicted, annotated, ROBUST, 20.0)) == pytest.approx(expected, abs=1e-12)
    unclipped = match_segments(predicted, annotated, REFERENCE)
    assert match_segments(predicted, annotated, REFERENCE, 20.0) == unclipped


seconds = st.one_of(st.integers(0, 60).map(float), st.floats(0, 1e9))
segments = st.lists(
    st.tuples(seconds, seconds).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: (min(pair), max(pair))),
    max_size=5,
)
durations = st.none() | st.floats(1e-3, 100)


@given(segments, segments.filter(bool), durations, st.randoms(use_true_random=False))
def test_robust_is_within_bounds_and_ignores_order_bitwise(
    predicted: list[Segment], annotated: list[Segment], end_s: float | None, shuffler: random.Random
) -> None:
    match = match_segments(predicted, annotated, ROBUST, end_s)
    assert all(0 <= score <= 1 for score in scores(match))
    shuffler.shuffle(predicted)
    shuffler.shuffle(annotated)
    assert match_segments(predicted, annotated, ROBUST, end_s) == match


@given(segments, segments.filter(bool))
def test_robust_pays_one_for_the_annotated_time_and_for_no_other(
    predicted: list[Segment], annotated: list[Segment]
) -> None:
    same = merged_segments(predicted) == merged_segments(annotated)
    assert all((score == 1) == same for score in scores(match_segments(predicted, annotated, ROBUST)))


@given(segments.filter(bool), durations, st.randoms(use_true_random=False), st.data())
def test_robust_pays_one_for_the_annotation_written_in_any_way(
    annotated: list[Segment], end_s: float | None, shuffler: random.Random, data: st.DataObject
) -> None:
    written = annotated + data.draw(st.lists(st.sampled_from(annotated), max_size=3))
    start, end = annotated[0]
    middle = start + (end - start) / 2
    written += [(start, middle)] if start < middle else []
    shuffler.shuffle(written)
    assert scores(match_segments(written, annotated, ROBUST, end_s)) == (1, 1, 1)


@pytest.mark.parametrize("end", [math.nextafter(20, 21), math.nextafter(20, 0)])
def test_the_nearest_other_float_is_not_the_annotation(end: float) -> None:
    assert scores(match_segments([(0, end)], [(0, 20)], ROBUST)) == (BELOW_ONE, BELOW_ONE, BELOW_ONE)


@given(segments, segments.filter(bool), durations)
def test_reference_and_paper_stay_within_their_ranges(
    predicted: list[Segment], annotated: list[Segment], end_s: float | None
) -> None:
    reference = match_segments(predicted, annotated, REFERENCE, end_s)
    assert 0 <= reference.globally <= 2
    assert 0 <= reference.locally <= 1
    assert reference.combined == reference.globally + reference.locally
    assert all(0 <= score <= 1 for score in scores(match_segments(predicted, annotated, PAPER, end_s)))

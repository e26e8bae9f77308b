from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from museg.rewards.global_matching import global_f1, global_iou, merged_segments, total_length

segments = st.lists(
    st.tuples(st.integers(0, 400), st.integers(1, 200)).map(lambda pair: (pair[0] / 4, (pair[0] + pair[1]) / 4)),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize(
    ("predicted", "annotated", "expected"),
    [
        ([(10, 20)], [(10, 20)], 1.0),
        ([(10, 20)] * 3, [(10, 20)], 1.0),
        ([(10, 15), (12, 20)], [(10, 20)], 1.0),
        ([(30, 40)], [(10, 20)], 0.0),
        ([], [(10, 20)], 0.0),
        ([(10, 15)], [(10, 20)], 2 / 3),
        ([(5, 25)], [(10, 20)], 2 / 3),
        ([(0, 10)], [(0, 10), (2, 8)], 2 * 1.6 * 1.0 / 2.6),  # nested annotations are counted twice
    ],
)
def test_f1_of_the_overlap(
    predicted: list[tuple[float, float]], annotated: list[tuple[float, float]], expected: float
) -> None:
    assert global_f1(merged_segments(predicted), annotated, 1e-6) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("predicted", "annotated", "f1", "iou"),
    [
        ([(10, 15)], [(10, 20)], 2 / 3, 0.5),
        ([(0, 10), (20, 30)], [(5, 25)], 0.5, 1 / 3),
        ([(10, 20)], [(10, 20)], 1.0, 1.0),
        ([], [(10, 20)], 0.0, 0.0),
        ([], [], 0.0, 0.0),
    ],
)
def test_without_epsilon_both_scores_are_exact(
    predicted: list[tuple[float, float]], annotated: list[tuple[float, float]], f1: float, iou: float
) -> None:
    assert global_f1(predicted, annotated, 0.0) == pytest.approx(f1, abs=1e-15)
    assert global_iou(predicted, annotated, 0.0) == pytest.approx(iou, abs=1e-15)


@given(segments)
def test_merging_keeps_the_covered_time_and_leaves_gaps(predicted: list[tuple[float, float]]) -> None:
    merged = merged_segments(predicted)
    covered = {quarter for start, end in predicted for quarter in range(int(start * 4), int(end * 4))}
    assert total_length(merged) == len(covered) / 4
    assert all(earlier[1] < later[0] for earlier, later in pairwise(merged))


@given(segments, segments)
def test_against_disjoint_annotations_the_value_is_in_range_and_ignores_order(
    predicted: list[tuple[float, float]], annotated: list[tuple[float, float]]
) -> None:
    annotated = merged_segments(annotated)
    value = global_f1(merged_segments(predicted), annotated, 1e-6)
    assert 0 <= value <= 1
    assert global_f1(merged_segments(predicted[::-1]), annotated[::-1], 1e-6) == pytest.approx(value)

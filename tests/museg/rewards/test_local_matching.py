from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from museg.config.choices import Pairing
from museg.data.samples import Segment
from museg.rewards.local_matching import generalized_iou, generalized_ious, local_matching


@pytest.mark.parametrize(
    ("predicted", "annotated", "expected"),
    [
        ([(10, 20)], [(10, 20)], 1.0),
        ([(10, 20)] * 3, [(10, 20)], 1 / 3),
        ([(10, 15), (12, 20)], [(10, 20)], 0.375),
        ([(21, 31)], [(10, 20)], 10 / 21),
        ([(100, 110)], [(10, 20)], 0.1),
        ([(50, 60), (10, 20)], [(10, 20), (50, 60)], 0.2),  # swapped: each 10 / 50
        ([(10, 20), (50, 60)], [(10, 20), (50, 60)], 1.0),
        ([], [(10, 20)], 0.0),
        ([(10, 20)], [(10, 20), (30, 40), (50, 60), (70, 80)], 0.25),
        ([(1e9, 1e9 + 1)], [(0, 1), (10, 20)], 0.5e-9),  # the authors' dummy earns nothing
    ],
)
def test_mean_over_pairs_in_emission_order(
    predicted: list[tuple[float, float]], annotated: list[tuple[float, float]], expected: float
) -> None:
    assert local_matching(predicted, annotated, Pairing.emission) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("predicted", "annotated", "by_start", "by_assignment"),
    [
        ([(50, 60), (10, 20)], [(10, 20), (50, 60)], 1.0, 1.0),  # swapped
        ([(0, 1), (10, 20)], [(10, 20)], 11 / 80, 0.5),  # by start the first is paired, and (1 + gIoU) / 2 is 11 / 40
        ([(10, 20)], [(0, 1), (10, 20)], 11 / 80, 0.5),
        ([], [(10, 20)], 0.0, 0.0),
    ],
)
def test_other_pairings(
    predicted: list[Segment], annotated: list[Segment], by_start: float, by_assignment: float
) -> None:
    assert local_matching(predicted, annotated, Pairing.start) == pytest.approx(by_start, abs=1e-12)
    assert local_matching(predicted, annotated, Pairing.assignment) == pytest.approx(by_assignment, abs=1e-12)


segments = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    min_size=1,
    max_size=4,
)


@given(segments, segments)
def test_the_assignment_is_the_best_of_all(predicted: list[Segment], annotated: list[Segment]) -> None:
    short, long = sorted((predicted, annotated), key=len)
    best = max(
        sum((1 + generalized_iou(*pair)) / 2 for pair in zip(short, chosen, strict=True))
        for chosen in itertools.permutations(long, len(short))
    )
    assert local_matching(predicted, annotated, Pairing.assignment) == pytest.approx(best / len(long), abs=1e-12)
    pairs = [[generalized_iou(one, other) for other in annotated] for one in predicted]
    assert generalized_ious(predicted, annotated).tolist() == pairs


def test_worthless_predictions_count_in_the_mean() -> None:
    assert local_matching([(10, 20)], [(10, 20)], Pairing.assignment, num_worthless=3) == 0.25


def test_generalized_iou_of_disjoint_segments_is_the_gap_share_below_zero() -> None:
    assert generalized_iou((0, 10), (30, 40)) == -20 / 40
    assert generalized_iou((0, 10), (5, 15)) == pytest.approx(5 / 15)

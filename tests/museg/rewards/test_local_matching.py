from __future__ import annotations

import pytest

from museg.rewards.local_matching import generalized_iou, local_matching


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
    assert local_matching(predicted, annotated) == pytest.approx(expected, abs=1e-9)


def test_generalized_iou_of_disjoint_segments_is_the_gap_share_below_zero() -> None:
    assert generalized_iou((0, 10), (30, 40)) == -20 / 40
    assert generalized_iou((0, 10), (5, 15)) == pytest.approx(5 / 15)

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from museg.tiny_model.lessons import loosened, segments_showing


def test_segments_are_the_unbroken_stretches_of_a_content() -> None:
    seconds = ["man", "man", "street", "man", "rabbit", "man", "man"]
    assert segments_showing("man", seconds) == ((0.0, 2.0), (3.0, 4.0), (5.0, 7.0))
    assert segments_showing("street", seconds) == ((2.0, 3.0),)
    assert segments_showing("dog", seconds) == ()


def test_no_slack_leaves_the_annotation_as_it_is() -> None:
    segments = ((2.0, 5.0), (9.0, 12.0))
    assert loosened(segments, 14.0, 0, random.Random(0)) == segments


@given(seed=st.integers(0, 10_000), slack_s=st.integers(1, 8))
def test_loose_segments_hold_the_exact_ones_and_stay_apart_in_the_video(seed: int, slack_s: int) -> None:
    exact = ((2.0, 5.0), (7.0, 9.0), (15.0, 18.0))
    loose = loosened(exact, 20.0, slack_s, random.Random(seed))
    assert all(
        0 <= start <= exact_start and exact_end <= end <= 20
        for (start, end), (exact_start, exact_end) in zip(loose, exact, strict=True)
    )
    assert all(start - slack_s <= loose_start for (start, _), (loose_start, _) in zip(exact, loose, strict=True))
    assert all(later[0] > earlier[1] for earlier, later in itertools.pairwise(loose))

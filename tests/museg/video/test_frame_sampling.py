from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from museg.video.frame_sampling import sample_fps, sampled_frame_indices


def indices(num_native_frames: int, native_fps: float, **changes: float) -> list[int]:
    settings = {"fps": 2.0, "min_frames": 4, "max_frames": 448} | changes
    return sampled_frame_indices(num_native_frames, native_fps, **settings).tolist()  # type: ignore[arg-type]


def test_thirty_seconds_at_29_97_give_58_frames_at_1_934() -> None:
    assert len(indices(899, 30_000 / 1001)) == 58
    assert sample_fps(58, 899, 30_000 / 1001) == pytest.approx(1.934, abs=5e-4)


def test_a_whole_number_of_seconds_gives_two_frames_each() -> None:
    assert indices(90, 15.0) == [0, 8, 16, 24, 32, 40, 49, 57, 65, 73, 81, 89]
    assert sample_fps(12, 90, 15.0) == 2.0


def test_a_short_video_gives_at_least_min_frames() -> None:
    assert indices(12, 24.0) == [0, 4, 7, 11]


def test_a_long_video_gives_at_most_max_frames() -> None:
    sampled = indices(30_000, 30.0)
    assert (len(sampled), sampled[0], sampled[-1]) == (448, 0, 29_999)


def test_an_odd_limit_is_made_even_on_its_own_side() -> None:
    assert len(indices(10, 30.0, min_frames=5)) == 6
    assert len(indices(3_000, 30.0, max_frames=7)) == 6


@pytest.mark.parametrize(("num_native_frames", "expected"), [(1, [0, 0]), (2, [0, 1]), (3, [0, 2]), (4, [0, 1, 2, 3])])
def test_fewer_than_four_frames_still_fill_a_temporal_patch(num_native_frames: int, expected: list[int]) -> None:
    assert indices(num_native_frames, 25.0) == expected


@given(st.integers(1, 200_000), st.floats(1, 120), st.integers(1, 400).map(lambda half: 2 * half))
def test_indices_are_the_nearest_to_equal_steps(num_native_frames: int, native_fps: float, max_frames: int) -> None:
    sampled = indices(num_native_frames, native_fps, max_frames=max(4, max_frames))
    step = Fraction(num_native_frames - 1, len(sampled) - 1)
    assert len(sampled) % 2 == 0
    assert sampled == [round(position * step) for position in range(len(sampled))]

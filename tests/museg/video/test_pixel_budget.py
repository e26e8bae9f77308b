from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from museg.config.schema import VideoConfig
from museg.errors import VideoError
from museg.video.pixel_budget import FrameBudget, frame_size

TRAINING = FrameBudget.from_config(VideoConfig(), evaluation=False)
QUICKSTART = FrameBudget(fps=1, min_frames=4, max_frames=32, min_pixels=784, max_pixels=784, total_pixels=784)


def test_evaluation_has_its_own_frame_limit() -> None:
    evaluation = FrameBudget.from_config(VideoConfig(), evaluation=True)
    assert (TRAINING.max_frames, evaluation.max_frames) == (448, 768)
    assert evaluation.total_pixels == TRAINING.total_pixels == 3584 * 28 * 28


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [
        (4, 768 * 784),  # the cap of a frame
        (58, 2_809_856 / 58 * 2),  # its share of the video
        (448, 13_171),  # 5% above the least area
    ],
)
def test_the_budget_of_a_frame(num_frames: int, expected: float) -> None:
    assert TRAINING.pixels_per_frame(num_frames) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("height", "width", "num_frames", "expected"),
    [
        (1080, 1920, 4, (560, 1008)),
        (480, 640, 58, (252, 336)),
        (240, 320, 60, (252, 308)),
        (1280, 720, 448, (140, 84)),
        (144, 176, 8, (140, 168)),
        (60, 80, 8, (112, 140)),  # too small: enlarged to 12,544 pixels
    ],
)
def test_sizes_worked_out_by_hand(height: int, width: int, num_frames: int, expected: tuple[int, int]) -> None:
    assert frame_size(height, width, num_frames, TRAINING) == expected


def test_the_lowest_budget_ends_at_one_token_whatever_the_shape() -> None:
    assert frame_size(272, 640, 12, QUICKSTART) == (28, 28)
    assert frame_size(1080, 608, 32, QUICKSTART) == (28, 28)


def test_a_frame_more_elongated_than_qwen_allows_is_refused() -> None:
    with pytest.raises(VideoError, match="at most 200 times"):
        frame_size(2, 402, 4, TRAINING)


@given(st.integers(28, 4_000), st.integers(28, 4_000), st.integers(1, 224).map(lambda half: 2 * half))
def test_sizes_are_those_of_qwens_smart_resize(height: int, width: int, num_frames: int) -> None:
    assume(max(height, width) <= 200 * min(height, width))
    most = max(min(768 * 784, 2_809_856 / num_frames * 2), int(1.05 * 12_544))
    assert frame_size(height, width, num_frames, TRAINING) == smart_resize(height, width, 28, 12_544, most)  # type: ignore[arg-type]

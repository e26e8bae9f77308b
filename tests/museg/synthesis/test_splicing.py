from __future__ import annotations

from pathlib import Path

import decord
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from museg.synthesis.footage import Footage
from museg.synthesis.splicing import draw_shot, play, write_video
from museg.synthesis.timelines import Shot, Timeline

COLORS = {"street": (200, 40, 40), "man": (40, 200, 40), "rabbit": (40, 40, 200)}
FPS = 8


def plain_footage(num_frames: int = 40, fps: float = 25.0) -> dict[str, Footage]:
    """Clips of one colour each: what a frame shows can be told from its mean."""
    return {
        content: Footage(frames=np.full((num_frames, 74, 110, 3), color, np.uint8), fps=fps)
        for content, color in COLORS.items()
    }


def numbered_footage(num_frames: int, fps: float) -> Footage:
    """A clip whose frame i is uniformly grey at level i."""
    levels = np.arange(num_frames, dtype=np.uint8)
    return Footage(frames=np.broadcast_to(levels[:, None, None, None], (num_frames, 74, 110, 3)), fps=fps)


@pytest.fixture
def timeline() -> Timeline:
    contents = [("man", 1), ("street", 3), ("rabbit", 2), ("man", 4), ("street", 2)]
    return Timeline(asked="street", shots=tuple(Shot(content=name, num_seconds=length) for name, length in contents))


def test_every_frame_of_a_second_shows_the_content_of_the_timeline(tmp_path: Path, timeline: Timeline) -> None:
    path = tmp_path / "a.mp4"
    rng = np.random.default_rng(0)
    write_video(path, timeline, plain_footage(), held_out=False, size=(96, 64), fps=FPS, rng=rng)
    video = decord.VideoReader(str(path))
    assert len(video) == 12 * FPS
    assert video.get_avg_fps() == FPS
    frames = video.get_batch(range(len(video))).asnumpy()
    assert frames.shape == (96, 64, 96, 3)
    shown = [list(COLORS)[channel] for channel in frames.mean(axis=(1, 2)).argmax(axis=1)]
    assert shown == [content for content in timeline.seconds for _ in range(FPS)]


def test_each_second_begins_with_a_key_frame(tmp_path: Path, timeline: Timeline) -> None:
    path = tmp_path / "a.mp4"
    rng = np.random.default_rng(0)
    write_video(path, timeline, plain_footage(), held_out=False, size=(96, 64), fps=FPS, rng=rng)
    assert set(range(0, 12 * FPS, FPS)) <= set(decord.VideoReader(str(path)).get_key_indices())


def test_the_same_seed_writes_the_same_file(tmp_path: Path, timeline: Timeline) -> None:
    files = []
    for number, seed in enumerate((1, 1, 2)):
        path = tmp_path / f"{number}.mp4"
        rng = np.random.default_rng(seed)
        write_video(path, timeline, plain_footage(), held_out=False, size=(96, 64), fps=FPS, rng=rng)
        files.append(path.read_bytes())
    assert files[0] == files[1]
    assert files[0] != files[2]


@settings(deadline=None)
@given(num_frames=st.integers(4, 250), held_out=st.booleans(), length=st.integers(1, 200), seed=st.integers(0, 2**32))
def test_a_shot_plays_frames_of_its_split_only(num_frames: int, held_out: bool, length: int, seed: int) -> None:
    clip = numbered_footage(num_frames, fps=25.0)
    indices = play(clip, held_out=held_out, num_frames=length, fps=FPS, rng=np.random.default_rng(seed))
    assert indices.shape == (length,)
    assert set(indices.tolist()) <= set(clip.window(held_out=held_out))


def test_a_shot_plays_at_true_speed_and_turns_back_at_the_ends() -> None:
    clip = numbered_footage(100, fps=16.0)
    indices = play(clip, held_out=False, num_frames=105, fps=FPS, rng=np.random.default_rng(3))
    steps = np.abs(np.diff(indices))
    assert np.count_nonzero(steps == 2) >= 100
    assert steps.max() == 2
    assert indices.min() <= 1
    assert indices.max() >= 68


def test_a_shot_is_a_crop_at_one_brightness_within_bounds() -> None:
    clip = Footage(frames=np.full((20, 74, 110, 3), 100, np.uint8), fps=25.0)
    levels = set()
    for seed in range(50):
        shot = draw_shot(
            Shot(content="man", num_seconds=2),
            clip,
            held_out=False,
            size=(96, 64),
            fps=FPS,
            rng=np.random.default_rng(seed),
        )
        assert shot.shape == (16, 64, 96, 3)
        assert shot.min() == shot.max()
        levels.add(int(shot.max()))
    assert min(levels) >= 87
    assert max(levels) <= 115
    assert len(levels) > 15

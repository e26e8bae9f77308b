from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from museg.errors import ConfigError, VideoError
from museg.video.clip import VideoClip
from museg.video.clip_store import ClipStore
from museg.video.decoding import decode_clip
from museg.video.pixel_budget import FrameBudget
from tests.museg.video.footage import write_video

BUDGET = FrameBudget(fps=2, min_frames=4, max_frames=64, min_pixels=784, max_pixels=602_112, total_pixels=20_000)
OTHER = FrameBudget(fps=4, min_frames=4, max_frames=64, min_pixels=784, max_pixels=602_112, total_pixels=20_000)
PLENTY = 1 << 30


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "video.mp4", num_frames=50, fps=Fraction(30_000, 1001), height=96, width=128)


class Decoding:
    """Decodes and remembers what."""

    def __init__(self) -> None:
        self.videos: list[str] = []

    def __call__(self, path: Path, *, video: str, budget: FrameBudget) -> VideoClip:
        self.videos.append(video)
        return decode_clip(path, video=video, budget=budget)


@pytest.fixture
def decoding() -> Decoding:
    return Decoding()


def assert_same(found: VideoClip, expected: VideoClip) -> None:
    np.testing.assert_array_equal(found.frames, expected.frames)
    np.testing.assert_array_equal(found.frame_times_s, expected.frame_times_s)
    assert (found.facts, found.num_native_frames) == (expected.facts, expected.num_native_frames)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def test_a_clip_is_decoded_once_and_then_read_by_any_process(video: Path, tmp_path: Path, decoding: Decoding) -> None:
    expected = ClipStore(tmp_path / "clips", max_bytes=PLENTY, decode=decoding).clip(
        video, video="a.mp4", budget=BUDGET
    )
    found = ClipStore(tmp_path / "clips", max_bytes=PLENTY, decode=decoding).clip(
        video, video="same.mp4", budget=BUDGET
    )
    assert decoding.videos == ["a.mp4"]
    assert found.video == "same.mp4"
    assert_same(found, expected)
    assert_same(found, decode_clip(video, video="a.mp4", budget=BUDGET))


def test_another_budget_or_a_changed_file_is_another_clip(video: Path, tmp_path: Path, decoding: Decoding) -> None:
    store = ClipStore(tmp_path / "clips", max_bytes=PLENTY, decode=decoding)
    first = store.clip(video, video="a.mp4", budget=BUDGET)
    assert len(store.clip(video, video="a.mp4", budget=OTHER).frames) > len(first.frames)
    write_video(video, num_frames=90, fps=Fraction(30), height=96, width=128)
    assert len(store.clip(video, video="a.mp4", budget=BUDGET).frames) > len(first.frames)
    assert len(decoding.videos) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
        lambda content: b"not a clip" * 100,
        lambda content: b"",
        lambda content: content.replace(b"native_fps", b"native_xxx"),
    ],
    ids=["cut", "a bit flipped", "something else", "empty", "other fields"],
)
def test_a_damaged_entry_is_dropped_and_decoded_again(
    damage: Callable[[bytes], bytes], video: Path, tmp_path: Path, decoding: Decoding
) -> None:
    store = ClipStore(tmp_path / "clips", max_bytes=PLENTY, decode=decoding)
    expected = store.clip(video, video="a.mp4", budget=BUDGET)
    (entry,) = entries(store.folder)
    entry.write_bytes(damage(entry.read_bytes()))
    for _ in range(2):
        assert_same(store.clip(video, video="a.mp4", budget=BUDGET), expected)
    assert len(decoding.videos) == 2


def test_the_least_recently_used_clip_is_removed_first_and_nothing_else(
    video: Path, tmp_path: Path, decoding: Decoding
) -> None:
    videos = {name: tmp_path / name for name in "abc"}
    for path in videos.values():
        path.write_bytes(video.read_bytes())
    store = ClipStore(tmp_path / "clips", max_bytes=PLENTY, decode=decoding)
    store.folder.mkdir()
    (store.folder / "of the user's.txt").write_text("old")
    os.utime(store.folder / "of the user's.txt", (0, 0))
    for name in "ab":
        store.clip(videos[name], video=name, budget=BUDGET)
    size = entries(store.folder)[-1].stat().st_size
    store.max_bytes = int(2.5 * size)
    store.clip(videos["a"], video="a", budget=BUDGET)
    store.clip(videos["c"], video="c", budget=BUDGET)
    for name in "acb":
        store.clip(videos[name], video=name, budget=BUDGET)
    assert decoding.videos == ["a", "b", "c", "b"]
    assert len(entries(store.folder)) == 3
    assert (store.folder / "of the user's.txt").read_text() == "old"


def test_what_cant_be_decoded_or_kept_is_told(tmp_path: Path) -> None:
    store = ClipStore(tmp_path / "clips", max_bytes=PLENTY)
    with pytest.raises(VideoError, match="there is no file"):
        store.clip(tmp_path / "missing.mp4", video="missing.mp4", budget=BUDGET)
    (tmp_path / "file").write_text("")
    store = ClipStore(tmp_path / "file" / "clips", max_bytes=PLENTY)
    with pytest.raises(ConfigError, match=r"^video\.cache_dir: .*/clips isn't a folder that this node can write to"):
        store.clip(tmp_path / "a.mp4", video="a.mp4", budget=BUDGET)

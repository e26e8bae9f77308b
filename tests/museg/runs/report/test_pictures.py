from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from museg.runs.report.pictures import NUM_FRAMES, Filmstrips
from museg.runs.report.record import VideoPlace
from museg.video.decoding import decode_clip
from museg.video.pixel_budget import FrameBudget


@pytest.fixture
def root(tmp_path: Path, real_clip_paths: dict[str, Path]) -> Path:
    shutil.copy(real_clip_paths["bikes"], tmp_path / "bikes.mp4")
    (tmp_path / "damaged.mp4").write_bytes((tmp_path / "bikes.mp4").read_bytes()[:4000])
    return tmp_path


def test_a_strip_holds_frames_of_the_real_video_in_order(root: Path) -> None:
    with Filmstrips(VideoPlace(root=root, allow_outside=False)) as strips:
        strip = strips.of("bikes.mp4")
    assert strip is not None
    image = Image.open(io.BytesIO(strip.jpeg))
    width = image.width // NUM_FRAMES
    assert image.height * width <= 160 * 120
    budget = FrameBudget(fps=25, min_frames=4, max_frames=1000, min_pixels=784, max_pixels=20_000, total_pixels=10**9)
    clip = decode_clip(root / "bikes.mp4", video="bikes.mp4", budget=budget)
    for place in range(NUM_FRAMES):
        shown = np.asarray(
            image.crop((place * width, 0, (place + 1) * width, image.height)).resize(clip.frames.shape[2:0:-1]), float
        )
        middle_s = (place + 0.5) * clip.duration_s / NUM_FRAMES
        nearby = [
            abs(clip.frames[at] - shown).mean()
            for at, time_s in enumerate(clip.frame_times_s)
            if abs(time_s - middle_s) <= clip.duration_s / (2 * NUM_FRAMES)
        ]
        assert min(nearby) < 8


@pytest.mark.parametrize(
    "video", ["gone.mp4", "damaged.mp4", "../bikes.mp4", "/etc/passwd", "https://example.org/a.mp4", "\x00", ""]
)
def test_a_video_that_cant_be_read_has_no_pictures(root: Path, video: str) -> None:
    with Filmstrips(VideoPlace(root=root, allow_outside=False)) as strips:
        assert strips.of(video) is None


def test_pictures_stop_where_room_or_time_ends(root: Path) -> None:
    shutil.copy(root / "bikes.mp4", root / "again.mp4")
    with Filmstrips(VideoPlace(root=root, allow_outside=False)) as strips:
        one = strips.of("bikes.mp4")
        assert one is not None
        videos = ["gone.mp4", "bikes.mp4", "again.mp4"]
        assert list(strips.of_some(videos, max_bytes=10**6, within_s=60)) == ["bikes.mp4", "again.mp4"]
        assert list(strips.of_some(videos, max_bytes=len(one.jpeg), within_s=60)) == ["bikes.mp4"]
        assert strips.of_some(videos, max_bytes=10**6, within_s=-1) == {}

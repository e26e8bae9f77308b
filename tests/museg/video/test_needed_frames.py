"""Frames by the needed pictures alone, against decord decoding every picture in order: the same bytes, or none."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import decord
import numpy as np
import numpy.typing as npt
import pytest

from museg.video.h264 import needed_pictures
from museg.video.needed_frames import UnprovenError, coded_pictures, needed_frames
from tests.museg.video.footage import cut_without_encoding, rotated, write_video

IRREGULAR_TIMES_S = np.cumsum(np.r_[0.0, np.random.default_rng(0).uniform(0.02, 0.2, 99)]).tolist()
Recording = Callable[[Path], Path]


def recording(x264: str = "", *, height: int = 96, width: int = 128, **changes: object) -> Recording:
    """A hundred frames by x264 with the given parameters."""
    settings: dict[str, object] = {"num_frames": 100, "fps": Fraction(25), "height": height, "width": width}
    options = {"x264-params": x264} if x264 else {}
    return lambda path: write_video(path, **{**settings, "options": options, **changes})  # type: ignore[arg-type]


PROVEN: dict[str, Recording] = {
    "B-pictures that others refer to, short groups": recording(),
    "one long group": recording("keyint=250:scenecut=0"),
    "no B-pictures": recording("bframes=0"),
    "many B-pictures, four slices": recording("bframes=8:b-adapt=0:b-pyramid=normal:slices=4"),
    "open groups": recording("open-gop=1:bframes=3:keyint=20:min-keyint=20:scenecut=0"),
    "groups that are refreshed piece by piece": recording("intra-refresh=1:keyint=20:bframes=2"),
    "variable rate": recording(times_s=IRREGULAR_TIMES_S),
    "29.97 a second, a sound track": recording(fps=Fraction(30_000, 1001), audio=True),
    "width that isn't a multiple of 16, HD colours": recording("colormatrix=bt709:colorprim=bt709", width=182),
    "full range": recording(pixel_format="yuvj420p"),
}

UNPROVEN: dict[str, Recording] = {
    "interlaced": recording("tff=1", height=128),
    "hidden frames": lambda path: cut_without_encoding(recording()(path.with_name("whole.mp4")), path, start_s=0.32),
    "rotated": lambda path: rotated(recording()(path.with_name("lying.mp4")), path, degrees=90),
    "4:4:4": recording(pixel_format="yuv444p"),
    "HEVC": recording(codec="libx265"),
    "start codes": lambda path: recording()(path.with_suffix(".ts")),
}


def in_order(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """All frames and their times, by decord."""
    decord.logging.set_level(decord.logging.FATAL)
    reader = decord.VideoReader(str(path), num_threads=1)
    frames = np.stack([reader.next().asnumpy() for _ in range(len(reader))])
    return frames, reader.get_frame_timestamp(range(len(reader)))[:, 0].astype(np.float64)


@pytest.mark.parametrize("name", PROVEN)
def test_needed_pictures_give_the_same_bytes_as_decoding_everything(name: str, tmp_path: Path) -> None:
    path = PROVEN[name](tmp_path / "video.mp4")
    frames, starts_s = in_order(path)
    for indices in ([0, 14, 28, 43, 57, 71, 85, 99], [0, 0, 1, 2, 50], [97, 98], list(range(100))):
        found = list(needed_frames(path, np.array(indices), starts_s))
        np.testing.assert_array_equal(np.stack(found), frames[indices])


@pytest.mark.parametrize("name", UNPROVEN)
def test_a_stream_that_proves_nothing_is_refused(name: str, tmp_path: Path) -> None:
    path = UNPROVEN[name](tmp_path / "video.mp4")
    path = path if path.exists() else path.with_suffix(".ts")
    with pytest.raises(UnprovenError):
        list(needed_frames(path, np.array([0, 5]), np.arange(100) / 25))


def test_other_times_than_the_packets_are_refused(tmp_path: Path) -> None:
    path = recording()(tmp_path / "video.mp4")
    _, starts_s = in_order(path)
    later = starts_s.copy()
    later[50:] += 0.01
    for wrong in (later, starts_s[1:]):
        with pytest.raises(UnprovenError, match="shown frames"):
            list(needed_frames(path, np.array([0, 5]), wrong))


def test_damage_on_the_way_to_a_wanted_frame_is_never_concealed(tmp_path: Path) -> None:
    whole = recording()(tmp_path / "video.mp4")
    frames, starts_s = in_order(whole)
    content = whole.read_bytes()
    rng, refused = np.random.default_rng(0), 0
    for attempt in range(40):
        start = int(rng.integers(2_000, len(content) - 12_000))
        damaged = tmp_path / f"damaged-{attempt}.mp4"
        damaged.write_bytes(content[:start] + rng.bytes(64) + content[start + 64 :])
        try:
            found = list(needed_frames(damaged, np.array([10, 40, 70]), starts_s))
        except UnprovenError:
            refused += 1
        else:
            np.testing.assert_array_equal(np.stack(found), frames[[10, 40, 70]])
    assert refused > 10


def test_few_pictures_are_decoded_where_few_are_needed(tmp_path: Path) -> None:
    path = recording("bframes=3:b-adapt=0:keyint=20:scenecut=0")(tmp_path / "video.mp4")
    pictures = coded_pictures(path)
    shown = sorted(picture.pts for picture in pictures)
    assert len(shown) == 100
    assert sum(needed_pictures(pictures, {shown[0], shown[44]})) <= 8

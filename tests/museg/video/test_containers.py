from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import decord
import pytest

from museg.errors import VideoError
from museg.video.containers import HEADER_BYTES, is_video_container
from museg.video.paths import opened_video
from tests.museg.video.footage import write_video

PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("mp4", "libx264"),
        ("mov", "libx264"),
        ("3gp", "mpeg4"),
        ("mkv", "libx264"),
        ("avi", "mpeg4"),
        ("wmv", "wmv2"),
        ("flv", "libx264"),
        ("ts", "libx264"),
        ("m2ts", "libx264"),
        ("mpg", "mpeg2video"),
        ("vob", "mpeg2video"),
        ("mxf", "mpeg2video"),
        ("nut", "mpeg4"),
        ("h264", "libx264"),
        ("m4v", "mpeg4"),
        ("rm", "rv10"),
    ],
)
def test_what_encoders_write_is_a_video(tmp_path: Path, suffix: str, codec: str) -> None:
    path = write_video(tmp_path / f"video.{suffix}", num_frames=4, fps=Fraction(25), height=144, width=176, codec=codec)
    assert is_video_container(path.read_bytes()[:HEADER_BYTES])


@pytest.mark.parametrize("header", [b"OggS\x00\x02", b"DKIF\x00\x00\x20\x00VP90", b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81"])
def test_ogg_ivf_and_webm_are_videos(header: bytes) -> None:
    assert is_video_container(header + bytes(8))


@pytest.mark.parametrize(
    "text",
    [
        PLAYLIST.encode(),
        b"ID3\x04\x00\x00\x00\x00\x00\x02\x00\x00" + PLAYLIST.encode(),
        b"ID3\x04ftyp\x00\x02" + bytes(500) + PLAYLIST.encode(),
        b"ID3\x04G\x00\x00\x10\x00\x02" + PLAYLIST.encode(),
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"<?xml version='1.0'?><MPD>",
        b"v=0\nc=IN IP4 10.0.0.1\n",
        b"RIFF\x00\x00\x00\x00WAVEfmt ",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d",
        b"%PDF-1.7",
        b"G",
        b"",
    ],
)
def test_texts_sounds_and_pictures_arent(text: bytes) -> None:
    assert not is_video_container(text[:HEADER_BYTES])


def test_a_playlist_named_mp4_reads_no_file_outside_of_the_root(tmp_path: Path) -> None:
    secret = write_video(tmp_path / "secret.ts", num_frames=50, fps=Fraction(25), height=56, width=56)
    root = tmp_path / "videos"
    root.mkdir()
    (root / "list.mp4").write_text(PLAYLIST.format(secret=secret))
    assert len(decord.VideoReader(str(root / "list.mp4"))) == 50, "what the check is for"
    with pytest.raises(VideoError, match="isn't a video"), opened_video(root, "list.mp4"):
        pass

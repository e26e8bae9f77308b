"""An open video: which frames it shows and when, and those frames as stored.

decord says so and decodes too, all frames in order, unless the stream proves that most aren't needed
(museg/video/needed_frames.py). What decord can't open (AV1, say) PyAV reads by the same rule
(museg/video/av_footage.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import av
import decord
import numpy as np
import numpy.typing as npt

from museg.errors import VideoError
from museg.video.av_footage import AvFootage
from museg.video.limits import MAX_DURATION_S, MAX_FPS, DecodeLimits
from museg.video.needed_frames import UnprovenError, needed_frames

_NO_SUBSTITUTED_FRAMES = 1e-9
"""Share of frames that decord may silently replace by a neighbour; 0 would mean any number."""

_TIME_ROUNDING_S = 1e-6
"""decord's times are float32."""

_SOURCE_LOCATION = re.compile(r"\[\d\d:\d\d:\d\d\] \S+:\d+: ")


class Footage(Protocol):
    """A video that a decoder has open."""

    @property
    def decoder(self) -> str:
        """`decord` or `pyav`."""

    @property
    def intervals_s(self) -> npt.NDArray[np.float64]:
        """Start and end of each shown frame, ascending, `[N, 2]`, counted from the start of the video stream."""

    @property
    def fps(self) -> float:
        """Frames a second on average."""

    def frames(self, indices: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.uint8]]:
        """The shown frames at ascending indices, RGB and upright, each `[H, W, 3]` at its stored size.

        Raises:
            UnprovenError: begin again, by `frames_in_order`.
        """

    def frames_in_order(self, indices: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.uint8]]:
        """The same, with nothing left out on the way."""


def open_footage(path: Path, limits: DecodeLimits) -> Footage:
    """The video at `path`, once what it announces is within the limits; nothing is decoded yet.

    Raises VideoError, or what decord raises (`told_of` makes a VideoError of it).
    """
    readable = _require_announced(path, limits)
    footage: Footage
    try:
        footage = DecordFootage(path, limits)
    except (VideoError, decord.DECORDError):
        if not readable:
            raise
        footage = AvFootage(path, limits)
    _require_sane(footage)
    return footage


@contextmanager
def told_of(video: str) -> Iterator[None]:
    """Whatever a decoder raises inside, as a VideoError of one line that names the video and the reason."""
    try:
        yield
    except VideoError as error:
        raise VideoError(f"video {video}: {error}") from error
    except decord.DECORDLimitReachedError as error:
        raise VideoError(f"video {video}: some frames can't be decoded where they belong: re-encode it") from error
    except decord.DECORDError as error:
        reason = _SOURCE_LOCATION.sub("", str(error)).strip().splitlines()[0]
        raise VideoError(f"video {video}: decord can't decode it ({reason}): re-encode or remove it") from error
    except MemoryError:
        # FFmpeg's own is an av.FFmpegError too.
        raise
    except av.FFmpegError as error:
        raise VideoError(f"video {video}: PyAV can't decode it ({error.strerror}): re-encode or remove it") from error


class DecordFootage:
    """By decord. Frames that the container keeps for decoding only aren't shown: an edit list may begin inside a
    group of pictures."""

    decoder: Final = "decord"

    def __init__(self, path: Path, limits: DecodeLimits) -> None:
        self._path = path
        decord.logging.set_level(decord.logging.FATAL)
        try:
            self._reader = decord.VideoReader(
                str(path), ctx=decord.cpu(0), num_threads=1, fault_tol=_NO_SUBSTITUTED_FRAMES
            )
        except RuntimeError as error:
            raise VideoError("decord can't open it: it isn't a video, or its header is damaged") from error
        stored = len(self._reader)
        if stored == 0:
            raise VideoError("it holds no frames")
        _require_at_most(stored, limits.max_native_frames, "frames", "video.max_native_frames")
        try:
            intervals = np.asarray(self._reader.get_frame_timestamp(range(stored)), dtype=np.float64)
        except IndexError as error:
            raise VideoError("it doesn't say when its frames are shown: re-encode it") from error
        self.intervals_s = intervals[intervals[:, 0] > -_TIME_ROUNDING_S]
        """Hidden frames have negative times."""
        self.fps = float(self._reader.get_avg_fps())

    def frames(self, indices: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.uint8]]:
        return needed_frames(self._path, indices, self.intervals_s[:, 0])

    def frames_in_order(self, indices: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.uint8]]:
        """Every frame up to the last one is decoded in order: decord's `get_batch` and `skip_frames` seek between
        groups of pictures, which gives other frames than asked for where a group is open (x265's default), an edit list
        hides frames, or the rate varies.
        """
        num_decoded = 0
        for index in indices:
            while num_decoded <= index:
                frame = self._next_frame(num_decoded)
                num_decoded += 1
            yield frame.asnumpy()

    def _next_frame(self, num_decoded: int) -> decord.nd.NDArray:
        try:
            return self._reader.next()
        except StopIteration as error:
            raise VideoError(
                f"it ends after {num_decoded} of its {len(self.intervals_s)} frames: re-encode it"
            ) from error


def frames_of(footage: Footage, indices: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Each frame with its place in `indices`; places begin again at 0 where an attempt to skip frames was in vain."""
    try:
        yield from enumerate(footage.frames(indices))
    except UnprovenError:
        yield from enumerate(footage.frames_in_order(indices))


def _require_announced(path: Path, limits: DecodeLimits) -> bool:
    """Whether PyAV can open the video. Raises VideoError if it announces larger or more pictures than may be."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            streams = container.streams.video
            for stream in streams[:1]:
                if stream.codec_context is None:
                    return False
                area = stream.codec_context.width * stream.codec_context.height
                _require_at_most(area, limits.max_native_pixels, "pixels a picture", "video.max_native_pixels")
                _require_at_most(stream.frames, limits.max_native_frames, "frames", "video.max_native_frames")
            return bool(streams)
    except av.FFmpegError:
        return False


def _require_at_most(value: int, allowed: int, what: str, key: str) -> None:
    if value > allowed:
        raise VideoError(f"it has {value} {what}, more than {key}={allowed} allows")


def _require_sane(footage: Footage) -> None:
    count, fps = len(footage.intervals_s), footage.fps
    if not count or not math.isfinite(fps) or not 0 < fps <= MAX_FPS:
        raise VideoError(f"it shows {count} frames at {fps:g} a second: re-encode it")
    duration_s = float(footage.intervals_s[-1].max())
    if not math.isfinite(duration_s) or duration_s > MAX_DURATION_S or (np.diff(footage.intervals_s[:, 0]) < 0).any():
        raise VideoError(f"its frames' times make no sense (its end would be at {duration_s:g} s): re-encode it")

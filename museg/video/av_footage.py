"""Videos that decord can't open, read by PyAV under the same rule: every shown frame counts, known by its time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from museg.errors import VideoError
from museg.video.limits import DecodeLimits


class AvFootage:
    """An open video by PyAV (museg/video/footage.py says what each part is).

    Damage is never concealed: a damaged frame on the way to a wanted one ends in av.FFmpegError or VideoError.
    """

    decoder: Final = "pyav"

    def __init__(self, path: Path, limits: DecodeLimits) -> None:
        self._path = path
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            if stream.time_base is None or not stream.average_rate:
                raise VideoError("it doesn't say how fast its frames follow each other: re-encode it")
            self.fps = float(stream.average_rate)
            spans = sorted(_spans(container, stream, limits.max_native_frames))
            if not spans:
                raise VideoError("it holds no frames")
            start = spans[0][0] if stream.start_time is None else stream.start_time
            self._pts = [pts for pts, _ in spans if pts >= start]
            self._time_base = float(stream.time_base)
        starts_s = (np.asarray(self._pts, dtype=np.float64) - start) * self._time_base
        lengths_s = np.asarray([length for pts, length in spans if pts >= start], dtype=np.float64) * self._time_base
        lengths_s[lengths_s <= 0] = 1 / self.fps
        self.intervals_s = np.stack([starts_s, starts_s + lengths_s], axis=1)

    def frames(self, indices: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.uint8]]:
        return self.frames_in_order(indices)

    def frames_in_order(self, indices: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.uint8]]:
        with av.open(str(self._path), metadata_errors="replace") as container:
            codec = container.streams.video[0].codec_context
            codec.thread_count = 1
            codec.options = {"err_detect": "explode"}
            shown = container.decode(video=0)
            to_rgb = VideoReformatter()
            for pts, times in groupby(self._pts[index] for index in indices):
                pixels = _upright(_next_at(shown, pts), to_rgb)
                for _ in times:
                    yield pixels


def _spans(
    container: av.container.InputContainer, stream: av.VideoStream, max_frames: int
) -> Iterator[tuple[int, int]]:
    """Time and length of every stored frame that is shown, in the stream's time base, in decoding order."""
    count = 0
    for packet in container.demux(stream):
        if not packet.size or packet.is_discard:
            continue
        if packet.pts is None or packet.is_corrupt:
            raise VideoError("a frame without a time, or damaged: re-encode it")
        count += 1
        if count > max_frames:
            raise VideoError(f"it has more frames than video.max_native_frames={max_frames} allows")
        yield packet.pts, packet.duration or 0


def _next_at(frames: Iterator[av.VideoFrame], pts: int) -> av.VideoFrame:
    for frame in frames:
        if frame.is_corrupt:
            raise VideoError("a frame is damaged: re-encode it")
        if frame.pts == pts:
            return frame
    raise VideoError("some frames can't be decoded where they belong: re-encode it")


def _upright(frame: av.VideoFrame, to_rgb: VideoReformatter) -> npt.NDArray[np.uint8]:
    """RGB pixels turned as the container asks, by whole quarters, as decord does."""
    pixels: npt.NDArray[np.uint8] = (
        to_rgb.reformat(frame, format="rgb24", threads=1).to_ndarray().astype(np.uint8, copy=False)
    )
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels

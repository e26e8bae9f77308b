"""Decode a video: only the sampled frames, upright, at the size the policy sees.

decord says which frames a video holds and when; it decodes them too, all in order, unless the stream proves that most
aren't needed (museg/video/needed_frames.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import decord
import numpy as np
import numpy.typing as npt

from museg.errors import VideoError
from museg.video.clip import VideoClip
from museg.video.frame_sampling import sample_fps, sampled_frame_indices
from museg.video.needed_frames import UnprovenError, needed_frames
from museg.video.pixel_budget import FrameBudget, frame_size
from museg.video.resizing import resize

_NO_SUBSTITUTED_FRAMES = 1e-9
"""Share of frames that decord may silently replace by a neighbour; 0 would mean any number."""

_TIME_ROUNDING_S = 1e-6
"""decord's times are float32."""

_SOURCE_LOCATION = re.compile(r"\[\d\d:\d\d:\d\d\] \S+:\d+: ")


def decode_clip(path: Path, *, video: str, budget: FrameBudget) -> VideoClip:
    """Sample, decode and resize the video at `path`; `video` is its name in samples and messages.

    Times count from the start of the video stream, as decord gives them; the duration is the end of the last frame.
    Frames that the container keeps for decoding only (an edit list that starts inside a group of pictures) are neither
    counted nor shown. Rotation stored in the container is applied. Resizing is bicubic with antialiasing, rounded to
    uint8, as torchvision resizes uint8 tensors.
    Raises VideoError, naming the video and the reason, if it is missing, not a video, empty, damaged or too elongated.
    """
    _require_file(path, video)
    try:
        return _Footage(path).clip(video, budget)
    except VideoError as error:
        raise VideoError(f"video {video}: {error}") from error
    except decord.DECORDLimitReachedError as error:
        raise VideoError(f"video {video}: some frames can't be decoded where they belong: re-encode it") from error
    except decord.DECORDError as error:
        reason = _SOURCE_LOCATION.sub("", str(error)).strip().splitlines()[0]
        raise VideoError(f"video {video}: decord can't decode it ({reason}): re-encode or remove it") from error


def _require_file(path: Path, video: str) -> None:
    if not path.exists():
        raise VideoError(f"video {video}: there is no file {path}: check data.video_root and the sample's `video`")
    if not path.is_file():
        raise VideoError(f"video {video}: {path} isn't a file")
    if path.stat().st_size == 0:
        raise VideoError(f"video {video}: {path} is empty")


class _Footage:
    """An open video: what it holds, and its frames by presentation order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        decord.logging.set_level(decord.logging.FATAL)
        try:
            self._reader = decord.VideoReader(
                str(path), ctx=decord.cpu(0), num_threads=1, fault_tol=_NO_SUBSTITUTED_FRAMES
            )
        except RuntimeError as error:
            raise VideoError("decord can't open it: it isn't a video, or its header is damaged") from error
        if len(self._reader) == 0:
            raise VideoError("it holds no frames")
        intervals = np.asarray(self._reader.get_frame_timestamp(range(len(self._reader))), dtype=np.float64)
        self.intervals_s = intervals[intervals[:, 0] > -_TIME_ROUNDING_S]
        """Start and end of each shown frame, `[N, 2]`; hidden frames have negative times."""
        self.fps = float(self._reader.get_avg_fps())
        if not self.num_frames or not math.isfinite(self.fps) or self.fps <= 0:
            raise VideoError(f"it shows {self.num_frames} frames at {self.fps} a second")

    @property
    def num_frames(self) -> int:
        return len(self.intervals_s)

    def clip(self, video: str, budget: FrameBudget) -> VideoClip:
        indices = sampled_frame_indices(
            self.num_frames, self.fps, fps=budget.fps, min_frames=budget.min_frames, max_frames=budget.max_frames
        )
        return VideoClip(
            video=video,
            frames=self._resized_frames(indices, budget),
            frame_times_s=self.intervals_s[indices, 0],
            sample_fps=sample_fps(len(indices), self.num_frames, self.fps),
            duration_s=float(self.intervals_s[-1].max()),
            native_fps=self.fps,
            num_native_frames=self.num_frames,
        )

    def _resized_frames(self, indices: npt.NDArray[np.int64], budget: FrameBudget) -> npt.NDArray[np.uint8]:
        try:
            return _resized(needed_frames(self._path, indices, self.intervals_s[:, 0]), len(indices), budget)
        except UnprovenError:
            return _resized(self._frames_in_order(indices), len(indices), budget)

    def _frames_in_order(self, indices: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.uint8]]:
        """The frames at ascending indices, each `[H, W, 3]` at its stored size.

        Every frame up to the last one is decoded in order: decord's `get_batch` and `skip_frames` seek between groups
        of pictures, which gives other frames than asked for where a group is open (x265's default), an edit list hides
        frames, or the rate varies.
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
            raise VideoError(f"it ends after {num_decoded} of its {self.num_frames} frames: re-encode it") from error


def _resized(frames: Iterator[npt.NDArray[np.uint8]], num_frames: int, budget: FrameBudget) -> npt.NDArray[np.uint8]:
    """The frames within the budget, `[F, H, W, 3]`; one at a time is held at its stored size."""
    first = next(frames)
    height, width = frame_size(first.shape[0], first.shape[1], num_frames, budget)
    resized = np.empty((num_frames, height, width, 3), dtype=np.uint8)
    for place, frame in enumerate(chain([first], frames)):
        resized[place] = resize(frame, height, width)
    return resized

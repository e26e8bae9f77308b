"""Decode a video: only the sampled frames, upright, at the size the policy sees.

In this process, where a decoder's crash is the caller's; museg/video/decoder.py does the same beside it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from museg.errors import VideoError
from museg.video.clip import VideoClip
from museg.video.clip_plan import ClipPlan
from museg.video.footage import frames_of, open_footage, told_of
from museg.video.limits import DecodeLimits
from museg.video.pixel_budget import FrameBudget, frame_size
from museg.video.resizing import resize


def decode_clip(path: Path, *, video: str, budget: FrameBudget, limits: DecodeLimits | None = None) -> VideoClip:
    """Sample, decode and resize the video at `path`; `video` is its name in samples and messages.

    Times count from the start of the video stream, as decord gives them; the duration is the end of the last frame.
    Frames that the container keeps for decoding only (an edit list that starts inside a group of pictures) are neither
    counted nor shown. Rotation stored in the container is applied. Resizing is bicubic with antialiasing, rounded to
    uint8, as torchvision resizes uint8 tensors.
    Raises VideoError, naming the video and the reason, if it is missing, not a video, empty, damaged, too elongated or
    beyond the limits.
    """
    limits = limits or DecodeLimits()
    require_file(path, video, limits)
    with told_of(video):
        footage = open_footage(path, limits)
        plan = ClipPlan.of(footage, fps=budget.fps, min_frames=budget.min_frames, max_frames=budget.max_frames)
        resized = ResizedFrames(len(plan.indices), budget)
        for place, frame in frames_of(footage, np.asarray(plan.indices)):
            resized.put(place, frame)
    return planned_clip(plan, resized.frames, video)


def require_file(path: Path, video: str, limits: DecodeLimits) -> None:
    """Raises VideoError unless there is a regular file of a size that is allowed."""
    if not path.exists():
        raise VideoError(f"video {video}: there is no file {path}: check data.video_root and the sample's `video`")
    if not path.is_file():
        raise VideoError(f"video {video}: {path} isn't a file")
    size = path.stat().st_size
    if size == 0:
        raise VideoError(f"video {video}: {path} is empty")
    if size > limits.max_file_bytes:
        raise VideoError(
            f"video {video}: the file has {size} bytes, more than video.max_file_gib={limits.max_file_gib:g} allows"
        )


class ResizedFrames:
    """A clip's frames within the budget, filled one by one; one at a time is held at its stored size."""

    def __init__(self, num_frames: int, budget: FrameBudget) -> None:
        self._num_frames = num_frames
        self._budget = budget
        self.frames: npt.NDArray[np.uint8] = np.empty((0, 0, 0, 3), dtype=np.uint8)
        """`[F, H, W, 3]`"""

    def put(self, place: int, frame: npt.NDArray[np.uint8]) -> None:
        """Resize the frame for its place; the one for place 0, the first to come, sets the size of all.

        Raises VideoError if frames are too elongated.
        """
        if place == 0:
            height, width = frame_size(frame.shape[0], frame.shape[1], self._num_frames, self._budget)
            self.frames = np.empty((self._num_frames, height, width, 3), dtype=np.uint8)
        self.frames[place] = resize(frame, self.frames.shape[1], self.frames.shape[2])


def planned_clip(plan: ClipPlan, frames: npt.NDArray[np.uint8], video: str) -> VideoClip:
    """The clip, once its frames are there."""
    return VideoClip(
        video=video,
        frames=frames,
        frame_times_s=np.asarray(plan.frame_times_s, dtype=np.float64),
        sample_fps=plan.sample_fps,
        duration_s=plan.duration_s,
        native_fps=plan.native_fps,
        num_native_frames=plan.num_native_frames,
        decoder=plan.decoder,
    )

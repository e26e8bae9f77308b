"""A decoded video at the frames and the size that the policy sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFacts:
    """What is known of a decoded clip without holding its frames."""

    duration_s: float
    """True duration of the video."""
    native_fps: float
    sample_fps: float
    """Sampled frames a second, as the temporal positions have it."""
    num_frames: int
    """Sampled frames."""
    decoder: str = "decord"
    """`pyav` where decord couldn't open the video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoClip:
    """Frames of one video, sampled and resized once for generator, learner and reward alike.

    Shapes: F sampled frames, H × W their final size in pixels (multiples of 28).
    """

    video: str
    """Path as the sample names it."""
    frames: npt.NDArray[np.uint8]
    """RGB, `[F, H, W, 3]`, contiguous, so that processes can share them without a copy."""
    frame_times_s: npt.NDArray[np.float64]
    """Presentation time of each sampled frame, `[F]`."""
    sample_fps: float
    """F / number of stored frames × native fps; what reaches the temporal positions."""
    duration_s: float
    """True duration of the video."""
    native_fps: float
    num_native_frames: int
    decoder: str = "decord"
    """`pyav` where decord couldn't open the video."""

    @property
    def facts(self) -> ClipFacts:
        return ClipFacts(
            duration_s=self.duration_s,
            native_fps=self.native_fps,
            sample_fps=self.sample_fps,
            num_frames=len(self.frames),
            decoder=self.decoder,
        )

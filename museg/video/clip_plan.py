"""Which frames of an open video become its clip: known before any is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from museg.video.footage import Footage
from museg.video.frame_sampling import sample_fps, sampled_frame_indices


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPlan:
    """A clip without its pixels, of values that JSON keeps exactly. F sampled frames."""

    indices: list[int]
    """Of the sampled frames among the shown ones, ascending, `[F]`."""
    frame_times_s: list[float]
    """`[F]`"""
    sample_fps: float
    duration_s: float
    native_fps: float
    num_native_frames: int
    decoder: str

    @classmethod
    def of(cls, footage: Footage, *, fps: float, min_frames: int, max_frames: int) -> ClipPlan:
        """The frames that the policy sees of a video, by its budget's rate and bounds."""
        total = len(footage.intervals_s)
        indices = sampled_frame_indices(total, footage.fps, fps=fps, min_frames=min_frames, max_frames=max_frames)
        return cls(
            indices=indices.tolist(),
            frame_times_s=footage.intervals_s[indices, 0].tolist(),
            sample_fps=sample_fps(len(indices), total, footage.fps),
            duration_s=float(footage.intervals_s[-1].max()),
            native_fps=footage.fps,
            num_native_frames=total,
            decoder=footage.decoder,
        )

"""How large a frame may be: one pixel budget a video, shared among its frames (qwen-vl-utils, REFERENCE section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from museg.config.schema import VideoConfig
from museg.errors import VideoError
from museg.video.frame_sampling import TEMPORAL_PATCH

PATCH = 28
"""Side in pixels of one visual token: a 14-pixel patch, merged 2 × 2."""

MAX_ASPECT_RATIO = 200
"""Qwen's limit of long to short side."""

_BUDGET_ABOVE_MINIMUM = 1.05


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameBudget:
    """How many frames of a video the policy sees, and how large; areas in pixels."""

    fps: float
    """Frames sampled a second."""
    min_frames: int
    max_frames: int
    min_pixels: int
    """Least area of a frame."""
    max_pixels: int
    """Largest area of a frame."""
    total_pixels: int
    """Area of all frames of a video, one of each temporal pair counted."""

    @classmethod
    def from_config(cls, video: VideoConfig, *, evaluation: bool) -> FrameBudget:
        """The budget of training, or of evaluation with its own `eval_max_frames`."""
        return cls(
            fps=video.fps,
            min_frames=video.min_frames,
            max_frames=video.eval_max_frames if evaluation else video.max_frames,
            min_pixels=video.min_pixels,
            max_pixels=video.max_pixels,
            total_pixels=video.total_pixels,
        )

    def pixels_per_frame(self, num_frames: int) -> float:
        """max(min(max_pixels, total_pixels / F · 2), int(1.05 · min_pixels))."""
        share = self.total_pixels / num_frames * TEMPORAL_PATCH
        return max(min(self.max_pixels, share), int(self.min_pixels * _BUDGET_ABOVE_MINIMUM))


def frame_size(height: int, width: int, num_frames: int, budget: FrameBudget) -> tuple[int, int]:
    """Height and width, multiples of 28, that a frame of the given size is resized to.

    Qwen's smart_resize: each side rounded to a multiple of 28; if the area then exceeds the frame's budget, both sides
    are scaled down to it and floored; if it falls short of `min_pixels`, scaled up to that and ceiled. No side is ever
    below 28, so a very low budget ends at 28 × 28. Raises VideoError if one side is more than 200 times the other.
    """
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise VideoError(
            f"frames of {width} × {height} pixels are too elongated: the longer side may be at most "
            f"{MAX_ASPECT_RATIO} times the shorter"
        )
    sides = [max(PATCH, round(side / PATCH) * PATCH) for side in (height, width)]
    most = budget.pixels_per_frame(num_frames)
    if sides[0] * sides[1] > most:
        shrink = math.sqrt(height * width / most)
        sides = [max(PATCH, math.floor(side / shrink / PATCH) * PATCH) for side in (height, width)]
    elif sides[0] * sides[1] < budget.min_pixels:
        grow = math.sqrt(budget.min_pixels / (height * width))
        sides = [math.ceil(side * grow / PATCH) * PATCH for side in (height, width)]
    return sides[0], sides[1]

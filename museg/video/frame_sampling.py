"""Which stored frames the policy sees: the authors' sampling at a fixed rate (qwen-vl-utils, REFERENCE section 3)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

TEMPORAL_PATCH = 2
"""Frames that one visual token of Qwen2.5-VL covers, so a clip's frames come in pairs."""


def sampled_frame_indices(
    num_native_frames: int, native_fps: float, *, fps: float, min_frames: int, max_frames: int
) -> npt.NDArray[np.int64]:
    """Indices of the sampled frames among the stored ones, `[F]`, ascending, F even.

    F = floor_even(min(max(duration · fps, min_frames), max_frames, num_native_frames)) with duration =
    num_native_frames / native_fps; the indices are `linspace(0, num_native_frames - 1, F).round()`.
    A video of 2 or 3 frames gives its first and its last; a single frame is given twice, since a temporal patch needs
    two.
    """
    wanted = num_native_frames / native_fps * fps
    wanted = min(max(wanted, _ceil_even(min_frames)), _floor_even(max_frames), num_native_frames)
    num_frames = max(_floor_even(wanted), TEMPORAL_PATCH)
    return np.linspace(0, num_native_frames - 1, num_frames).round().astype(np.int64)


def sample_fps(num_frames: int, num_native_frames: int, native_fps: float) -> float:
    """Sampled frames a second of video; a step of the temporal positions is `TEMPORAL_PATCH / sample_fps` seconds."""
    return num_frames / num_native_frames * native_fps


def _floor_even(value: float) -> int:
    return math.floor(value / TEMPORAL_PATCH) * TEMPORAL_PATCH


def _ceil_even(value: float) -> int:
    return math.ceil(value / TEMPORAL_PATCH) * TEMPORAL_PATCH

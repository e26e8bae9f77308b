"""A prompt and clips of any rate and size, of noise."""

from __future__ import annotations

import numpy as np

from museg.video.clip import VideoClip

PROMPT = (
    "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>When does it happen?<|im_end|>\n"
    "<|im_start|>assistant\n"
)


def make_clip(num_frames: int = 8, sample_fps: float = 1.934, height: int = 56, width: int = 84) -> VideoClip:
    rng = np.random.default_rng(num_frames)
    return VideoClip(
        video="clip.mp4",
        frames=rng.integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8),
        frame_times_s=np.arange(num_frames) / sample_fps,
        sample_fps=sample_fps,
        duration_s=num_frames / sample_fps,
        native_fps=15 * sample_fps,
        num_native_frames=15 * num_frames,
    )

"""The smallest micro-batch there is, for ranks that must make a forward and have none to make."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from actors.learner.micro_batch import PromptCompletions
from museg.policy.inputs import VIDEO_PLACEHOLDER
from museg.policy.vision import EmbeddedVideo
from museg.video.clip import VideoClip


def filler(token_id: int, embed: Callable[[VideoClip], EmbeddedVideo] | None) -> PromptCompletions:
    """One completion of one token about two black frames; it passes every module that a real one passes.

    `embed` is the frozen tower's, which is none of those modules.
    """
    clip = VideoClip(
        video="filler",
        frames=np.zeros((2, 28, 28, 3), dtype=np.uint8),
        frame_times_s=np.array([0.0, 0.5]),
        sample_fps=2.0,
        duration_s=1.0,
        native_fps=2.0,
        num_native_frames=2,
    )
    return PromptCompletions(
        prompt=f"<|vision_start|>{VIDEO_PLACEHOLDER}<|vision_end|>",
        clip=clip if embed is None else embed(clip),
        completions=[[token_id]],
    )

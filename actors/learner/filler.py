"""The smallest group there is, for ranks that must make a forward and have none to make."""

from __future__ import annotations

import numpy as np

from museg.data.samples import Sample
from museg.policy.inputs import VIDEO_PLACEHOLDER
from museg.rewards.scoring import RewardBreakdown
from museg.rollout.completions import Completion, Group
from museg.video.clip import VideoClip


def filler_group(token_id: int) -> tuple[Group, VideoClip]:
    """A group of one completion of one token about two black frames; it passes every module that a real one passes."""
    sample = Sample(idx=-1, problem="", solution=(), video="filler", task="tvg")
    completion = Completion(token_ids=(token_id,), logprobs=(0.0,), text="", finish_reason="stop", weights_version=0)
    group = Group(
        sample=sample,
        prompt=f"<|vision_start|>{VIDEO_PLACEHOLDER}<|vision_end|>",
        completions=(completion,),
        rewards=(RewardBreakdown(values={}, total=0.0),),
        advantages=(0.0,),
    )
    clip = VideoClip(
        video="filler",
        frames=np.zeros((2, 28, 28, 3), dtype=np.uint8),
        frame_times_s=np.array([0.0, 0.5]),
        sample_fps=2.0,
        duration_s=1.0,
        native_fps=2.0,
        num_native_frames=2,
    )
    return group, clip

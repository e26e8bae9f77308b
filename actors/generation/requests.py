"""What a generation worker is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray

from museg.rollout.completions import Completion, SamplingSettings
from museg.video.clip import VideoClip

if TYPE_CHECKING:
    # Brings transformers along, which takes seconds that the driver and a worker's start can do without.
    from museg.policy.vision import EmbeddedVideo


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One prompt about one clip, to be answered `sampling.num_completions` times."""

    key: int
    """Finds the answer among those of one call."""
    prompt: str
    """Chat-formatted text with one `<|video_pad|>`."""
    clip: VideoClip | EmbeddedVideo | ray.ObjectRef
    seed: int
    """Completion g is drawn with `seed + g`: the same tokens again, whatever else the engine is busy with."""
    sampling: SamplingSettings
    num_prompt_tokens: int = 0
    """Video included, where the caller knows."""

    @property
    def max_num_tokens(self) -> int:
        """Tokens that the engine computes if no completion stops by itself."""
        return self.num_prompt_tokens + self.sampling.num_completions * self.sampling.max_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedGroup:
    """The completions of one request, in the order of their seeds."""

    key: int
    completions: tuple[Completion, ...]

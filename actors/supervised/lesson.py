"""A demonstration on its way to the learner."""

from __future__ import annotations

from dataclasses import dataclass

import ray

from museg.sft.demonstrations import Demonstration


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What to answer, and the video that the question is about."""

    demonstration: Demonstration
    clip: ray.ObjectRef
    """Of a `VideoClip`, or of an `EmbeddedVideo` where the tower is frozen."""
    num_prompt_tokens: int
    """The video's included."""

    @property
    def num_tokens(self) -> int:
        """Of the prompt and the target."""
        return self.num_prompt_tokens + len(self.demonstration.target_ids)

"""All reward workers as one: videos decoded, completions scored."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import ray
from ray.actor import ActorHandle

from actors.cluster import within
from actors.reward import DecodeOutcome
from museg.data.samples import Sample
from museg.rewards.scoring import RewardBreakdown
from museg.video.clip import ClipFacts
from museg.video.pixel_budget import FrameBudget


class RewardPool:
    """Hands work to the reward workers in turn."""

    def __init__(self, workers: Sequence[ActorHandle], timeout_s: float) -> None:
        self.workers = list(workers)
        self.timeout_s = timeout_s
        self._turn = itertools.cycle(self.workers)

    async def decode(self, video: str, budget: FrameBudget) -> tuple[DecodeOutcome, ray.ObjectRef]:
        """The outcome and a reference to the clip, whose frames stay in the object store."""
        outcome_ref, clip_ref = next(self._turn).decode.options(num_returns=2).remote(video, budget)
        outcome = await within(self.timeout_s, f"decoding {video} (reward.timeout_s)", outcome_ref)
        return outcome, clip_ref

    async def score(
        self, sample: Sample, texts: Sequence[str], clip: ClipFacts | None, phase: int
    ) -> list[RewardBreakdown]:
        """The rewards of one group's completions, by the rules of a phase (its index)."""
        ref = next(self._turn).score.remote(sample, texts, clip, phase)
        rewards: list[RewardBreakdown] = await within(
            self.timeout_s, f"scoring sample {sample.idx} (reward.timeout_s)", ref
        )
        return rewards

"""All reward workers as one: videos decoded, completions scored."""

from __future__ import annotations

from collections.abc import Sequence

import ray

from actors.cluster import within
from actors.faults.seat import Seat
from actors.occupation import Occupation
from actors.reward.worker import DecodeOutcome
from museg.data.samples import Sample
from museg.rewards.scoring import RewardBreakdown
from museg.video.clip import ClipFacts
from museg.video.pixel_budget import FrameBudget


class RewardPool:
    """Hands each piece of work to the worker with the fewest calls outstanding.

    Who does it changes nothing: the workers' methods are pure.
    """

    def __init__(self, seats: Sequence[Seat], timeout_s: float, occupation: Occupation | None = None) -> None:
        self.seats = list(seats)
        self.timeout_s = timeout_s
        self.occupation = occupation or Occupation()

    async def decode(self, video: str, budget: FrameBudget) -> tuple[DecodeOutcome, ray.ObjectRef]:
        """The outcome and a reference to the clip, whose frames stay in the object store."""
        rank = self._least_busy()
        with self.occupation.of(_name(rank)):
            outcome_ref, clip_ref = self.seats[rank].actor.decode.options(num_returns=2).remote(video, budget)
            outcome = await within(self.timeout_s, f"decoding {video} (reward.timeout_s)", outcome_ref)
        return outcome, clip_ref

    async def score(
        self, sample: Sample, texts: Sequence[str], clip: ClipFacts | None, phase: int
    ) -> list[RewardBreakdown]:
        """The rewards of one group's completions, by the rules of a phase (its index)."""
        rank = self._least_busy()
        with self.occupation.of(_name(rank)):
            ref = self.seats[rank].actor.score.remote(sample, texts, clip, phase)
            rewards: list[RewardBreakdown] = await within(
                self.timeout_s, f"scoring sample {sample.idx} (reward.timeout_s)", ref
            )
        return rewards

    def _least_busy(self) -> int:
        return min(range(len(self.seats)), key=lambda rank: self.occupation.outstanding(_name(rank)))


def _name(rank: int) -> str:
    return f"reward-{rank}"

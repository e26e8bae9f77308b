"""All learner ranks as one policy: groups or demonstrations in, one optimizer step out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from actors.cluster import within
from actors.faults.seat import Seat
from actors.learner.stats import DemonstrationStats, GroupStats, StepStats
from actors.learning.rank import LearnerRank
from actors.learning.step_learning import StepLearning, Update
from actors.occupation import Occupation
from actors.phase_start import PhaseStart
from actors.rollout.rollouts import Rollout
from actors.supervised.lesson import Lesson
from museg.config.schema import Config
from museg.grpo.aggregation import StepTotals
from museg.rollout.completions import Group
from museg.rollout.micro_batches import MicroBatcher


class LearnerGang:
    """K ranks that always act together: every call runs on all of them, but for micro-batches and videos."""

    def __init__(self, seats: Sequence[Seat], config: Config, occupation: Occupation) -> None:
        """`occupation` counts what the ranks are sent to learn from, under their seats' names."""
        self.seats = list(seats)
        self.timeout_s = config.learner.timeout_s
        self.micro_batch_tokens = config.learner.micro_batch_tokens
        self.updates_per_rollout = config.grpo.updates_per_rollout
        self._ranks = [LearnerRank(seat, occupation) for seat in seats]

    async def connect(self, start: PhaseStart | None = None) -> None:
        """Form the process group and build the DeepSpeed engine for a phase (by default, that of a run's start)."""
        address, port = await within(self.timeout_s, "learner 0", self.seats[0].actor.rendezvous_address.remote())
        await self._on_all("the learners' process group", "connect", address, port, start)

    async def begin_phase(self, start: PhaseStart) -> None:
        """Go over to the next phase. The weights stay as they are; the optimizer begins anew if the phase restarts."""
        await self._on_all(f"the learners' change to phase '{start.phase.name}'", "begin_phase", start)

    def begin_step(self, totals: StepTotals) -> StepLearning:
        """Begin the optimizer steps of a GRPO step, each on all its groups.

        What the groups are packed to and which rank computes it follows from their tokens and their order alone.
        """

        def accumulate(rank: LearnerRank, rollouts: Sequence[Rollout]) -> Awaitable[list[GroupStats]]:
            groups = [_without_annotation(rollout.group) for rollout in rollouts]
            return rank.accumulate("accumulate", groups, [rollout.clip for rollout in rollouts], totals)

        update: Update[Rollout, GroupStats] = Update(
            self._ranks, self._batcher(totals.num_groups), accumulate, self.timeout_s
        )
        return StepLearning(update, self.updates_per_rollout)

    async def learn_supervised(self, lessons: Sequence[Lesson]) -> tuple[list[DemonstrationStats], StepStats]:
        """One optimizer step on all lessons of a step; statistics come back in their order. Raises as a step does."""

        def accumulate(rank: LearnerRank, some: Sequence[Lesson]) -> Awaitable[list[DemonstrationStats]]:
            demonstrations, clips = [lesson.demonstration for lesson in some], [lesson.clip for lesson in some]
            return rank.accumulate("accumulate_supervised", demonstrations, clips, len(lessons))

        update = Update(self._ranks, self._batcher(len(lessons)), accumulate, self.timeout_s)
        longest_first = sorted(range(len(lessons)), key=lambda index: -lessons[index].num_tokens)
        for index in longest_first:
            update.add(lessons[index])
        stats, step_stats = await update.finish()
        by_index = dict(zip(longest_first, stats, strict=True))
        return [by_index[index] for index in range(len(lessons))], step_stats

    def embed(self, clip: ray.ObjectRef) -> ray.ObjectRef:
        """Run the frozen vision tower over a clip, on the least busy rank; a reference to the `EmbeddedVideo`."""
        return min(self._ranks, key=LearnerRank.outstanding).embed(clip)

    async def save(self, checkpoint: Path) -> None:
        """Write `hf/` and `state/` into the folder."""
        await self._on_all("writing the checkpoint's hf folder", "save_hf", checkpoint / "hf")
        await self._on_all("writing the checkpoint's state", "save_state", checkpoint / "state")

    async def load(self, checkpoint: Path) -> None:
        """Take up weights, optimizer, schedule and RNG of a checkpoint."""
        await self._on_all("reading the checkpoint's state", "load_state", checkpoint / "state")

    def _batcher(self, num_items: int) -> MicroBatcher[Any]:
        return MicroBatcher(num_items=num_items, num_ranks=len(self.seats), max_tokens=self.micro_batch_tokens)

    async def _on_all(self, what: str, method: str, *args: object) -> None:
        calls = [getattr(seat.actor, method).remote(*args) for seat in self.seats]
        await within(self.timeout_s, f"{what} (learner.timeout_s)", asyncio.gather(*calls))


def _without_annotation(group: Group) -> Group:
    """The group as the learner may see it: what was sampled and what it earned, not what was right."""
    return replace(group, sample=replace(group.sample, solution=(), response=None))

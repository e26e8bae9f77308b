"""One step's learning, begun while the step is still being sampled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from actors.cluster import within
from actors.learner.stats import GroupStats, StepStats
from actors.learner.updates import group_stats_of_step, stats_of_ranks, stats_of_step
from actors.learning.rank import LearnerRank
from actors.rollout.rollouts import Rollout
from museg.rollout.micro_batches import Item, MicroBatch, MicroBatcher

Stats = TypeVar("Stats")


class Update(Generic[Item, Stats]):
    """One optimizer step on items that come one by one: each micro-batch is sent off as soon as it is closed.

    Nothing is waited for before `finish`, and what fails before is raised there. Whoever gives the update up has
    nothing to clean; but what the ranks have added to their gradients stays, so the learner can then only be ended.
    """

    def __init__(
        self,
        ranks: Sequence[LearnerRank],
        batcher: MicroBatcher[Item],
        accumulate: Callable[[LearnerRank, Sequence[Item]], Awaitable[Sequence[Stats]]],
        timeout_s: float,
    ) -> None:
        """`accumulate` has a rank add some items to its gradient; the statistics are in the items' order."""
        self._ranks = ranks
        self._batcher = batcher
        self._accumulate = accumulate
        self._timeout_s = timeout_s
        self._sent: list[MicroBatch[Item]] = []
        self._answers: list[Awaitable[Sequence[Stats]]] = []

    def add(self, item: Item) -> None:
        """Take the next item; never waits."""
        self._send(self._batcher.add(item))

    async def finish(self) -> tuple[list[Stats], StepStats]:
        """Step once all that was added has been learned from; statistics come back in the order of `add`.

        Raises:
            DeadlineError: it took longer than `learner.timeout_s`.
            DivergedError: a loss or the gradient wasn't finite.
            RayError: a rank failed or died.
        """
        self._send(self._batcher.flush())
        # `step` goes out at once: a rank that is done with its share keeps the others company from within it.
        stepping = [rank.step() for rank in self._ranks]
        answers, self._answers = self._answers, []
        stats, step_stats = await within(
            self._timeout_s,
            "the learners' step (learner.timeout_s)",
            asyncio.gather(asyncio.gather(*answers), asyncio.gather(*stepping)),
        )
        return [one for of_micro_batch in stats for one in of_micro_batch], stats_of_ranks(step_stats)

    async def repeat(self) -> tuple[list[Stats], StepStats]:
        """Another optimizer step on the same micro-batches, each on the rank that had it. Raises as `finish`."""
        again, self._sent = self._sent, []
        self._send(again)
        return await self.finish()

    def _send(self, micro_batches: Sequence[MicroBatch[Item]]) -> None:
        for micro_batch in micro_batches:
            self._sent.append(micro_batch)
            self._answers.append(self._accumulate(self._ranks[micro_batch.rank], micro_batch.items))


class StepLearning:
    """What the trainer adds a step's rollouts to, in the order of learning.

    learning = gang.begin_step(totals)
    learning.add(rollout)              # as they come
    group_stats, step_stats = await learning.finish()
    """

    def __init__(self, update: Update[Rollout, GroupStats], num_updates: int) -> None:
        """`num_updates` is `grpo.updates_per_rollout`."""
        self._update = update
        self._num_updates = num_updates

    def add(self, rollout: Rollout) -> None:
        """Take the next rollout; never waits."""
        self._update.add(rollout)

    async def finish(self) -> tuple[list[GroupStats], StepStats]:
        """All the step's updates; statistics come back in the order of `add`. Raises as `Update.finish`."""
        first = await self._update.finish()
        updates = [first, *[await self._update.repeat() for _ in range(1, self._num_updates)]]
        group_stats, step_stats = zip(*updates, strict=True)
        return group_stats_of_step(group_stats), stats_of_step(step_stats)

"""One step's learning, begun while the step is still being sampled."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from actors.learner.stats import GroupStats, StepStats
from actors.learner.updates import group_stats_of_step, stats_of_ranks, stats_of_step
from actors.learning.rank import LearnerRank
from actors.rollout.rollouts import Rollout
from actors.waiting import within
from museg.rollout.micro_batches import Item, MicroBatch, MicroBatcher

Stats = TypeVar("Stats")


class Update(Generic[Item, Stats]):
    """One optimizer step on items that come one by one: each micro-batch is sent off as soon as it can be computed.

    That is when it is closed, or, where ranks can't compute alone, when each of them has one: a rank is never left
    waiting for another in the midst of one, and between two all ranks are at the same point.

    Nothing is waited for before `finish`, and what fails before is raised there. Whoever gives the update up has
    nothing to clean; but what the ranks have added to their gradients stays, so the ranks can then only be replaced.
    """

    def __init__(
        self,
        ranks: Sequence[LearnerRank],
        batcher: MicroBatcher[Item],
        accumulate: Callable[[LearnerRank, Sequence[Item]], Awaitable[Sequence[Stats]]],
        timeout_s: float,
        *,
        in_rounds: bool = False,
    ) -> None:
        """`accumulate` has a rank add some items to its gradient; the statistics are in the items' order.

        `in_rounds` where a micro-batch takes all ranks.
        """
        self._ranks = ranks
        self._batcher = batcher
        self._accumulate = accumulate
        self._timeout_s = timeout_s
        self._in_rounds = in_rounds
        self._dealt: list[MicroBatch[Item]] = []
        self._held: list[deque[int]] = [deque() for _ in ranks]
        """Of each rank, places in `_dealt` of what it hasn't been sent."""
        self._answers: dict[int, Awaitable[Sequence[Stats]]] = {}
        """By the place in `_dealt`."""

    def add(self, item: Item) -> None:
        """Take the next item; never waits."""
        self._send(self._batcher.add(item))

    async def finish(self) -> tuple[list[Stats], StepStats]:
        """Step once all that was added has been learned from; statistics come back in the order of `add`.

        Raises:
            DeadlineError: it took longer than `learner.timeout_s`.
            RayError: a rank failed or died.
        """
        self._send(self._batcher.flush(), last=True)
        # `step` goes out at once: a rank that is done with its share keeps the others company from within it.
        stepping = [rank.step() for rank in self._ranks]
        answers = [self._answers[place] for place in range(len(self._dealt))]
        stats, step_stats = await within(
            self._timeout_s,
            "the learners' step (learner.timeout_s)",
            asyncio.gather(asyncio.gather(*answers), asyncio.gather(*stepping)),
        )
        return [one for of_micro_batch in stats for one in of_micro_batch], stats_of_ranks(step_stats)

    async def repeat(self) -> tuple[list[Stats], StepStats]:
        """Another optimizer step on the same micro-batches, each on the rank that had it. Raises as `finish`."""
        again, self._dealt = self._dealt, []
        self._send(again, last=True)
        return await self.finish()

    def _send(self, micro_batches: Sequence[MicroBatch[Item]], *, last: bool = False) -> None:
        for micro_batch in micro_batches:
            self._held[micro_batch.rank].append(len(self._dealt))
            self._dealt.append(micro_batch)
        while all(self._held) or (any(self._held) and (last or not self._in_rounds)):
            for rank, held in zip(self._ranks, self._held, strict=True):
                if held:
                    place = held.popleft()
                    self._answers[place] = self._accumulate(rank, self._dealt[place].items)


class StepLearning:
    """A step's updates, on the ranks that are there when it begins.

    learning.add(rollout)              # as they come, in the order of learning
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
        """All the step's updates, or those up to one that was skipped; statistics come back in the order of `add`.

        Raises as `Update.finish`.
        """
        updates = [await self._update.finish()]
        while len(updates) < self._num_updates and not updates[-1][1].skipped:
            updates.append(await self._update.repeat())
        group_stats, step_stats = zip(*updates, strict=True)
        return group_stats_of_step(group_stats), stats_of_step(step_stats)

"""One rank of the learner as the driver sees it: what it was sent and hasn't answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import ray

from actors.faults.seat import Seat
from actors.learner.stats import StepStats
from actors.occupation import Occupation


class LearnerRank:
    """Sends a rank its micro-batches and videos, and knows how many of them are outstanding."""

    def __init__(self, seat: Seat, occupation: Occupation) -> None:
        """`occupation` counts it under the seat's name."""
        self.seat = seat
        self._occupation = occupation
        self._micro_batches: set[asyncio.Task[Any]] = set()
        self._videos: list[ray.ObjectRef] = []

    def accumulate(self, method: str, *arguments: object) -> asyncio.Task[Any]:
        """Have it compute a micro-batch; the statistics to come."""
        answer = self._answer(getattr(self.seat.actor, method).remote(*arguments))
        self._micro_batches.add(answer)
        answer.add_done_callback(self._micro_batches.discard)
        return answer

    def step(self) -> asyncio.Task[StepStats]:
        """Have it step; the statistics to come."""
        return self._answer(self.seat.actor.step.remote())

    def embed(self, clip: ray.ObjectRef) -> tuple[ray.ObjectRef, ray.ObjectRef]:
        """Have it run its vision tower; references to a sign that it has, and to the `EmbeddedVideo`."""
        done, embedded = self.seat.actor.embed.options(num_returns=2).remote(clip)
        self._videos.append(done)
        return done, embedded

    def outstanding(self) -> tuple[int, int]:
        """Micro-batches and videos that it hasn't answered.

        Micro-batches first: a rank may wait within one until another rank is sent its own, and that one is only sampled
        once its video is embedded. A rank with the fewest never waits for one that hasn't been sent.
        """
        if self._videos:
            _, self._videos = ray.wait(self._videos, num_returns=len(self._videos), timeout=0, fetch_local=False)
        return len(self._micro_batches), len(self._videos)

    def _answer(self, call: Awaitable[Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(self._occupied_until(call))
        # A step that is given up takes no answers; their failures are no news then.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _occupied_until(self, call: Awaitable[Any]) -> Any:
        with self._occupation.of(self.seat.name):
            return await call

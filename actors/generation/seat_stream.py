"""One seat's part in a sampling: requests in as its engine has room, groups out, and an eye on its silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from actors.awake import awake_s
from actors.faults.seat import Seat
from actors.generation.requests import GeneratedGroup, GenerationRequest
from actors.generation.workload import Workload
from actors.waiting import DeadlineError


class HangError(DeadlineError):
    """A worker holds requests, says nothing and doesn't answer: as good as dead."""


class SeatStream:
    """Runs until it is cancelled or its worker fails.

    await SeatStream(seat, rank, sampling, work, deliver, timeout_s).run(first)
    """

    def __init__(
        self,
        seat: Seat,
        rank: int,
        sampling: int,
        work: Workload,
        deliver: Callable[[GeneratedGroup], None],
        timeout_s: float,
    ) -> None:
        """`sampling` is its number, higher than those of earlier ones."""
        self._name = seat.name
        self._responds = seat.responds
        self._actor = seat.actor
        self._rank = rank
        self._sampling = sampling
        self._work = work
        self._deliver = deliver
        self._timeout_s = timeout_s
        self._heard_at_s = awake_s()

    async def run(self, first: Sequence[GenerationRequest]) -> None:
        """Have the worker answer what it is given first and what it takes from the queue.

        Raises:
            HangError: it said nothing for `generation.timeout_s`, though it holds requests, and doesn't respond.
            DeadlineError: it said nothing for so long, and does respond.
            RayTaskError: it raised something.
            RayError: it died.
        """
        try:
            await _first_failure(self._listen(first), self._feed(), self._watch())
        finally:
            self._actor.close.remote(self._sampling)

    async def _listen(self, first: Sequence[GenerationRequest]) -> None:
        generate = self._actor.generate.options(num_returns="streaming")
        async for ref in generate.remote(first, self._sampling):
            group: GeneratedGroup = await ref
            self._heard()
            if self._work.answered(self._rank, group.key):
                self._deliver(group)
        raise RuntimeError(f"{self._name} stopped answering before its sampling was closed")

    async def _feed(self) -> None:
        handed: list[GenerationRequest] = []
        while True:
            await self._actor.take.remote(self._sampling, handed)
            handed = [await self._work.take(self._rank)]
            self._heard()

    async def _watch(self) -> None:
        while True:
            left_s = self._heard_at_s + self._timeout_s - awake_s()
            if left_s > 0:
                await asyncio.sleep(left_s)
            elif not self._work.is_held_by(self._rank):
                self._heard()
            else:
                await self._complain()

    async def _complain(self) -> None:
        heard_at_s = self._heard_at_s
        told = (
            f"{self._name}: the next group of completions (generation.timeout_s) took longer than {self._timeout_s:g} s"
        )
        if not await self._responds():
            raise HangError(f"{told}, and the worker doesn't respond")
        if self._heard_at_s == heard_at_s:
            raise DeadlineError(f"{told}; the worker responds, so it is slow: raise generation.timeout_s")

    def _heard(self) -> None:
        self._heard_at_s = awake_s()


async def _first_failure(*endless: Coroutine[Any, Any, None]) -> None:
    """Run all of them until one raises."""
    tasks = [asyncio.create_task(one) for one in endless]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The failure's traceback leads to this frame: from here it would lead back to itself, and hold the videos that
        # the worker was given until Python looks for such circles.
        del tasks, task

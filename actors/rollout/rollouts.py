"""Rollouts on their way from the generators to the learner."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import ray

from museg.grpo.aggregation import StepTotals
from museg.rollout.completions import Group

if TYPE_CHECKING:
    from actors.rollout.flat_groups import Harvest

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A scored group and its video."""

    group: Group
    clip: ray.ObjectRef
    """Of a `VideoClip`, or of an `EmbeddedVideo` where the tower is frozen."""
    num_prompt_tokens: int
    """The video's included."""

    @property
    def flat(self) -> bool:
        """All rewards are equal, so there is no advantage to learn from."""
        return not any(self.group.advantages)

    @property
    def num_tokens(self) -> int:
        """Of the prompt, once, and of all completions."""
        return self.num_prompt_tokens + sum(len(completion.token_ids) for completion in self.group.completions)


class InOrder(Generic[T]):
    """Passes items on in the order of their places, 0, 1, 2 …, each as soon as it and all before it have come."""

    def __init__(self, deliver: Callable[[T], None]) -> None:
        self._deliver = deliver
        self._waiting: dict[int, T] = {}
        self._next = 0

    def put(self, place: int, item: T) -> None:
        self._waiting[place] = item
        while self._next in self._waiting:
            self._deliver(self._waiting.pop(self._next))
            self._next += 1


class StepRollouts:
    """One step's rollouts to learn from, in the order of learning, each as soon as it is there.

        await rollouts.prepared.wait()
        totals = await rollouts.totals
        async for rollout in rollouts: …
        rollouts.harvest                          # once all have come

    The sampler fills it; what the sampling raises, awaiting totals or rollouts raises.
    """

    harvest: Harvest

    def __init__(self) -> None:
        self.totals: asyncio.Future[StepTotals] = asyncio.get_running_loop().create_future()
        """Known before the first rollout comes."""
        self.prepared = asyncio.Event()
        """The step's videos are decoded."""
        self.generated_at_s = 0.0
        """When the last completion came, by `time.perf_counter`; 0 before that."""
        self._coming: asyncio.Queue[Rollout | None] = asyncio.Queue()
        self._sampling: asyncio.Task[Harvest] | None = None

    def fed_by(self, sampling: asyncio.Task[Harvest]) -> None:
        """Name the task that fills it, and whose end is the end of the rollouts."""
        self._sampling = sampling
        sampling.add_done_callback(self._ended)

    def put(self, rollout: Rollout) -> None:
        self._coming.put_nowait(rollout)

    def generated(self) -> None:
        """Note that everything has been sampled for now."""
        self.generated_at_s = time.perf_counter()

    async def __aiter__(self) -> AsyncGenerator[Rollout, None]:
        while (rollout := await self._coming.get()) is not None:
            yield rollout
        assert self._sampling is not None
        self.harvest = await self._sampling

    def _ended(self, sampling: asyncio.Task[Harvest]) -> None:
        self._coming.put_nowait(None)
        self.prepared.set()
        if sampling.cancelled():
            self.totals.cancel()
        elif not self.totals.done() and (error := sampling.exception()):
            self.totals.set_exception(error)

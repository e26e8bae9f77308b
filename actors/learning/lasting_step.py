"""One step's learning, which outlasts the ranks that began it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from actors.learner.stats import StepStats
from actors.learning.restarts import Restarts
from museg.rollout.micro_batches import Item

Stats = TypeVar("Stats")
Told = TypeVar("Told")
Taken = TypeVar("Taken", contravariant=True)


class Attempt(Protocol[Taken, Told]):
    """A step's learning on the ranks that are there when it begins."""

    def add(self, item: Taken) -> None:
        """Take the next item; never waits."""
        ...

    async def finish(self) -> tuple[list[Told], StepStats]:
        """The statistics of the items, in order, and of the step."""
        ...


class LastingStep(Generic[Item, Stats]):
    """What the trainer adds a step's rollouts to, in the order of learning; begun again when ranks are replaced.

    learning = await gang.begin_step(totals)
    learning.add(rollout)              # as they come
    group_stats, step_stats = await learning.finish()
    """

    def __init__(
        self,
        attempts: Callable[[int], Attempt[Item, Stats]],
        restarts: Restarts,
        finished: Callable[[LastingStep[Item, Stats]], Awaitable[None]],
    ) -> None:
        """`attempts` begins one with micro-batches of at most so many tokens; `finished` keeps what has succeeded."""
        self._attempts = attempts
        self._restarts = restarts
        self._finished = finished
        self._items: list[Item] = []
        self._attempt: Attempt[Item, Stats] | None = None
        self._micro_batch_tokens = 0
        self._result: tuple[list[Stats], StepStats] | None = None

    def add(self, item: Item) -> None:
        """Take the next item; never waits. What fails is told, or got over, in `finish`."""
        self._items.append(item)
        if self._attempt is not None:
            self._attempt.add(item)

    async def finish(self) -> tuple[list[Stats], StepStats]:
        """All the step's updates; statistics come back in the order of `add`. Raises as `Restarts.lasting`."""
        return await self._restarts.lasting(self._finish)

    def pause(self) -> None:
        """Only note what is added: the ranks are being replaced."""
        self._attempt = None

    def begin(self, micro_batch_tokens: int) -> None:
        """Have the present ranks learn from what has been added, from the first on, and from what will be."""
        self._micro_batch_tokens = micro_batch_tokens
        self._attempt = self._attempts(micro_batch_tokens)
        for item in self._items:
            self._attempt.add(item)

    async def redo(self) -> str | None:
        """Repeat a step that was finished; what came out otherwise than the first time, or None."""
        assert self._result is not None
        self.begin(self._micro_batch_tokens)
        stats, step_stats = await self._result_of_attempt()
        then_stats, then = self._result
        if step_stats.grad_norm != then.grad_norm:
            return f"step {then.step} has gradient norm {step_stats.grad_norm!r} now and had {then.grad_norm!r}"
        if repr(stats) != repr(then_stats):
            return f"step {then.step} has other losses now than it had"
        return None

    async def _finish(self) -> tuple[list[Stats], StepStats]:
        self._result = await self._result_of_attempt()
        await self._finished(self)
        return self._result

    async def _result_of_attempt(self) -> tuple[list[Stats], StepStats]:
        assert self._attempt is not None
        attempt, self._attempt = self._attempt, None
        return await attempt.finish()

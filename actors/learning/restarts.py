"""Restarts of all learner ranks together, after one of them died or hung."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from ray.exceptions import ObjectLostError, RayError, RayTaskError

from actors.faults.budget import RestartBudget
from actors.faults.deaths import is_fault
from actors.faults.out_of_memory import is_out_of_memory
from actors.faults.seat import Seat
from actors.waiting import DeadlineError
from museg.errors import StateLostError, UserError

T = TypeVar("T")


class Restarts:
    """Lets one thing at a time be done with the ranks, and has them replaced by others that are as far as they were.

    await restarts.lasting(act)          # done again on new ranks, as often as one dies in the midst of it
    async with restarts.held():          # no restart meanwhile
        …
    await restarts.mend(error, life)     # whatever failed, if it failed because a rank is dead or hangs
    """

    def __init__(
        self,
        seats: Sequence[Seat],
        budget: RestartBudget | None,
        begin_again: Callable[[], Awaitable[None]],
        spare_memory: Callable[[], BaseException],
    ) -> None:
        """No budget: no rank is replaced.

        Args:
            begin_again: fills all seats anew and brings the ranks to where they were.
            spare_memory: has them need less from then on, and says so; raises if there is nothing left to spare.
        """
        self.budget = budget
        self.life = 0
        """Restarts so far, one under way included."""
        self._seats = list(seats)
        self._begin_again = begin_again
        self._spare_memory = spare_memory
        self._in_use = asyncio.Lock()
        self._broken: BaseException | None = None
        self._late = False
        self._noticed: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[int]:
        """The ranks for oneself; the life that they are in.

        Raises:
            FaultError: the run has given them up.
        """
        async with self._in_use:
            if self._broken is not None:
                raise self._broken
            yield self.life

    async def lasting(self, act: Callable[[], Awaitable[T]]) -> T:
        """What `act` returns, which has the ranks for itself and is repeated from its beginning after every restart.

        Raises:
            FaultError: ranks died or hung more often than the run gets over.
            RayError: a rank raised something by itself.
        """
        while True:
            async with self.held() as life:
                try:
                    return await act()
                except (RayError, DeadlineError) as error:
                    fault = error
            await self.recover(fault, life)
            # Its traceback leads to this frame, which would lead back to it.
            del fault

    async def recover(self, error: BaseException, life: int) -> None:
        """Restart the ranks after a call to them failed in that life; raises the error if none of them is to blame."""
        if not await self._mended(error, life, of_ranks=True):
            raise error

    async def mend(self, error: BaseException, life: int) -> bool:
        """Restart the ranks if one is dead or hangs, whoever failed; whether they are in a later life than that."""
        return await self._mended(error, life, of_ranks=False)

    def watch(self, answer: asyncio.Task[Any]) -> None:
        """Restart the ranks as soon as an answer of the present ones tells of a death, not only once it is needed."""
        life = self.life

        def look(done: asyncio.Task[Any]) -> None:
            error = None if done.cancelled() else done.exception()
            if self.budget is not None and error is not None and is_fault(error):
                noticed = asyncio.create_task(self.recover(error, life))
                self._noticed.add(noticed)
                noticed.add_done_callback(self._forget)

        answer.add_done_callback(look)

    def step_done(self) -> None:
        """A step was finished, so what took too long is past."""
        self._late = False

    def _forget(self, noticed: asyncio.Task[None]) -> None:
        self._noticed.discard(noticed)
        # Whoever needs the ranks next is told why there are none.
        _ = noticed.cancelled() or noticed.exception()

    async def _mended(self, error: BaseException, life: int, *, of_ranks: bool) -> bool:
        # A restart goes on when who asked for it is cancelled: others find whole ranks.
        return await asyncio.shield(asyncio.create_task(self._mend(error, life, of_ranks=of_ranks)))

    async def _mend(self, error: BaseException, life: int, *, of_ranks: bool) -> bool:
        async with self.held() as present:
            if life != present:
                return True
            if self.budget is None:
                return False
            fault = await self._fault(error, of_ranks=of_ranks)
            if fault is None:
                return False
            try:
                await self._restart(self.budget, fault)
            except BaseException as failure:
                self._broken = failure
                raise
            return True

    async def _restart(self, budget: RestartBudget, fault: BaseException) -> None:
        while True:
            try:
                with budget.recovery("learner", fault):
                    self.life += 1
                    await self._begin_again()
            except (RayError, DeadlineError) as error:
                again = await self._fault(error, of_ranks=True)
                if again is None:
                    raise
                fault = again
            else:
                return

    async def _fault(self, error: BaseException, *, of_ranks: bool) -> BaseException | None:
        """What to tell of the rank that is to blame for an error; None if none is.

        When one dies, those that wait for it in a collective raise errors of their own.

        Raises:
            StateLostError: what the ranks were to learn from is gone.
        """
        late = isinstance(error, DeadlineError)
        if of_ranks and not late and is_fault(error):
            return error
        if of_ranks and isinstance(error, RayTaskError) and isinstance(error.cause, ObjectLostError):
            raise StateLostError("frames of a video were lost with their node") from error
        if of_ranks and is_out_of_memory(error):
            # Its gradient is lost, and others wait for it in a collective.
            return self._spare_memory()
        if isinstance(error, RayTaskError) and isinstance(error.cause, UserError) and not is_fault(error):
            return None
        responding = await asyncio.gather(*(seat.responds() for seat in self._seats))
        silent = [seat.name for seat, responds in zip(self._seats, responding, strict=True) if not responds]
        if silent:
            return DeadlineError(f"{' and '.join(silent)} died or hangs")
        if of_ranks and late and not self._late:
            # A collective may hang though all processes live. If it happens again, they are slow.
            self._late = True
            return error
        return None

"""Places of a run that actors fill, and that are filled anew when their actor dies or hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Self

import psutil
import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.faults.budget import RestartBudget, first_line
from actors.faults.deaths import is_fault
from actors.faults.watched import Whereabouts
from actors.waiting import START_TIMEOUT_S, DeadlineError, told_while_missing, within
from museg.config.schema import RecoveryConfig

_RESPONSE_S = 5.0
_RETRY_S = 0.1
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 320.0


class Seat:
    """One worker of a run, whichever actor it is at present.

        seat = Seat("generation-0", start, ready, budget)
        await seat.filled()
        life = seat.life
        try: await seat.actor.method.remote()
        except RayActorError as fault: await seat.refill(fault, life)

    Whoever notices a death calls `refill` with the life that it saw: the first call replaces the actor, the others wait
    for it.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], ActorHandle],
        ready: Callable[[ActorHandle], Awaitable[object]],
        budget: RestartBudget,
        *,
        start_timeout_s: float = START_TIMEOUT_S,
        vacant: bool = False,
    ) -> None:
        """`start` creates an actor, `ready` is answered once it can work; `name` is what users know it by."""
        self.name = name
        self.life = 0
        """Actors that this one replaced."""
        self._start = start
        self._ready = ready
        self._budget = budget
        self._start_timeout_s = start_timeout_s
        self.vacant = vacant
        """Nobody waits for its actor: the cluster may have no place for it yet."""
        self._refilling: asyncio.Task[None] | None = None
        self.where: Whereabouts | None = None
        """Of the present actor, once it can work."""
        self.on_changed: Callable[[], None] | None = None
        """Called whenever an actor can work, its whereabouts known, and when it can't any more."""
        self.actor = start()

    @classmethod
    def of(cls, actor: ActorHandle, name: str = "a worker") -> Self:
        """A seat that is never filled anew: a fault ends in FaultError."""

        async def ready(_: ActorHandle) -> None:
            return None

        never = RestartBudget(RecoveryConfig(max_restarts=0))
        return cls(name, lambda: actor, ready, never)

    async def filled(self) -> None:
        """Wait until the present actor can work.

        Raises:
            DeadlineError: it took longer than the start may, and the seat isn't vacant.
        """
        ready = asyncio.ensure_future(self._ready(self.actor))
        told = told_while_missing(self.name, self._start_timeout_s, self._budget.say)
        try:
            async with nullcontext() if self.vacant else told:
                while not ready.done():
                    try:
                        await within(self._start_timeout_s, f"the start of {self.name}", asyncio.shield(ready))
                    except DeadlineError:
                        if not self.vacant:
                            raise
            ready.result()
        finally:
            ready.cancel()
        with suppress(RayError, AttributeError):
            self.where = await self.actor.whereabouts.remote()
        self._tell_of_change()

    async def first_filled(self) -> None:
        """Wait until an actor can work, at a run's start: one that dies before is replaced.

        Raises:
            DeadlineError: it took longer than the start may, and the seat isn't vacant.
            FaultError: the run has replaced too many.
        """
        life = self.life
        try:
            await self.filled()
        except RayError as fault:
            if not is_fault(fault):
                raise
            await self.refill(fault, life)

    async def arrived(self, *, anew: bool) -> None:
        """Wait until an actor can work, however long; `anew`: another one than the present.

        One that dies before, or can't work where it is, is told of and followed by another after a pause.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                if anew:
                    await self.replace()
                return await self.filled()
            except (RayError, DeadlineError) as error:
                self.tell(f"can't join, another try in {pause_s:g} s: {first_line(error)}")
            anew = True
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def tell(self, what: str) -> None:
        """Tell the user something of this worker."""
        self._budget.say(f"{self.name} {what}")

    async def responds(self) -> bool:
        """Whether the actor is alive and doesn't hang; one that works at something long still answers."""
        try:
            await within(_RESPONSE_S, self.name, self.actor.whereabouts.remote())
        except (RayError, DeadlineError):
            return False
        return True

    async def refill(self, fault: BaseException, life: int) -> None:
        """Have another actor in the place of the one of that life, ready to work; what is left of it is killed.

        One that dies before it can work is replaced, too.

        Raises:
            FaultError: the run has replaced too many.
        """
        if life == self.life and self._refilling is None:
            self._refilling = asyncio.create_task(self._refill(fault))
        if self._refilling is not None:
            # Others wait for the same when this caller is cancelled.
            await asyncio.shield(self._refilling)

    async def replace(self) -> None:
        """Kill what is left of the present actor and start another, not waiting for it: for whole gangs at once."""
        evict(self.actor, self.where)
        self.actor = await within(self._start_timeout_s, f"the name of {self.name}", self._started())
        self.life += 1
        self.where = None
        self._tell_of_change()

    async def _refill(self, fault: BaseException) -> None:
        try:
            while True:
                try:
                    with self._budget.recovery(self.name, fault):
                        await self.replace()
                        await self.filled()
                    return
                except (RayError, DeadlineError) as again:
                    # The newcomer died or hung before it could work; the budget bounds how often.
                    if not is_fault(again):
                        raise
                    fault = again
        finally:
            self._refilling = None

    def _tell_of_change(self) -> None:
        if self.on_changed is not None:
            self.on_changed()

    async def _started(self) -> ActorHandle:
        """A new actor under the old one's name, which Ray frees only when that is gone."""
        while True:
            try:
                return self._start()
            except ValueError:
                await asyncio.sleep(_RETRY_S)


def evict(actor: ActorHandle, where: Whereabouts | None) -> None:
    """Kill an actor's process, on whichever node, also one that is stopped and takes no message."""
    with suppress(RayError):
        ray.kill(actor)
    if where is None:
        return
    if where.node_id == ray.get_runtime_context().get_node_id():
        kill_process(where)
    else:
        on_its_node = NodeAffinitySchedulingStrategy(node_id=where.node_id, soft=False)
        # Not waited for: the node may be gone, and the process with it.
        _kill_elsewhere.options(scheduling_strategy=on_its_node).remote(where)


def kill_process(where: Whereabouts) -> None:
    """SIGKILL to a process of this node, unless it has ended and another one has its number."""
    with suppress(psutil.Error):
        process = psutil.Process(where.pid)
        if process.create_time() == where.started_s:
            process.kill()


_kill_elsewhere = ray.remote(num_cpus=0, max_retries=0)(kill_process)

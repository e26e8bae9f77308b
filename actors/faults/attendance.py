"""Which seats of a pool have a worker, how many must have one, and who comes and goes in the course of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any

from ray.exceptions import RayError, RayTaskError

from actors.draining import is_leaving
from actors.faults.seat import Seat, evict


class Attendance:
    """Fills the seats of a pool in the background, while those who are present work.

        attendance = Attendance(seats, prepare)
        attendance.welcome()                             # whoever fills a seat that is vacant
        attendance.lost(rank, life, fault)               # whoever notices that a worker died
        attendance.release(node_ids)                     # nodes that are about to go
        await attendance.until_enough()

    As many must be present as there are seats that aren't vacant at first; only these are waited for. Beyond them a
    seat is vacant until somebody comes, however late, and when its node goes: that isn't a fault, and isn't counted.
    """

    def __init__(self, seats: Sequence[Seat], prepare: Callable[[int], Awaitable[None]] | None = None) -> None:
        """`prepare` makes a newcomer ready, by the seat's place; it joins at the instant in which that returns."""
        self.seats = list(seats)
        self.least = sum(not seat.vacant for seat in self.seats)
        self._prepare = prepare
        self._absences: dict[int, asyncio.Task[None]] = {}
        """How the seat gets a worker: under way, or failed."""

    @property
    def present(self) -> list[int]:
        """Places of the seats that have a worker."""
        return [rank for rank, seat in enumerate(self.seats) if rank not in self._absences and not seat.vacant]

    @property
    def settled(self) -> bool:
        """Whether no seat is being filled."""
        return not self._absences

    def is_spare(self, rank: int) -> bool:
        """Whether enough others are present."""
        return len([other for other in self.present if other != rank]) >= self.least

    def welcome(self) -> None:
        """From now on take up whoever fills a vacant seat."""
        for rank, seat in enumerate(self.seats):
            if seat.vacant and rank not in self._absences:
                self._begin(rank, self._arrival(seat))

    def lost(self, rank: int, life: int, fault: BaseException) -> None:
        """Have a seat filled whose worker of that life is dead or hangs."""
        if rank not in self._absences and self.seats[rank].life == life:
            self._begin(rank, self._replacement(rank, life, fault))

    def release(self, nodes: Collection[str]) -> None:
        """End the workers on these nodes that aren't needed; others take up what they did, as if they had died."""
        for rank in self.present:
            seat = self.seats[rank]
            if seat.where is not None and seat.where.node_id in nodes and self.is_spare(rank):
                evict(seat.actor, seat.where)
                self._begin(rank, self._departure(seat, "is drained"))

    async def until_present(self, rank: int) -> None:
        """Wait for a seat's worker.

        Raises:
            FaultError: workers died or hung more often than the run gets over.
        """
        if rank in self._absences:
            # Others wait for the same when this caller is cancelled.
            await asyncio.shield(self._absences[rank])

    async def until_enough(self) -> None:
        """Wait until as many are present as the run needs. Raises as `until_present` does."""
        await self._until(self.least)

    async def until_any(self) -> None:
        """Wait until one is present. Raises as `until_present` does."""
        await self._until(1)

    def raise_failures(self) -> None:
        """Raise what kept a seat from being filled."""
        for absence in self._absences.values():
            if absence.done():
                absence.result()

    def close(self) -> None:
        """Give up what is under way."""
        for absence in self._absences.values():
            absence.cancel()

    async def _until(self, num_workers: int) -> None:
        self.raise_failures()
        while len(self.present) < num_workers:
            await asyncio.wait(self._absences.values(), return_when=asyncio.FIRST_COMPLETED)
            self.raise_failures()

    def _begin(self, rank: int, filling: Coroutine[Any, Any, bool]) -> None:
        self._absences[rank] = asyncio.create_task(self._absence(rank, filling))
        self._have_patience()

    async def _absence(self, rank: int, filling: Coroutine[Any, Any, bool]) -> None:
        seat, newcomer = self.seats[rank], await filling
        if self._prepare is not None:
            await self._prepare(rank)
        seat.vacant = False
        del self._absences[rank]
        self._have_patience()
        if newcomer:
            seat.tell(f"joins: {self._counted()}")

    def _have_patience(self) -> None:
        """Where enough are present, nobody waits for the others."""
        if len(self.present) >= self.least:
            for rank in self._absences:
                self.seats[rank].vacant = True

    async def _arrival(self, seat: Seat, *, anew: bool = False) -> bool:
        await seat.arrived(anew=anew)
        return True

    async def _departure(self, seat: Seat, why: str) -> bool:
        seat.tell(f"leaves, its node {why}: {self._counted()}")
        return await self._arrival(seat, anew=True)

    async def _replacement(self, rank: int, life: int, fault: BaseException) -> bool:
        """Whether whoever comes is new to the run, and takes nobody's place."""
        seat = self.seats[rank]
        if seat.vacant and seat.where is not None and await is_leaving(seat.where.node_id, fault):
            return await self._departure(seat, "is gone")
        await refilled(seat, fault, life)
        return False

    def _counted(self) -> str:
        kind = self.seats[0].name.rpartition("-")[0]
        return f"{len(self.present)} {kind} workers"


async def refilled(seat: Seat, fault: BaseException, life: int) -> None:
    """Fill a seat, again if the newcomer dies before it can work; the run's budget ends that."""
    while True:
        try:
            return await seat.refill(fault, life)
        except RayTaskError:
            raise
        except RayError as again:
            fault, life = again, seat.life

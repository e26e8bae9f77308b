"""Workers that hang: killed after a silence, so that whoever waits for them learns of a death at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from ray.exceptions import RayError

from actors.faults.seat import Seat, evict
from actors.waiting import DeadlineError, within


@asynccontextmanager
async def watched_for_hangs(
    seats: Sequence[Seat], heartbeat_s: float, say: Callable[[str], None]
) -> AsyncIterator[None]:
    """Inside, a worker that doesn't answer for `recovery.heartbeat_s` is killed, and told of.

    It is noticed after twice that time at most. A busy worker answers by a thread of its own; what is stuck while it
    still answers (a collective that waits for another node) is left to the deadlines of the calls.
    """
    watching = asyncio.create_task(_watch(seats, heartbeat_s, say))
    try:
        yield
    finally:
        watching.cancel()


async def _watch(seats: Sequence[Seat], heartbeat_s: float, say: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(heartbeat_s)
        await asyncio.gather(*(_listen_to(seat, heartbeat_s, say) for seat in seats))


async def _listen_to(seat: Seat, heartbeat_s: float, say: Callable[[str], None]) -> None:
    actor, where = seat.actor, seat.where
    if where is None:
        return  # it starts: that has a deadline of its own
    try:
        await within(heartbeat_s, seat.name, actor.whereabouts.remote())
    except DeadlineError:
        if seat.where is where:
            say(f"{seat.name} hangs: no answer for {heartbeat_s:g} s (recovery.heartbeat_s); killed")
            evict(actor, where)
    except RayError:
        return  # it died, which those notice who use it

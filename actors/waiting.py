"""Waiting for what may never come: deadlines that name what they are for, and what is told meanwhile."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from actors.awake import awake_s
from museg.errors import UserError

T = TypeVar("T")
START_TIMEOUT_S = 900.0
_TOLD_EVERY_S = 60.0


class DeadlineError(UserError):
    """Something that a run waits for didn't come in time; the message names it and the knob."""


async def within(seconds: float, what: str, awaitable: Awaitable[T]) -> T:
    """Await with a deadline that names what was waited for; time in which this process was stopped doesn't count.

    Raises:
        DeadlineError: after `seconds`.
    """
    began_s = awake_s()
    told = f"{what} took longer than {seconds:g} s"
    try:
        return await before(lambda: began_s + seconds, told, awaitable)
    except TimeoutError as error:
        # Of what it waited for, which had a deadline of its own.
        raise DeadlineError(told) from error


async def before(deadline_s: Callable[[], float], told: str, awaitable: Awaitable[T]) -> T:
    """Await until a moment of `awake_s` that may move on meanwhile.

    Raises:
        DeadlineError: it has passed; `told` is its message.
    """
    waiting = asyncio.ensure_future(awaitable)
    try:
        while not waiting.done():
            left_s = deadline_s() - awake_s()
            if left_s <= 0:
                raise DeadlineError(told)
            await asyncio.wait([waiting], timeout=left_s)
        return waiting.result()
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        # What it failed from leads to this frame, which would lead back to it.
        del waiting


@asynccontextmanager
async def told_while_missing(what: str, give_up_s: float, say: Callable[[str], None]) -> AsyncIterator[None]:
    """Tell each minute that something is still waited for, which the cluster may have no room for."""

    async def tell() -> None:
        for minutes in itertools.count(1):
            await asyncio.sleep(_TOLD_EVERY_S)
            say(
                f"{what} is still missing after {minutes * _TOLD_EVERY_S:g} s of at most {give_up_s:g} s "
                "(recovery.start_timeout_s); `ray status` says what the cluster has no room for"
            )

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()


async def all_of(refs: Sequence[Awaitable[Any]]) -> list[Any]:
    """The values of several actor calls, in order."""
    return list(await asyncio.gather(*refs))

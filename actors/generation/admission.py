"""Newcomers and publications of weights: neither misses the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto


class _Update(Enum):
    """Where the next publication to all generators stands."""

    none = auto()
    waits = auto()
    on = auto()


class Admission:
    """Has newcomers brought the weights one by one, and none while all others are.

    async with admission.bringing() as needed:       # and joins at once
        if needed: ...
    async with admission.update_waits(): ...         # joins without: it is in time for the update
    async with admission.updating():
        ...                                          # nobody joins
        async with admission.update_waits(): ...     # to be begun again

    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._update = _Update.none
        self._is_bringing = False

    @asynccontextmanager
    async def bringing(self) -> AsyncIterator[bool]:
        """Wait for one's turn; whether one has to be brought the weights, rather than having them from an update."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._update is _Update.waits or (self._update is _Update.none and not self._is_bringing)
            )
            if needed := self._update is _Update.none:
                self._is_bringing = True
        try:
            yield needed
        finally:
            if needed:
                async with self._changed:
                    self._is_bringing = False
                    self._changed.notify_all()

    @asynccontextmanager
    async def update_waits(self) -> AsyncIterator[None]:
        """Whoever comes inside joins at once: an update follows."""
        before = self._update
        await self._turn(_Update.waits)
        try:
            yield
        finally:
            await self._turn(before)

    @asynccontextmanager
    async def updating(self) -> AsyncIterator[None]:
        """Nobody joins inside."""
        await self._turn(_Update.on)
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._is_bringing)
            yield
        finally:
            await self._turn(_Update.none)

    async def no_update(self) -> None:
        """Wait while one is under way."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._update is not _Update.on)

    async def _turn(self, update: _Update) -> None:
        async with self._changed:
            self._update = update
            self._changed.notify_all()

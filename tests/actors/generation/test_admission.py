"""Newcomers and publications of weights in whatever order: nobody who has joined holds old weights."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.generation.admission import Admission


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_whoever_has_joined_holds_the_weights_of_the_last_update(chance: random.Random) -> None:
    admission, present, held = Admission(), 1, {0: 0}

    async def pauses() -> None:
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)

    async def newcomer(rank: int) -> None:
        await pauses()
        async with admission.bringing() as needed:
            if needed:
                brought = present
                await pauses()
                held[rank] = brought
        held.setdefault(rank, -1)

    async def update() -> None:
        nonlocal present
        await pauses()
        async with admission.update_waits():
            await pauses()
        async with admission.updating():
            receivers = set(held)
            await pauses()
            if chance.random() < 0.5:
                async with admission.update_waits():
                    await pauses()
                receivers = set(held)
            present += 1
            held.update(dict.fromkeys(receivers, present))
            await pauses()
            assert set(held) == receivers, "somebody has joined in the midst of it"

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            for rank in range(1, 6):
                tasks.create_task(newcomer(rank))
            async with asyncio.TaskGroup() as updates:
                updates.create_task(update())
            await update()
        assert set(held) == set(range(6))
        assert set(held.values()) == {present}

    asyncio.run(run())

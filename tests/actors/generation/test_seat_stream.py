from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.exceptions import RayActorError

from actors.faults.seat import Seat
from actors.generation.requests import GenerationRequest
from actors.generation.seat_stream import SeatStream
from actors.generation.workload import Workload
from actors.occupation import Occupation


class Given(list[GenerationRequest]):
    """Requests that can be watched."""


def dying_seat() -> Seat:
    """Its worker dies as it is asked to generate."""

    async def generate(_: Sequence[GenerationRequest], __: int) -> AsyncIterator[Any]:
        raise RayActorError
        yield

    async def take(_: int, __: Sequence[GenerationRequest]) -> None:
        await asyncio.sleep(60)

    actor = SimpleNamespace(
        generate=SimpleNamespace(options=lambda **_: SimpleNamespace(remote=generate)),
        take=SimpleNamespace(remote=take),
        close=SimpleNamespace(remote=lambda _: None),
    )
    return cast(Seat, SimpleNamespace(name="generation-0", actor=actor, responds=None))


@pytest.mark.usefixtures("no_collections")
def test_what_a_worker_that_died_was_given_is_let_go() -> None:
    async def ask() -> weakref.ref[Given]:
        given = Given()
        work = Workload([], ["generation-0"], Occupation())
        with pytest.raises(RayActorError):
            await SeatStream(dying_seat(), 0, 1, work, lambda _: None, timeout_s=60).run(given)
        return weakref.ref(given)

    assert asyncio.run(ask())() is None

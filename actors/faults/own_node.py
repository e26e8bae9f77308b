"""The driver's own node: once Ray has ended there nothing of the run can go on, though the driver lives."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import ray
from ray.exceptions import RayError

from actors.draining import living_nodes
from museg.errors import FaultError, StateLostError

_POLL_S = 2.0


@asynccontextmanager
async def while_node_lives() -> AsyncIterator[None]:
    """What is inside is given up as soon as Ray holds the driver's node for dead.

    A raylet ends with either of its agents, and all workers of its node with it: without the driver, whose calls then
    fail or wait for ever.

    Raises:
        StateLostError: a local Ray has ended; another one can be started.
        FaultError: a cluster's has.
    """
    node_id = ray.get_runtime_context().get_node_id()
    try:
        async with asyncio.timeout(None) as limit:
            watching = asyncio.create_task(_watch(node_id, limit))
            try:
                yield
            finally:
                watching.cancel()
    except TimeoutError as error:
        if not limit.expired():
            raise
        if os.environ.get("RAY_ADDRESS"):
            raise FaultError(
                "Ray has ended on the driver's node: submit again, and the run goes on after its newest checkpoint"
            ) from error
        raise StateLostError("Ray has ended on this machine") from error


async def _watch(node_id: str, limit: asyncio.Timeout) -> None:
    while await asyncio.to_thread(_lives, node_id):
        await asyncio.sleep(_POLL_S)
    limit.reschedule(asyncio.get_running_loop().time())


def _lives(node_id: str) -> bool:
    try:
        return node_id in living_nodes()
    except (RayError, RuntimeError, OSError):
        # Whoever knows doesn't answer. Where that lasts, Ray ends the driver.
        return True

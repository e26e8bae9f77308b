"""The driver's own node: once Ray has ended there nothing of the run can go on, though the driver lives."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import ray
from ray.exceptions import RayError

from actors.draining import living_nodes
from actors.local_ray import LocalRay
from museg.errors import FaultError, StateLostError

_POLL_S = 1.0


@asynccontextmanager
async def while_node_lives() -> AsyncIterator[None]:
    """What is inside is given up as soon as Ray has ended on the driver's node, or is held for dead by the cluster.

    All workers of its node end with it. The driver's calls then fail or wait for ever, and after 15 s to a minute Ray
    may end the driver, too. Whatever Ray fails with inside is put down to that, if so.

    Raises:
        StateLostError: a local Ray has ended; another one can be started.
        FaultError: a cluster's has.
    """
    lives = _look()
    try:
        async with asyncio.timeout(None) as limit:
            watching = asyncio.create_task(_watch(lives, limit))
            try:
                yield
            finally:
                watching.cancel()
    except (RayError, FaultError, OSError) as error:
        # What Ray held open ends a moment before it has ended itself.
        await asyncio.sleep(_POLL_S)
        if not limit.expired() and await asyncio.to_thread(lives):
            raise
        if os.environ.get("RAY_ADDRESS"):
            raise FaultError(
                "Ray has ended on the driver's node: submit again, and the run goes on after its newest checkpoint"
            ) from error
        raise StateLostError("Ray has ended on this machine") from error


def node_lives() -> bool:
    """Whether Ray still does anything for the driver."""
    return _look()()


async def _watch(lives: Callable[[], bool], limit: asyncio.Timeout) -> None:
    while await asyncio.to_thread(lives):
        await asyncio.sleep(_POLL_S)
    limit.reschedule(asyncio.get_running_loop().time())


def _look() -> Callable[[], bool]:
    return _on_cluster() if os.environ.get("RAY_ADDRESS") else _on_this_machine()


def _on_this_machine() -> Callable[[], bool]:
    local = LocalRay()
    return lambda: local.lives


def _on_cluster() -> Callable[[], bool]:
    node_id = ray.get_runtime_context().get_node_id()

    def lives() -> bool:
        try:
            return node_id in living_nodes()
        except (RayError, RuntimeError, OSError):
            # Whoever knows doesn't answer. Where that lasts, Ray ends the driver.
            return True

    return lives

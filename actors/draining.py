"""Nodes that the cluster is about to take away: a checkpoint is written while they last."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager

import ray
from ray.exceptions import ActorDiedError, RayError

from actors.faults.seat import Seat

POLL_S = 3.0
_VERDICT_S = 25.0
"""So much sooner than its node a worker may be noticed to be gone: Ray asks a node five times, 3 s apart."""
_NOTICE_S = 3.0
"""A node that ends in order tells of its workers' ends, and then of its own."""


@asynccontextmanager
async def watched_for_draining(
    seats: Sequence[Seat],
    on_draining: Callable[[str], None],
    release: Callable[[Collection[str]], Awaitable[None]],
    *,
    poll_s: float = POLL_S,
) -> AsyncIterator[None]:
    """Inside, `on_draining` is told once of each node that drains while it holds one of the run's actors.

    `release` is given their ids again and again, for workers that can be spared, now or when others have come.

    Preemption notices and the end of a Kubernetes pod reach Ray as draining. A local Ray has one node, whose end is the
    run's, and isn't watched.
    """
    if not os.environ.get("RAY_ADDRESS"):
        yield
        return
    watching = asyncio.create_task(_watch(seats, on_draining, release, poll_s))
    try:
        yield
    finally:
        watching.cancel()


async def _watch(
    seats: Sequence[Seat],
    on_draining: Callable[[str], None],
    release: Callable[[Collection[str]], Awaitable[None]],
    poll_s: float,
) -> None:
    told: set[str] = set()
    while True:
        ours: dict[str, list[str]] = {}
        for seat in seats:
            if seat.where is not None:
                ours.setdefault(seat.where.node_id, []).append(seat.name)
        draining = ours.keys() & await asyncio.to_thread(draining_nodes)
        for node_id in draining - told:
            told.add(node_id)
            on_draining(f"node {node_id[:12]} with {', '.join(ours[node_id])} is drained")
        if draining:
            await release(draining)
        await asyncio.sleep(poll_s)


def draining_nodes() -> set[str]:
    """Ids of the cluster's nodes that drain; none where that can't be found out just now."""
    try:
        # Not public; Ray Train's PreemptionWatcher asks the same.
        return set(ray._private.state.state.get_draining_nodes())
    except (RayError, RuntimeError, OSError):
        return set()


async def is_leaving(node_id: str, fault: BaseException) -> bool:
    """Whether a node whose worker died is gone or drained, or soon proves to be."""
    if node_id == ray.get_runtime_context().get_node_id():
        return False  # the driver's: the run would end with it
    # Ray knows of a death from the node itself, so that was alive then; else it hasn't heard of it.
    decided_s = time.monotonic() + (_NOTICE_S if isinstance(fault, ActorDiedError) else _VERDICT_S)
    while True:
        draining, living = await asyncio.gather(asyncio.to_thread(draining_nodes), asyncio.to_thread(living_nodes))
        if node_id in draining or node_id not in living:
            return True
        if time.monotonic() > decided_s:
            return False
        await asyncio.sleep(0.5)


def living_nodes() -> set[str]:
    """Ids of the cluster's nodes that haven't died."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}

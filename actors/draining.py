"""Nodes that the cluster is about to take away: a checkpoint is written while they last."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import ray
from ray.exceptions import RayError

from actors.faults.seat import Seat

POLL_S = 3.0


@asynccontextmanager
async def watched_for_draining(
    seats: Sequence[Seat], on_draining: Callable[[str], None], *, poll_s: float = POLL_S
) -> AsyncIterator[None]:
    """Inside, `on_draining` is told once of each node that drains while it holds one of the run's actors.

    Preemption notices and the end of a Kubernetes pod reach Ray as draining. A local Ray has one node, whose end is the
    run's, and isn't watched.
    """
    if not os.environ.get("RAY_ADDRESS"):
        yield
        return
    watching = asyncio.create_task(_watch(seats, on_draining, poll_s))
    try:
        yield
    finally:
        watching.cancel()


async def _watch(seats: Sequence[Seat], on_draining: Callable[[str], None], poll_s: float) -> None:
    told: set[str] = set()
    while True:
        ours: dict[str, list[str]] = {}
        for seat in seats:
            if seat.where is not None:
                ours.setdefault(seat.where.node_id, []).append(seat.name)
        for node_id in await asyncio.to_thread(draining_nodes):
            if node_id in ours and node_id not in told:
                told.add(node_id)
                on_draining(f"node {node_id[:12]} with {', '.join(ours[node_id])} is drained")
        await asyncio.sleep(poll_s)


def draining_nodes() -> set[str]:
    """Ids of the cluster's nodes that drain; none where that can't be found out just now."""
    try:
        # Not public; Ray Train's PreemptionWatcher asks the same.
        return set(ray._private.state.state.get_draining_nodes())
    except (RayError, RuntimeError, OSError):
        return set()

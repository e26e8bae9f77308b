"""What every worker of a run can be asked at any time, busy or not."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Final, Self

import psutil
import ray

HEALTH: Final = "health"
"""Group of calls that have a thread of their own: a busy worker answers, one that hangs doesn't."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """The process that an actor is."""

    pid: int
    started_s: float
    """When the process began (Unix time): with `pid`, no other process of its node has it."""
    node_id: str

    @classmethod
    def of_this_process(cls) -> Self:
        process = psutil.Process()
        node_id = str(ray.get_runtime_context().get_node_id())
        return cls(pid=process.pid, started_s=process.create_time(), node_id=node_id)


class Watched:
    """Base of the workers' classes.

    class Worker(Watched): ...
    worker = as_actor(Worker).options(...).remote(...)
    """

    @ray.method(concurrency_group=HEALTH)
    def whereabouts(self) -> Whereabouts:
        """Answered while the worker works."""
        return Whereabouts.of_this_process()


@functools.cache
def as_actor(worker: type[Watched], *groups: str) -> Any:
    """The actor class of a worker's; calls of each of `groups` have a thread of their own too.

    The same one each time: Ray's GCS keeps a copy of each that was ever used, for as long as the driver lives.
    """
    return ray.remote(concurrency_groups=dict.fromkeys((HEALTH, *groups), 1))(worker)

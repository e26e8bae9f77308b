"""`WeightPublisher`: the learner's weights to every generator, after each GRPO step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ray import ObjectRef
from ray.actor import ActorHandle

from actors.cluster import has_gpus
from actors.faults.seat import Seat
from actors.waiting import all_of, within
from actors.weight_sync.bucket_stream import BucketStream
from actors.weight_sync.nccl import NcclBroadcast
from museg.config.choices import SyncBackend
from museg.config.schema import SyncConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStats:
    """One publication of the weights."""

    num_bytes: int
    """Weights that left the learner, once however many generators took them."""
    seconds: float

    @property
    def gb_per_s(self) -> float:
        """1e9 bytes a second."""
        return self.num_bytes / 1e9 / self.seconds


class WeightPublisher:
    """Brings weights from the learner's ranks to all generators, by way of Ray's object store or of NCCL.

    stats = await publisher.publish(version)
    await publisher.publish(version, only=[seat])     # to one that has missed them
    """

    def __init__(self, learners: Sequence[Seat], generators: Sequence[Seat], config: SyncConfig) -> None:
        self._learners = list(learners)
        self._generators = list(generators)
        self._timeout_s = config.timeout_s
        self._kind = NcclBroadcast if _takes_nccl(config) else BucketStream
        self._connected: tuple[list[ActorHandle], NcclBroadcast | BucketStream] | None = None

    async def publish(self, version: int, only: Sequence[Seat] | None = None) -> SyncStats:
        """Send the current weights as `version`; on return every generator holds them and no trace of older ones.

        Those of vacant seats don't: they are brought them when they come.

        None of those that take them may generate meanwhile, nor may the learner step. After a failure the same or a
        later version can be published again.

        Raises:
            DeadlineError: learner or generators took longer than `sync.timeout_s` for one part of it.
            RayError: one of them failed or died.
        """
        started = time.perf_counter()
        present = [seat for seat in self._generators if not seat.vacant]
        generators = [seat.actor for seat in (present if only is None else only)]
        route = self._route_to(generators)
        await route.prepare()
        await self._within_deadline(
            "the generators to make room for new weights",
            [generator.begin_weight_update.remote() for generator in generators],
        )
        num_bytes = await route.send()
        await self._within_deadline(
            f"the generators to switch to weights version {version}",
            [generator.finish_weight_update.remote(version) for generator in generators],
        )
        return SyncStats(num_bytes=num_bytes, seconds=time.perf_counter() - started)

    def _route_to(self, generators: Sequence[ActorHandle]) -> NcclBroadcast | BucketStream:
        """The last one, unless an actor on either side was replaced since."""
        learners = [seat.actor for seat in self._learners]
        ends = [*learners, *generators]
        if self._connected is None or self._connected[0] != ends:
            self._connected = ends, self._kind(learners, generators, self._timeout_s)
        return self._connected[1]

    async def _within_deadline(self, what: str, calls: Sequence[ObjectRef]) -> None:
        await within(self._timeout_s, f"{what} (sync.timeout_s)", all_of(calls))


def _takes_nccl(config: SyncConfig) -> bool:
    return config.backend is SyncBackend.nccl or (config.backend is SyncBackend.auto and has_gpus())

"""`WeightDelivery`: publications of a run's weights, whoever dies over one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ray.exceptions import RayError

from actors.faults.seat import Seat
from actors.waiting import DeadlineError
from actors.weight_sync.publisher import SyncStats, WeightPublisher
from museg.config.schema import SyncConfig

if TYPE_CHECKING:
    from actors.generation.pool import GeneratorPool
    from actors.learning.gang import LearnerGang


class WeightDelivery:
    """Brings the learner's present weights to the generators, again and again until they are there.

    weights = WeightDelivery(learner, generators, config.sync)
    synced = await weights.to_all(version=step)
    await weights.to_one(seat)                    # which has taken another's place, in mid-step too
    """

    def __init__(self, learner: LearnerGang, generators: GeneratorPool, config: SyncConfig) -> None:
        self._learner = learner
        self._generators = generators
        self._publisher = WeightPublisher(learner.seats, generators.seats, config)

    async def to_all(self, version: int) -> SyncStats:
        """Call them `version`, and publish them between two steps' sampling.

        Raises:
            RayError, DeadlineError: a worker that is neither dead nor hangs failed.
            FaultError: workers died or hung more often than the run gets over.
        """
        async with self._generators.updating():
            self._learner.version = version
            return await self._publish()

    async def to_one(self, seat: Seat) -> None:
        """Publish to one generator. Raises as `to_all`, and what its own death raises: its pool sees to that."""
        await self._publish(only=[seat])

    async def _publish(self, only: Sequence[Seat] | None = None) -> SyncStats:
        while True:
            life = self._learner.life
            try:
                async with self._learner.weights_held() as version:
                    return await self._publisher.publish(version, only)
            except (RayError, DeadlineError) as fault:
                mended = await self._learner.mend(fault, life)
                # A newcomer is mended by the pool that asks for its weights.
                if only is None:
                    mended = await self._generators.mend(fault) or mended
                if not mended:
                    raise

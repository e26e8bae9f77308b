"""All generation workers as one: prompts in, groups out as they finish, whichever worker dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ray.exceptions import RayError, RayTaskError

from actors.awake import awake_s
from actors.faults.attendance import Attendance, refilled
from actors.faults.deaths import is_fault
from actors.faults.seat import Seat
from actors.generation.admission import Admission
from actors.generation.requests import GeneratedGroup, GenerationRequest
from actors.generation.seat_stream import HangError, SeatStream
from actors.generation.workload import Workload
from actors.occupation import Occupation
from actors.waiting import DeadlineError
from museg.config.schema import GenerationConfig

BringWeights = Callable[[Seat], Awaitable[None]]
_RETRY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sampling:
    """One call of `sample`."""

    work: Workload
    number: int = field(default_factory=time.monotonic_ns)
    """Higher than that of any sampling before."""
    finished: asyncio.Queue[GeneratedGroup | asyncio.Task[None]] = field(default_factory=asyncio.Queue)
    """Groups, and the task of a seat that failed."""


class GeneratorPool:
    """Has the workers take requests from one queue as their engines have room, and merges their streams.

    async with aclosing(pool.sample(requests)) as groups:
        async for group in groups: ...
    async with pool.updating():
        ...                                           # replace the workers' weights

    Sampling and updating exclude each other, in the order in which they are asked for. The requests of a worker that
    dies or hangs go back to the queue; another worker fills its seat in the background, is brought the weights and
    joins the sampling under way, or the next. So does whoever fills a seat that was vacant.
    """

    def __init__(self, seats: Sequence[Seat], config: GenerationConfig, occupation: Occupation | None = None) -> None:
        self.attendance = Attendance(seats, self._bring_weights)
        self.seats = self.attendance.seats
        self.config = config
        self.occupation = occupation or Occupation()
        self.bring_weights: BringWeights | None = None
        """Gives a newcomer the weights that the others have; None: they have those of `model.path`, as it does."""
        self._in_use = asyncio.Lock()
        self._admission = Admission()
        self._work: Workload | None = None
        """Of the sampling under way."""

    async def sample(self, requests: Sequence[GenerationRequest]) -> AsyncGenerator[GeneratedGroup, None]:
        """Yield one group per request, each once, in the order in which they finish; they start in their own.

        Raises:
            FaultError: workers died or hung more often than the run gets over.
            DeadlineError: a worker that responds gave no group for `generation.timeout_s`, or a new one didn't start.
            RayError: a worker raised something.
        """
        async with self._in_use:
            sampling = _Sampling(work=Workload(requests, [seat.name for seat in self.seats], self.occupation))
            self._work = sampling.work
            shares = sampling.work.first_shares(self.attendance.present, self.config.max_sequences)
            streams = [
                asyncio.create_task(self._serve(rank, sampling, shares.get(rank, [])))
                for rank in range(len(self.seats) if requests else 0)
            ]
            for stream in streams:
                stream.add_done_callback(sampling.finished.put_nowait)
            try:
                for _ in requests:
                    group = await sampling.finished.get()
                    if isinstance(group, asyncio.Task):
                        group.result()
                        raise AssertionError("a stream ends only by failing")
                    yield group
            finally:
                for stream in streams:
                    # What ends it knows the sampling, which would know it: a circle that holds the videos until Python
                    # looks for such.
                    stream.remove_done_callback(sampling.finished.put_nowait)
                    stream.cancel()
                await asyncio.gather(*streams, return_exceptions=True)
                for rank in range(len(self.seats)):
                    sampling.work.give_back(rank)
                self._work = None

    @property
    def num_waiting(self) -> int:
        """Requests of the sampling under way that no worker has taken."""
        work = self._work
        return 0 if work is None else work.num_waiting

    @asynccontextmanager
    async def updating(self) -> AsyncIterator[None]:
        """Nothing is sampled inside and nobody joins; sampling that was asked for before has ended.

        As many workers are there as the run needs; who comes later is brought the weights.

        Raises:
            FaultError: workers died or hung more often than the run gets over.
        """
        async with self._in_use:
            async with self._admission.update_waits():
                await self.attendance.until_enough()
            async with self._admission.updating():
                yield

    async def mend(self, fault: BaseException) -> bool:
        """Replace the workers that are dead or hang, if any, without weights; for use inside `updating`.

        Raises:
            FaultError: workers died or hung more often than the run gets over.
        """
        present = self.attendance.present
        lives = {rank: self.seats[rank].life for rank in present}
        responding = await asyncio.gather(*(self.seats[rank].responds() for rank in present))
        lost = [rank for rank, responds in zip(present, responding, strict=True) if not responds]
        for rank in lost:
            self.attendance.lost(rank, lives[rank], fault)
        async with self._admission.update_waits():
            await self.attendance.until_enough()
        return bool(lost)

    async def release(self, nodes: Collection[str]) -> None:
        """Take no more from workers on nodes that are about to go, as far as they can be spared."""
        await self._admission.no_update()
        self.attendance.release(nodes)

    def close(self) -> None:
        """Give up what is being replaced."""
        self.attendance.close()

    async def _serve(self, rank: int, sampling: _Sampling, first: Sequence[GenerationRequest]) -> None:
        """A seat's part, by whichever workers fill it; ends only by failing."""
        seat = self.seats[rank]
        while True:
            await self.attendance.until_present(rank)
            life = seat.life
            stream = SeatStream(
                seat, rank, sampling.number, sampling.work, sampling.finished.put_nowait, self.config.timeout_s
            )
            try:
                await stream.run(first)
            except RayTaskError:
                # The worker's own: it would be raised again.
                raise
            except (RayError, HangError) as fault:
                first = []
                sampling.work.give_back(rank)
                self.attendance.lost(rank, life, fault)

    async def _bring_weights(self, rank: int) -> None:
        """Bring a newcomer the weights, which may fail at either end."""
        seat = self.seats[rank]
        deadline_s = awake_s() + self.config.timeout_s
        while self.bring_weights is not None:
            life = seat.life
            try:
                async with self._admission.bringing() as needed:
                    if needed:
                        await self.bring_weights(seat)
                return
            except (RayError, DeadlineError) as again:
                if not is_fault(again) or awake_s() > deadline_s:
                    raise
                if not await seat.responds():
                    await (seat.arrived(anew=True) if seat.vacant else refilled(seat, again, life))
                # Else it was the learner, which is mended elsewhere.
                await asyncio.sleep(_RETRY_S)

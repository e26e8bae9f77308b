"""All generation workers as one: prompts in, groups out as they finish, whichever worker dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ray.exceptions import RayError, RayTaskError

from actors.cluster import DeadlineError
from actors.faults.deaths import is_fault
from actors.faults.seat import Seat
from actors.generation.requests import GeneratedGroup, GenerationRequest
from actors.generation.seat_stream import HangError, SeatStream
from actors.generation.workload import Workload
from actors.occupation import Occupation
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
    joins the sampling under way, or the next.
    """

    def __init__(self, seats: Sequence[Seat], config: GenerationConfig, occupation: Occupation | None = None) -> None:
        self.seats = list(seats)
        self.config = config
        self.occupation = occupation or Occupation()
        self.bring_weights: BringWeights | None = None
        """Gives a newcomer the weights that the others have; None: they have those of `model.path`, as it does."""
        self._in_use = asyncio.Lock()
        self._renewals: dict[int, asyncio.Task[None]] = {}
        """Under way or failed, by the seat's place."""
        self._update_waits = False
        self._work: Workload | None = None
        """Of the sampling under way."""
        self._bringing = asyncio.Lock()

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
            ready = [rank for rank in range(len(self.seats)) if rank not in self._renewals]
            shares = sampling.work.first_shares(ready, self.config.max_sequences)
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
        """Nothing is sampled inside; sampling that was asked for before has ended, and all seats are filled.

        Raises:
            FaultError: workers died or hung more often than the run gets over.
        """
        async with self._in_use:
            self._update_waits = True
            try:
                await asyncio.gather(*(asyncio.shield(renewal) for renewal in self._renewals.values()))
            finally:
                self._update_waits = False
            yield

    async def mend(self, fault: BaseException) -> bool:
        """Fill the seats whose worker is dead or hangs, if any, without weights; for use inside `updating`.

        Raises:
            FaultError: workers died or hung more often than the run gets over.
        """
        lives = [seat.life for seat in self.seats]
        responding = await asyncio.gather(*(seat.responds() for seat in self.seats))
        lost = [rank for rank, responds in enumerate(responding) if not responds]
        await asyncio.gather(*(_refill(self.seats[rank], fault, lives[rank]) for rank in lost))
        return bool(lost)

    def close(self) -> None:
        """Give up what is being replaced."""
        for renewal in self._renewals.values():
            renewal.cancel()

    async def _serve(self, rank: int, sampling: _Sampling, first: Sequence[GenerationRequest]) -> None:
        """A seat's part, by whichever workers fill it; ends only by failing."""
        seat = self.seats[rank]
        while True:
            if rank in self._renewals:
                await asyncio.shield(self._renewals[rank])
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
                self._renewals[rank] = asyncio.create_task(self._renew(rank, fault, life))

    async def _renew(self, rank: int, fault: BaseException, life: int) -> None:
        """Fill a seat and bring the newcomer the weights, which may fail at either end."""
        seat = self.seats[rank]
        await _refill(seat, fault, life)
        deadline_s = time.monotonic() + self.config.timeout_s
        # Whoever waits for an update brings all seats its weights.
        while self.bring_weights is not None and not self._update_waits:
            life = seat.life
            try:
                async with self._bringing:
                    await self.bring_weights(seat)
                break
            except (RayError, DeadlineError) as again:
                if not is_fault(again) or time.monotonic() > deadline_s:
                    raise
                if not await seat.responds():
                    await _refill(seat, again, life)
                # Else it was the learner, which is mended elsewhere.
                await asyncio.sleep(_RETRY_S)
        del self._renewals[rank]


async def _refill(seat: Seat, fault: BaseException, life: int) -> None:
    """Fill a seat, again if the newcomer dies before it can work; the run's budget ends that."""
    while True:
        try:
            return await seat.refill(fault, life)
        except RayTaskError:
            raise
        except RayError as again:
            fault, life = again, seat.life

"""All generation workers as one: prompts in, groups out as they finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from ray.exceptions import RayError

from actors.cluster import within
from actors.faults.seat import Seat
from actors.generation import GeneratedGroup, GenerationRequest
from actors.occupation import Occupation


class GeneratorPool:
    """Deals requests to the workers by load and merges their streams.

    async with aclosing(pool.sample(requests)) as groups:
        async for group in groups: ...
    async with pool.updating():
        ...                                           # replace the workers' weights

    Sampling and updating exclude each other, in the order in which they are asked for.
    """

    def __init__(self, seats: Sequence[Seat], timeout_s: float, occupation: Occupation | None = None) -> None:
        self.seats = list(seats)
        self.timeout_s = timeout_s
        self.occupation = occupation or Occupation()
        self._in_use = asyncio.Lock()

    async def sample(self, requests: Sequence[GenerationRequest]) -> AsyncGenerator[GeneratedGroup, None]:
        """Yield one group per request, in the order in which they finish; each worker starts its own in their order.

        Raises:
            DeadlineError: no group came for `generation.timeout_s`.
            RayError: a worker failed or died.
        """
        async with self._in_use:
            finished: asyncio.Queue[GeneratedGroup | RayError] = asyncio.Queue()
            streams = [
                asyncio.create_task(self._drain(rank, own, finished))
                for rank, own in enumerate(dealt(requests, len(self.seats)))
            ]
            try:
                for _ in requests:
                    group = await within(
                        self.timeout_s, "the next group of completions (generation.timeout_s)", finished.get()
                    )
                    if isinstance(group, RayError):
                        raise group
                    yield group
            finally:
                for stream in streams:
                    stream.cancel()

    @asynccontextmanager
    async def updating(self) -> AsyncIterator[None]:
        """Nothing is sampled inside; sampling that was asked for before has ended."""
        async with self._in_use:
            yield

    async def _drain(
        self, rank: int, requests: list[GenerationRequest], finished: asyncio.Queue[GeneratedGroup | RayError]
    ) -> None:
        if not requests:
            return
        try:
            with self.occupation.of(f"generation-{rank}"):
                async for ref in self.seats[rank].actor.generate.options(num_returns="streaming").remote(requests):
                    await finished.put(await ref)
        except RayError as error:
            await finished.put(error)


def dealt(requests: Sequence[GenerationRequest], num_workers: int) -> list[list[GenerationRequest]]:
    """Each worker's share, in the order of the requests: the longest first to the least loaded, ties to the lowest."""
    loads = [0] * num_workers
    shares: list[list[int]] = [[] for _ in range(num_workers)]
    for place in sorted(range(len(requests)), key=lambda place: -requests[place].max_num_tokens):
        rank = loads.index(min(loads))
        loads[rank] += requests[place].max_num_tokens
        shares[rank].append(place)
    return [[requests[place] for place in sorted(share)] for share in shares]

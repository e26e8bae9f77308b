"""All generation workers as one: prompts in, groups out as they finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors.cluster import within
from actors.generation import GeneratedGroup, GenerationRequest


class GeneratorPool:
    """Spreads requests over the workers and merges their streams."""

    def __init__(self, workers: Sequence[ActorHandle], timeout_s: float) -> None:
        self.workers = list(workers)
        self.timeout_s = timeout_s

    async def sample(self, requests: Sequence[GenerationRequest]) -> AsyncGenerator[GeneratedGroup, None]:
        """Yield one group per request, in the order in which they finish.

        Raises:
            DeadlineError: no group came for `generation.timeout_s`.
            RayError: a worker failed or died.
        """
        finished: asyncio.Queue[GeneratedGroup | RayError] = asyncio.Queue()
        streams = [
            asyncio.create_task(_drain(worker, list(requests[rank :: len(self.workers)]), finished))
            for rank, worker in enumerate(self.workers)
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


async def _drain(
    worker: ActorHandle, requests: list[GenerationRequest], finished: asyncio.Queue[GeneratedGroup | RayError]
) -> None:
    if not requests:
        return
    try:
        async for ref in worker.generate.options(num_returns="streaming").remote(requests):
            await finished.put(await ref)
    except RayError as error:
        await finished.put(error)

"""All generation workers as one: prompts in, groups out as they finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from ray.actor import ActorHandle

from actors.cluster import within
from actors.generation import GeneratedGroup, GenerationRequest

_DONE = None


class GeneratorPool:
    """Spreads requests over the workers and merges their streams."""

    def __init__(self, workers: Sequence[ActorHandle], timeout_s: float) -> None:
        self.workers = list(workers)
        self.timeout_s = timeout_s

    async def sample(self, requests: Sequence[GenerationRequest]) -> AsyncIterator[GeneratedGroup]:
        """Yield one group per request, in the order in which they finish.

        Raises:
            DeadlineExceeded: no group came for `generation.timeout_s`.
        """
        finished: asyncio.Queue[GeneratedGroup | None] = asyncio.Queue()
        async with asyncio.TaskGroup() as streams:
            shares = [list(requests[rank :: len(self.workers)]) for rank in range(len(self.workers))]
            open_streams = [
                streams.create_task(self._drain(worker, share, finished))
                for worker, share in zip(self.workers, shares, strict=True)
                if share
            ]
            for _ in range(len(requests) + len(open_streams)):
                group = await within(self.timeout_s, "the next group of completions (generation.timeout_s)", finished.get())
                if group is not _DONE:
                    yield group

    async def _drain(
        self, worker: ActorHandle, share: list[GenerationRequest], finished: asyncio.Queue[GeneratedGroup | None]
    ) -> None:
        async for ref in worker.generate.options(num_returns="streaming").remote(share):
            await finished.put(await ref)
        await finished.put(_DONE)

    async def weights_versions(self) -> list[int]:
        """The version that each worker holds."""
        refs = [worker.weights_version.remote() for worker in self.workers]
        return list(await within(self.timeout_s, "the generators' weights version", asyncio.gather(*refs)))

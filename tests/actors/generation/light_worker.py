"""A generation worker without an engine: everything else of it is real."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

import ray
from ray.actor import ActorHandle

from actors.faults.budget import RestartBudget
from actors.faults.seat import Seat
from actors.faults.watched import HEALTH, Watched, as_actor
from actors.generation import INTAKE, GeneratedGroup, GenerationRequest
from actors.generation.inbox import Inbox
from actors.generation.pool import GeneratorPool
from museg.rollout.completions import Completion


class LightWorker(Watched):
    """Answers one request after the other by its own process's id and the version of its weights.

    A prompt says what else it does: `fail`, `sleep 0.5`, and, once for each file, `die <file>` and `stop <file>`.
    """

    def __init__(self) -> None:
        self.version = 0
        self.inbox = Inbox()
        self.order: list[int] = []

    def generate(self, requests: Sequence[GenerationRequest], sampling: int) -> Iterator[GeneratedGroup]:
        """A group of one completion a request."""
        self.inbox.open(sampling, requests)
        while self.inbox.wait(sampling):
            for request in iter(self.inbox.at_hand().__next__, None):
                self.order.append(request.key)
                _do(request.prompt)
                yield self._group(request.key)

    @ray.method(concurrency_group=INTAKE)
    def take(self, sampling: int, requests: Sequence[GenerationRequest]) -> None:
        """As a generation worker's."""
        self.inbox.take(sampling, requests)

    @ray.method(concurrency_group=HEALTH)
    def close(self, sampling: int) -> None:
        """As a generation worker's."""
        self.inbox.close(sampling)

    def update(self, version: int) -> None:
        """Take new weights."""
        self.version = version

    @ray.method(concurrency_group=HEALTH)
    def started(self) -> list[int]:
        """Keys of the requests, in the order in which they were started."""
        return self.order

    def _group(self, key: int) -> GeneratedGroup:
        completion = Completion(
            token_ids=(os.getpid(),), logprobs=(0.0,), text="", finish_reason="stop", weights_version=self.version
        )
        return GeneratedGroup(key=key, completions=(completion,))


def _do(prompt: str) -> None:
    match prompt.split():
        case ["fail"]:
            raise ValueError("asked to")
        case ["sleep", seconds]:
            time.sleep(float(seconds))
        case [("die" | "stop") as what, file] if not Path(file).exists():
            Path(file).touch()
            os.kill(os.getpid(), signal.SIGKILL if what == "die" else signal.SIGSTOP)
            # The signal may reach another thread first.
            time.sleep(1.0)


def light_seats(num_seats: int, budget: RestartBudget) -> list[Seat]:
    """Filled ones, called generation-0 and so on."""

    def start() -> ActorHandle:
        return as_actor(LightWorker, INTAKE).options(num_cpus=0).remote()

    async def ready(actor: ActorHandle) -> None:
        await actor.whereabouts.remote()

    async def filled() -> list[Seat]:
        seats = [Seat(f"generation-{rank}", start, ready, budget) for rank in range(num_seats)]
        await asyncio.gather(*(seat.filled() for seat in seats))
        return seats

    return asyncio.run(filled())


async def sampled(pool: GeneratorPool, requests: Sequence[GenerationRequest]) -> dict[int, tuple[int, int]]:
    """Key → process and weights version; each key came once."""
    async with aclosing(pool.sample(requests)) as groups:
        found = [(group.key, group.completions[0]) async for group in groups]
    assert max(Counter(key for key, _ in found).values(), default=1) == 1
    return {key: (completion.token_ids[0], completion.weights_version) for key, completion in found}

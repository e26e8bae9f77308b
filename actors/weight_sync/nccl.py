"""Weights by NCCL, for generators on GPUs: vLLM's own broadcast, from the learner's first rank to all engine ranks.

Written against vLLM 0.32 and not run yet: the project's machines have no two GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence

from ray.actor import ActorHandle

from actors.waiting import all_of, within


class NcclBroadcast:
    """Connects learner and generators once, and lets the learner broadcast; no weights pass through Ray."""

    def __init__(self, learners: Sequence[ActorHandle], generators: Sequence[ActorHandle], timeout_s: float) -> None:
        self._learners = list(learners)
        self._generators = list(generators)
        self._timeout_s = timeout_s
        self._connected = False

    async def prepare(self) -> None:
        """Form one NCCL group of the learner's first rank and all ranks of all engines, the first time."""
        if self._connected:
            return
        address, port = await within(
            self._timeout_s, "the learner's address (sync.timeout_s)", self._learners[0].rendezvous_address.remote()
        )
        joining = [
            learner.connect_generators.remote(address, port, self._generators, self._timeout_s)
            for learner in self._learners
        ]
        await within(self._timeout_s, "the NCCL group of learner and generators (sync.timeout_s)", all_of(joining))
        self._connected = True

    async def send(self) -> int:
        """Broadcast all weights into generators that have begun an update; the bytes sent."""
        sending = [learner.broadcast_weights.remote() for learner in self._learners]
        sizes = await within(self._timeout_s, "the broadcast of weights (sync.timeout_s)", all_of(sending))
        return int(sizes[0])

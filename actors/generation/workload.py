"""The requests of one sampling: which wait, who holds which, which are answered."""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Sequence

from actors.generation.requests import GenerationRequest
from actors.occupation import Occupation


class Workload:
    """One queue for all seats, in the order of the requests.

        work = Workload(requests, seat_names, occupation)
        first = work.first_shares(ranks, max_sequences)
        request = await work.take(rank)
        if work.answered(rank, key): ...                 # its group is wanted
        work.give_back(rank)                             # what the seat holds waits again, ahead of what is behind it

    A request is with the queue or with one seat, until it is answered.
    """

    def __init__(
        self, requests: Sequence[GenerationRequest], seat_names: Sequence[str], occupation: Occupation
    ) -> None:
        self._requests = list(requests)
        self._places = {request.key: place for place, request in enumerate(requests)}
        self._waiting = list(range(len(requests)))
        self._held: list[set[int]] = [set() for _ in seat_names]
        self._names = list(seat_names)
        self._occupation = occupation
        self._some_wait = asyncio.Event()

    def first_shares(self, ranks: Sequence[int], max_sequences: int) -> dict[int, list[GenerationRequest]]:
        """What engines without work start with, in the order of the requests.

        Each goes to the seat with the fewest tokens ahead, of those with room for a sequence.
        """
        tokens, sequences = dict.fromkeys(ranks, 0), dict.fromkeys(ranks, 0)
        shares: dict[int, list[GenerationRequest]] = {rank: [] for rank in ranks}
        while self._waiting and (roomy := [rank for rank in ranks if sequences[rank] < max_sequences]):
            rank = min(roomy, key=lambda rank: tokens[rank])
            request = self._hand(rank)
            tokens[rank] += request.max_num_tokens
            sequences[rank] += request.sampling.num_completions
            shares[rank].append(request)
        return shares

    async def take(self, rank: int) -> GenerationRequest:
        """The head of the queue, for a seat to hold; while the queue is empty this waits."""
        while not self._waiting:
            self._some_wait.clear()
            await self._some_wait.wait()
        return self._hand(rank)

    def answered(self, rank: int, key: int) -> bool:
        """Strike off a request; False: the seat doesn't hold it any more, so that its answer isn't wanted."""
        place = self._places[key]
        if place not in self._held[rank]:
            return False
        self._let_go(rank, place)
        return True

    def give_back(self, rank: int) -> None:
        """Put all that a seat holds back to where it was in the queue."""
        for place in list(self._held[rank]):
            self._let_go(rank, place)
            insort(self._waiting, place)
        if self._waiting:
            self._some_wait.set()

    @property
    def num_waiting(self) -> int:
        """Requests that no seat holds."""
        return len(self._waiting)

    def is_held_by(self, rank: int) -> bool:
        """Whether the seat owes an answer."""
        return bool(self._held[rank])

    def _hand(self, rank: int) -> GenerationRequest:
        place = self._waiting.pop(0)
        self._held[rank].add(place)
        self._occupation.begin(self._names[rank])
        return self._requests[place]

    def _let_go(self, rank: int, place: int) -> None:
        self._held[rank].remove(place)
        self._occupation.end(self._names[rank])

"""Which groups share a forward, and which rank computes it: a function of the groups alone, never of time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """A group or a demonstration on its way to the learner."""

    @property
    def num_tokens(self) -> int:
        """That its forward computes: the prompt, once, and all that follows it."""
        ...


Item = TypeVar("Item", bound=Sized)


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch(Generic[Item]):
    """What one rank computes in one packed forward and backward."""

    rank: int
    items: tuple[Item, ...]

    @property
    def num_tokens(self) -> int:
        return sum(item.num_tokens for item in self.items)


class MicroBatcher(Generic[Item]):
    """Packs one update's items, as they come, into micro-batches and deals these to the ranks.

    A micro-batch holds up to `max_tokens`, and no more items than a rank's even share of those that are left, so that
    the ranks finish together; an item of more tokens has one of its own. It goes to the rank that has been dealt the
    fewest tokens, the lowest of equals.

        for item in items:
            for micro_batch in batcher.add(item): …
        for micro_batch in batcher.flush(): …
    """

    def __init__(self, *, num_items: int, num_ranks: int, max_tokens: int) -> None:
        self._num_left = num_items
        self._max_tokens = max_tokens
        self._open: list[Item] = []
        self._dealt = [0] * num_ranks
        """Tokens of each rank."""

    def add(self, item: Item) -> list[MicroBatch[Item]]:
        """Take the next item; the micro-batches that can't hold any further one."""
        closed = []
        if self._open and self._num_open_tokens + item.num_tokens > self._max_tokens:
            closed.append(self._close())
        if not self._open:
            self._max_items = math.ceil(self._num_left / len(self._dealt))
        self._open.append(item)
        self._num_left -= 1
        full = len(self._open) == self._max_items or self._num_open_tokens >= self._max_tokens
        if full or self._num_left == 0:
            closed.append(self._close())
        return closed

    def flush(self) -> list[MicroBatch[Item]]:
        """What is still open, where fewer items came than were announced."""
        return [self._close()] if self._open else []

    @property
    def _num_open_tokens(self) -> int:
        return sum(item.num_tokens for item in self._open)

    def _close(self) -> MicroBatch[Item]:
        rank = self._dealt.index(min(self._dealt))
        micro_batch = MicroBatch(rank=rank, items=tuple(self._open))
        self._dealt[rank] += micro_batch.num_tokens
        self._open.clear()
        return micro_batch

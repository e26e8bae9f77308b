from __future__ import annotations

import math
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from museg.rollout.micro_batches import MicroBatch, MicroBatcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    num_tokens: int
    place: int


def packed(tokens: list[int], *, num_ranks: int, max_tokens: int) -> list[list[MicroBatch[Item]]]:
    """What each item closes, and what is left at the end."""
    batcher: MicroBatcher[Item] = MicroBatcher(num_items=len(tokens), num_ranks=num_ranks, max_tokens=max_tokens)
    closed = [batcher.add(Item(num_tokens=count, place=place)) for place, count in enumerate(tokens)]
    return [*closed, batcher.flush()]


def sizes(closed: list[MicroBatch[Item]]) -> list[tuple[int, list[int]]]:
    return [(one.rank, [item.num_tokens for item in one.items]) for one in closed]


def test_a_micro_batch_closes_when_the_next_item_would_not_fit_and_a_larger_item_is_alone() -> None:
    closed = packed([9, 4, 3, 3, 2], num_ranks=1, max_tokens=7)
    assert [sizes(one) for one in closed] == [[(0, [9])], [], [(0, [4, 3])], [], [(0, [3, 2])], []]


def test_no_micro_batch_takes_more_than_an_even_share_of_what_is_left() -> None:
    closed = packed([3, 3, 2, 2, 1], num_ranks=2, max_tokens=1000)
    assert [sizes(one) for one in closed] == [[], [], [(0, [3, 3, 2])], [(1, [2])], [(1, [1])], []]


def test_the_busiest_rank_gets_no_more_than_its_even_share_of_equal_items() -> None:
    closed = [one for closed_by in packed([5] * 14, num_ranks=6, max_tokens=10) for one in closed_by]
    assert [len(one.items) for one in closed] == [2, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    assert max(sum(len(one.items) for one in closed if one.rank == rank) for rank in range(6)) == 3


def test_a_micro_batch_goes_to_the_rank_with_the_fewest_tokens_and_the_lowest_of_equals() -> None:
    closed = packed([9, 5, 5, 2, 1], num_ranks=3, max_tokens=1)
    assert [one.rank for closed_by in closed for one in closed_by] == [0, 1, 2, 1, 2]


def test_fewer_items_than_announced_are_flushed() -> None:
    batcher: MicroBatcher[Item] = MicroBatcher(num_items=5, num_ranks=1, max_tokens=100)
    assert batcher.add(Item(num_tokens=1, place=0)) == []
    assert sizes(batcher.flush()) == [(0, [1])]
    assert batcher.flush() == []


@given(
    tokens=st.lists(st.integers(1, 50), min_size=1, max_size=30),
    num_ranks=st.integers(1, 8),
    max_tokens=st.integers(1, 120),
)
def test_all_items_are_packed_once_in_order_within_bounds(tokens: list[int], num_ranks: int, max_tokens: int) -> None:
    micro_batches = [one for closed in packed(tokens, num_ranks=num_ranks, max_tokens=max_tokens) for one in closed]
    assert [item.place for one in micro_batches for item in one.items] == list(range(len(tokens)))
    for one in micro_batches:
        assert len(one.items) == 1 or one.num_tokens <= max_tokens
        assert len(one.items) <= math.ceil(len(tokens) / num_ranks)
    dealt = [sum(one.num_tokens for one in micro_batches if one.rank == rank) for rank in range(num_ranks)]
    largest = max(one.num_tokens for one in micro_batches)
    assert max(dealt) - min(dealt) <= largest

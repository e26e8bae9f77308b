from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from museg.data.batches import batch_of_step, replacement
from museg.errors import DataError

sizes = st.integers(1, 60)
seeds = st.integers(0, 2**32)


@settings(deadline=None)
@given(num_samples=sizes, prompts_per_step=sizes, seed=seeds)
def test_every_sample_is_drawn_once_an_epoch(num_samples: int, prompts_per_step: int, seed: int) -> None:
    num_epochs = 4
    num_steps = -(-num_epochs * num_samples // prompts_per_step)
    drawn = [idx for step in range(num_steps) for idx in batch_of_step(num_samples, prompts_per_step, step, seed)]
    for epoch in range(num_epochs):
        assert sorted(drawn[epoch * num_samples : (epoch + 1) * num_samples]) == list(range(num_samples))


@settings(deadline=None)
@given(num_samples=sizes, prompts_per_step=sizes, step=st.integers(0, 200), seed=seeds)
def test_a_batch_repeats_a_sample_only_if_it_is_larger_than_the_data(
    num_samples: int, prompts_per_step: int, step: int, seed: int
) -> None:
    counts = Counter(batch_of_step(num_samples, prompts_per_step, step, seed))
    assert counts.total() == prompts_per_step
    assert max(counts.values()) <= -(-prompts_per_step // num_samples) + (prompts_per_step > num_samples)


def test_a_step_asked_for_alone_is_the_same_as_in_a_run() -> None:
    run = [batch_of_step(50, 8, step, 7) for step in range(30)]
    assert [batch_of_step(50, 8, step, 7) for step in reversed(range(30))] == run[::-1]


def test_the_order_is_fixed_by_the_seed() -> None:
    assert batch_of_step(10, 4, 0, 42) == [5, 6, 0, 7]
    assert batch_of_step(10, 4, 0, 43) != batch_of_step(10, 4, 0, 42)


def test_epochs_differ_in_order() -> None:
    first, second = (batch_of_step(40, 40, step, 0) for step in (0, 1))
    assert first != second


def test_every_order_of_a_small_data_set_is_as_likely_as_another() -> None:
    counts = Counter(tuple(batch_of_step(3, 3, 0, seed)) for seed in range(3000))
    assert len(counts) == 6
    assert all(400 < count < 600 for count in counts.values())


@settings(deadline=None)
@given(num_samples=st.integers(2, 60), step=st.integers(0, 200), seed=seeds, data=st.data())
def test_a_replacement_is_a_sample_that_was_not_tried(
    num_samples: int, step: int, seed: int, data: st.DataObject
) -> None:
    tried = data.draw(st.sets(st.integers(0, num_samples - 1), max_size=num_samples - 1))
    assert replacement(num_samples, step, seed, tried) in set(range(num_samples)) - tried


def test_successive_replacements_follow_one_order_that_depends_on_the_step() -> None:
    def order(step: int) -> list[int]:
        tried: list[int] = []
        for _ in range(20):
            tried.append(replacement(20, step, 3, tried))
        return tried

    assert sorted(order(5)) == list(range(20))
    assert order(5) == order(5)
    assert order(5) != order(6)
    batch = set(order(5)[:2])
    assert replacement(20, 5, 3, batch) == order(5)[2]


def test_a_step_that_has_tried_every_sample_is_an_error() -> None:
    with pytest.raises(DataError, match="none of the 3 samples is left"):
        replacement(3, 0, 0, {0, 1, 2})

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from museg.config.choices import Aggregation, RatioLevel
from museg.grpo.aggregation import StepTotals, mean_over_ratios, mean_over_sequences, share_of_step
from tests.museg.grpo.material import MASK

VALUES = torch.tensor([[1.0, 2.0, 6.0], [5.0, math.nan, math.inf]])
# The step has a second group, of two completions and six tokens.
TOTALS = StepTotals(num_groups=2, num_completions=4, num_tokens=10)


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        (Aggregation.sequence_mean, ((1 + 2 + 6) / 3 + 5) / 4),
        (Aggregation.token_mean, (1 + 2 + 6 + 5) / 10),
        (Aggregation.constant, (1 + 2 + 6 + 5) / (4 * 20)),
    ],
)
def test_a_groups_share_by_hand(aggregation: Aggregation, expected: float) -> None:
    share = share_of_step(VALUES, MASK, aggregation=aggregation, totals=TOTALS, max_tokens=20)
    assert share.item() == pytest.approx(expected)


def test_means_go_over_tokens_then_sequences() -> None:
    assert mean_over_sequences(VALUES, MASK).item() == pytest.approx((3.0 + 5.0) / 2)


def test_a_fraction_of_ratios_counts_tokens_or_sequences() -> None:
    of_tokens = torch.tensor([[True, False, False], [True, True, True]])
    assert mean_over_ratios(of_tokens, MASK, RatioLevel.token).item() == pytest.approx(2 / 4)
    of_sequences = torch.tensor([[True] * 3, [False] * 3])
    assert mean_over_ratios(of_sequences, MASK, RatioLevel.sequence).item() == pytest.approx(1 / 2)


LENGTHS = st.lists(st.lists(st.integers(1, 6), min_size=3, max_size=3), min_size=2, max_size=5)


@given(lengths=LENGTHS, cut=st.integers(1, 4))
@pytest.mark.parametrize("aggregation", Aggregation)
def test_shares_sum_to_the_whole_steps_aggregate_however_the_groups_are_split(
    aggregation: Aggregation, lengths: list[list[int]], cut: int
) -> None:
    flat = [length for group in lengths for length in group]
    values = torch.rand(len(flat), 6, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(flat)))
    mask = torch.arange(6) < torch.tensor(flat)[:, None]
    totals = StepTotals(num_groups=len(lengths), num_completions=len(flat), num_tokens=sum(flat))

    def share(first: int, last: int) -> float:
        rows = slice(3 * first, 3 * last)
        return (
            share_of_step(values[rows], mask[rows], aggregation=aggregation, totals=totals, max_tokens=6).item()
            if first < last
            else 0.0
        )

    whole = share(0, len(lengths))
    one_by_one = [share(index, index + 1) for index in range(len(lengths))]
    assert sum(one_by_one) == pytest.approx(whole)
    assert share(0, min(cut, len(lengths))) + share(min(cut, len(lengths)), len(lengths)) == pytest.approx(whole)

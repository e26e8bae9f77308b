"""How the values of a step's tokens become one number. Letters: G completions of a group, C tokens of its longest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from museg.config.choices import Aggregation, RatioLevel

if TYPE_CHECKING:
    from museg.rollout.completions import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTotals:
    """What a step is a mean over, whichever ranks and calls its groups go to."""

    num_groups: int
    num_completions: int
    num_tokens: int | None
    """Of all completions; prompts not counted. None as long as some are still being sampled."""

    @classmethod
    def ahead(cls, num_groups: int, group_size: int) -> StepTotals:
        """Those of a step whose completions aren't all there: enough for every aggregation but `token_mean`."""
        return cls(num_groups=num_groups, num_completions=num_groups * group_size, num_tokens=None)

    @classmethod
    def of(cls, groups: Sequence[Group]) -> StepTotals:
        completions = [completion for group in groups for completion in group.completions]
        return cls(
            num_groups=len(groups),
            num_completions=len(completions),
            num_tokens=sum(len(completion.token_ids) for completion in completions),
        )


def share_of_step(
    values: torch.Tensor, mask: torch.Tensor, *, aggregation: Aggregation, totals: StepTotals, max_tokens: int
) -> torch.Tensor:
    """One group's addend: over a step's groups these sum to the step's aggregate, however the groups are dealt.

    Args:
        values: of tokens, `[G, C]`; what padding holds doesn't count.
        mask: bool `[G, C]`, true at tokens; every completion has at least one.
        aggregation: the rule.
        totals: of the whole step.
        max_tokens: longest completion allowed, for Aggregation.constant.

    Raises:
        ValueError: under `token_mean`, the step's tokens aren't counted yet.
    """
    values = values.masked_fill(~mask, 0.0)
    match aggregation:
        case Aggregation.sequence_mean:
            return (values.sum(dim=1) / mask.sum(dim=1)).sum() / totals.num_completions
        case Aggregation.token_mean:
            if totals.num_tokens is None:
                raise ValueError("the mean over a step's tokens needs their number")
            return values.sum() / totals.num_tokens
        case Aggregation.constant:
            return values.sum() / (totals.num_completions * max_tokens)


def mean_over_sequences(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of `values` `[G, C]` over each sequence's tokens, then over sequences; what padding holds doesn't count."""
    return (values.masked_fill(~mask, 0.0).sum(dim=1) / mask.sum(dim=1)).mean()


def mean_over_ratios(values: torch.Tensor, mask: torch.Tensor, level: RatioLevel) -> torch.Tensor:
    """Mean of `values` `[G, C]` over tokens, or over sequences where all tokens of one share their value."""
    values = values.detach().to(torch.float32)
    if level is RatioLevel.sequence:
        return mean_over_sequences(values, mask)
    return values.masked_fill(~mask, 0.0).sum() / mask.sum()

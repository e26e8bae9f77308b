"""Scores of a completion, by reward name and in total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardBreakdown:
    """Every reward of one completion and the weighted sum that GRPO maximises."""

    values: Mapping[str, float]
    total: float

"""Scores of a completion, by reward name and in total."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from museg.data.samples import Sample
from museg.errors import ConfigError
from museg.rewards.answers import predicted_segments
from museg.rewards.format import format_reward
from museg.rewards.global_matching import global_matching
from museg.rewards.local_matching import local_matching

REWARD_NAMES = ("format", "format_n_timestamp", "global_matching", "local_matching", "segment_matching")
"""What `reward.functions` may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardBreakdown:
    """Every reward of one completion and the weighted sum that GRPO maximises."""

    values: Mapping[str, float]
    total: float


def score_completion(text: str, sample: Sample, weights: Mapping[str, float]) -> RewardBreakdown:
    """All rewards of the authors' code (src/train.py) and their sum by `weights`; finite for any text.

    Ranges: format and format_n_timestamp 0 to 1; local_matching 0 to 1; global_matching 0 to 1, or above for nested
    annotations; segment_matching is the sum of these two. Raises ConfigError for a weight of an unknown reward.
    """
    check_reward_names(weights)
    predicted = predicted_segments(text)
    matching_globally = global_matching(predicted, sample.solution)
    matching_locally = local_matching(predicted, sample.solution)
    values = {
        "format": format_reward(text, cite_timestamps=True),
        "format_n_timestamp": format_reward(text, cite_timestamps=False),
        "global_matching": matching_globally,
        "local_matching": matching_locally,
        "segment_matching": matching_globally + matching_locally,
    }
    return RewardBreakdown(values=values, total=sum(weight * values[name] for name, weight in weights.items()))


def check_reward_names(names: Iterable[str]) -> None:
    """Raises ConfigError, naming the nearest valid name, if one isn't among `REWARD_NAMES`."""
    for name in names:
        if name not in REWARD_NAMES:
            nearest = difflib.get_close_matches(name, REWARD_NAMES, n=1, cutoff=0.0)[0]
            raise ConfigError(
                f"reward.functions names {name!r}, which isn't a reward: did you mean {nearest!r}? "
                f"There are {', '.join(REWARD_NAMES)}"
            )

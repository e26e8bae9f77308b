"""Rules of the rewards: the authors' code, their paper, or a set that can't be gamed; each difference is one flag."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from museg.config.choices import Citations, Combination, GlobalScore, Pairing, RewardPreset
from museg.config.schema import RewardConfig
from museg.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardRules:
    """How completions are scored; museg/config/keys/method.py says what each flag does."""

    global_score: GlobalScore
    merge_annotated: bool
    merge_before_pairing: bool
    pairing: Pairing
    combine: Combination
    clip_to_duration: bool
    timestamp_tier: bool
    citations: Citations
    epsilon: float


PRESETS: Mapping[RewardPreset, RewardRules] = {
    RewardPreset.reference: RewardRules(
        global_score=GlobalScore.f1,
        merge_annotated=False,
        merge_before_pairing=False,
        pairing=Pairing.emission,
        combine=Combination.sum,
        clip_to_duration=False,
        timestamp_tier=True,
        citations=Citations.text,
        epsilon=1e-6,
    ),
    RewardPreset.paper: RewardRules(
        global_score=GlobalScore.iou,
        merge_annotated=True,
        merge_before_pairing=False,
        pairing=Pairing.start,
        combine=Combination.mean,
        clip_to_duration=False,
        timestamp_tier=False,
        citations=Citations.text,
        epsilon=0.0,
    ),
    RewardPreset.robust: RewardRules(
        global_score=GlobalScore.f1,
        merge_annotated=True,
        merge_before_pairing=True,
        pairing=Pairing.assignment,
        combine=Combination.mean,
        clip_to_duration=True,
        timestamp_tier=True,
        citations=Citations.number,
        epsilon=0.0,
    ),
}


def rules_of(reward: RewardConfig) -> RewardRules:
    """The preset's rules with the flags that aren't null in their place.

    Raises:
        ConfigError: an epsilon below 0, or an intersection over union of unions without unions.
    """
    own = {flag.name: getattr(reward.rules, flag.name) for flag in dataclasses.fields(reward.rules)}
    rules = dataclasses.replace(PRESETS[reward.preset], **{name: own[name] for name in own if own[name] is not None})
    if not math.isfinite(rules.epsilon) or rules.epsilon < 0:
        raise ConfigError(f"reward.rules.epsilon must be at least 0 and finite (got {rules.epsilon:g})")
    if rules.global_score is GlobalScore.iou and not rules.merge_annotated:
        raise ConfigError(
            "reward.rules.merge_annotated=false doesn't go with global_score=iou, which is of the unions: "
            "set it to true, or global_score to f1"
        )
    return rules

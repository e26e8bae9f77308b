from __future__ import annotations

import dataclasses

import pytest

from museg.config.choices import Combination, GlobalScore, Pairing, RewardPreset
from museg.config.schema import RewardConfig, RewardRulesConfig
from museg.errors import ConfigError
from museg.rewards.rules import PRESETS, RewardRules, rules_of


def test_every_rule_has_a_flag_that_is_the_presets_by_default() -> None:
    flags = {flag.name for flag in dataclasses.fields(RewardRulesConfig)}
    assert flags == {rule.name for rule in dataclasses.fields(RewardRules)}
    for preset in RewardPreset:
        assert rules_of(RewardConfig(preset=preset)) == PRESETS[preset]


def test_a_flag_changes_its_rule_alone() -> None:
    rules = rules_of(RewardConfig(rules=RewardRulesConfig(pairing=Pairing.assignment, epsilon=0.0)))
    assert rules == dataclasses.replace(PRESETS[RewardPreset.reference], pairing=Pairing.assignment, epsilon=0.0)
    paper = RewardConfig(preset=RewardPreset.paper, rules=RewardRulesConfig(combine=Combination.sum))
    assert rules_of(paper) == dataclasses.replace(PRESETS[RewardPreset.paper], combine=Combination.sum)


@pytest.mark.parametrize("epsilon", [-1e-6, float("nan"), float("inf")])
def test_an_epsilon_that_no_denominator_can_bear_is_refused(epsilon: float) -> None:
    with pytest.raises(ConfigError, match=r"reward\.rules\.epsilon must be at least 0 and finite"):
        rules_of(RewardConfig(rules=RewardRulesConfig(epsilon=epsilon)))


def test_the_union_of_annotations_that_are_not_merged_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"merge_annotated=false doesn't go with global_score=iou"):
        rules_of(RewardConfig(rules=RewardRulesConfig(global_score=GlobalScore.iou)))

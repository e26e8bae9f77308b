from __future__ import annotations

import pytest

from museg.config.choices import AdvantageScale, Aggregation, KLEstimator, RatioLevel, Variant
from museg.config.schema import Config
from museg.grpo.variants import LossSettings, loss_settings


def settings(**keys: object) -> LossSettings:
    config = Config()
    for key, value in keys.items():
        setattr(config.grpo, key, value)
    return loss_settings(config)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (Variant.grpo, (Aggregation.sequence_mean, RatioLevel.token, None, None, AdvantageScale.std)),
        (Variant.ppo, (Aggregation.sequence_mean, RatioLevel.token, 0.2, 0.2, AdvantageScale.std)),
        (Variant.dapo, (Aggregation.token_mean, RatioLevel.token, 0.2, 0.28, AdvantageScale.std)),
        (Variant.dr_grpo, (Aggregation.constant, RatioLevel.token, 0.2, 0.2, AdvantageScale.none)),
        (Variant.gspo, (Aggregation.sequence_mean, RatioLevel.sequence, 3e-4, 4e-4, AdvantageScale.std)),
    ],
)
def test_a_variant_is_its_papers_settings(variant: Variant, expected: tuple[object, ...]) -> None:
    found = settings(variant=variant)
    assert (found.aggregation, found.ratio, found.clip_low, found.clip_high, found.advantage_scale) == expected
    assert found.clips is (variant is not Variant.grpo)


def test_a_key_that_is_set_wins_over_the_variant() -> None:
    found = settings(variant=Variant.dapo, clip_high=0.5, aggregation=Aggregation.constant)
    assert (found.clip_low, found.clip_high, found.aggregation) == (0.2, 0.5, Aggregation.constant)


def test_without_an_estimator_there_is_no_kl_term() -> None:
    assert settings().kl_beta == 0.04
    assert settings(kl_estimator=KLEstimator.none).kl_beta == 0.0

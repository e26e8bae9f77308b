from __future__ import annotations

import pytest

from museg.config.choices import RewardPreset
from museg.config.schema import RewardConfig
from museg.rewards.scoring import Scorer
from museg.scoring.speed import measure_rewards, varied_completions


def test_the_completions_of_the_bench_are_varied_and_always_the_same() -> None:
    work = varied_completions(512)
    assert len({text for text, _ in work}) == 512
    assert work == varied_completions(512)
    scorer = Scorer.from_config(RewardConfig())
    values = [scorer.score(text, sample).values for text, sample in work]
    for tier, share in ((0.0, 0.1), (0.2, 0.1), (1.0, 0.8)):
        assert sum(value["format"] == tier for value in values) / 512 == pytest.approx(share, abs=0.05)
    assert len({value["segment_matching"] for value in values}) > 300
    assert {len(sample.solution) for _, sample in work} == {1, 2, 3, 4, 6, 10}


@pytest.mark.parametrize("preset", RewardPreset)
def test_a_step_of_4096_completions_is_scored_in_under_a_second(preset: RewardPreset) -> None:
    speed = measure_rewards(Scorer.from_config(RewardConfig(preset=preset)), 1024)
    assert speed.seconds_min <= speed.seconds <= speed.seconds_max
    assert speed.completions_per_s == 1024 / speed.seconds
    assert speed.ratio == pytest.approx(speed.completions_per_s / 4096)
    assert speed.ratio > 1

from pathlib import Path

import pytest

from actors.benchmarks.material import ModelShape
from actors.benchmarks.overlap import OverlapShape, measure_overlap

SHAPE = OverlapShape(
    prompt_tokens=97,
    completion_tokens=12,
    group_size=4,
    num_prompts=4,
    num_prompts_of_two=4,
    groups_at_once=1,
    repeats=1,
    seed=0,
    model=ModelShape(num_layers=2, num_stop_tokens=40),
)


@pytest.mark.slow
@pytest.mark.thorough
def test_every_way_samples_the_same_completions_and_each_ratio_is_of_its_own_times(tmp_path: Path) -> None:
    figures = measure_overlap(SHAPE, tmp_path)
    apart, streaming, ahead = figures["ways"]
    assert [apart["way"], streaming["way"], ahead["way"]] == ["phase by phase", "streaming", "a step ahead"]
    assert 1 < apart["tokens_mean"] < SHAPE.completion_tokens
    assert apart["tokens_mean"] == streaming["tokens_mean"] == ahead["tokens_mean"]
    assert (apart["staleness"], streaming["staleness"], ahead["staleness"]) == (0, 0, 1)
    slower = max(figures["generate_s"], figures["learn_s"])
    assert figures["overlap_ratio"] == ahead["step_s"] / slower
    assert figures["streaming_ratio"] == apart["step_s"] / streaming["step_s"]
    assert apart["step_s"] >= figures["generate_s"] + figures["learn_s"]
    assert all(way["generator_cpu_s"] > 0 and way["learner_cpu_s"] > 0 for way in figures["ways"])

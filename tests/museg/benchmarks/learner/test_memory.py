from __future__ import annotations

import pytest

from museg.benchmarks.learner.material import LearnerWork
from museg.benchmarks.learner.memory import measure_memory


@pytest.mark.slow
def test_a_group_adds_little_to_one_completions_memory_and_repeated_prompts_much() -> None:
    work = LearnerWork(layers=1, prompt_tokens=600, completion_tokens=96, group_size=8)
    figures = measure_memory(work)
    assert figures["memory_ratio"] == pytest.approx(figures["memory_group_mib"] / figures["memory_one_mib"])
    assert figures["memory_ratio"] < 1.3
    assert 1 < figures["memory_ratio_above_model"] < 1.5
    assert figures["memory_naive_ratio_above_model"] > 3

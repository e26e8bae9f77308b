from __future__ import annotations

import pytest

from museg.errors import ConfigError
from museg.planning.warnings import warnings_of
from tests.museg.planning.material import plan_of


def test_hours_are_those_of_all_phases() -> None:
    plan = plan_of(config="two_stages.yaml")
    assert [(phase.name, phase.steps) for phase in plan.phases] == [("stage_1", 400), ("stage_2", 500)]
    step_s = plan.phases[0].step.seconds
    assert plan.hours == pytest.approx(900 * step_s / 3600)
    assert plan.gpu_hours == pytest.approx(8 * plan.hours)
    paid = {num_gpus: plan_of(config="two_stages.yaml", num_gpus=num_gpus) for num_gpus in (4, 16)}
    assert paid[4].gpu_hours == pytest.approx(8 * plan.hours)
    assert paid[16].gpu_hours == pytest.approx(16 * plan.hours)


def test_a_phase_without_kl_penalty_is_quicker_and_memory_is_the_slower_ones() -> None:
    phases = "phases=[{name: free, steps: 1, kl_beta: 0}, {name: held, steps: 1}]"
    plan = plan_of(phases, "grpo.steps=2")
    free, held = (phase.step for phase in plan.phases)
    assert free.learner.reference == 0 < held.learner.reference
    assert plan.heaviest is held
    assert plan.learner.reference > 0


def test_splits_use_all_gpus_and_the_fastest_comes_first() -> None:
    plan = plan_of("pipeline.staleness=1", num_gpus=8)
    workers = [
        (split.ahead.work.config.generation.workers, split.ahead.work.config.learner.ranks) for split in plan.splits
    ]
    assert sorted(workers) == [(number, 8 - number) for number in range(1, 8)]
    seconds = [split.ahead.seconds for split in plan.splits]
    assert seconds == sorted(seconds)
    assert all(split.ahead.seconds <= split.on_policy.seconds for split in plan.splits)
    # Seven groups fill the memory of an engine's neighbour that learns all alone.
    assert not next(split for split, count in zip(plan.splits, workers, strict=True) if count == (7, 1)).fits


def test_tensor_parallel_workers_take_whole_groups_of_gpus() -> None:
    plan = plan_of("generation.tensor_parallel_size=4", "learner.ranks=4", num_gpus=8)
    assert [split.ahead.work.config.learner.ranks for split in plan.splits] == [4]


def test_sharing_counts_policy_reference_and_prefill() -> None:
    assert plan_of().sharing == pytest.approx((2380 + 595 + 563) / (410 + 102 + 70), rel=0.02)


@pytest.mark.parametrize(("tokens", "gpus"), [(0, 8), (2049, 8), (256, 0)])
def test_impossible_sizes_are_refused(tokens: int, gpus: int) -> None:
    with pytest.raises(ConfigError):
        plan_of(num_gpus=gpus, tokens=tokens)


def test_a_run_that_fits_warns_of_nothing() -> None:
    assert list(warnings_of(plan_of())) == []


@pytest.mark.parametrize(
    ("overrides", "settings", "beginning", "mend"),
    [
        (["learner.zero_stage=1"], {}, "learner memory: a rank needs", "learner.zero_stage 3"),
        (["learner.gradient_checkpointing=false"], {}, "learner memory: a rank needs", "gradient_checkpointing true"),
        ([], {"num_gpus": 4}, "too few GPUs: the workers ask for 8", "4 are there"),
        ([], {"num_gpus": 16}, "GPUs without work: the workers ask for 8", "of 16"),
        (["video.total_pixels=4000000"], {}, "context: a prompt of up to", "video.total_pixels"),
        ([], {"tokens": 512}, "context: completions of 512 tokens are cut at 362", "raise it"),
        (["generation.gpu_memory_utilization=0.2"], {}, "KV cache: 0.0 GB are left", "gpu_memory_utilization (is 0.2)"),
        (["generation.gpu_memory_utilization=0.261"], {}, "KV cache: 0.3 GB hold less than one group", "max_tokens"),
        (["learner.ranks=6"], {}, "balance: of 14 groups the busiest of 6 ranks learns 3", ""),
        (["reward.workers=1"], {"gpu": "b200", "tokens": 1}, "videos: decoding a step's takes 3.6 s", "raise it to"),
    ],
)
def test_what_wouldnt_fit_is_told(overrides: list[str], settings: dict[str, object], beginning: str, mend: str) -> None:
    warnings = list(warnings_of(plan_of(*overrides, **settings)))  # type: ignore[arg-type]
    assert any(warning.startswith(beginning) and mend in warning for warning in warnings), warnings

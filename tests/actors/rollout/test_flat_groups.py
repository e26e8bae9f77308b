from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from actors.learner.stats import GroupStats, ImportanceStats, LogprobGap, StepStats
from actors.records import rollout_rows, step_metrics
from actors.rollout.flat_groups import Harvest, harvest
from actors.rollout.rollouts import Rollout
from actors.weight_sync.publisher import SyncStats
from museg.config.choices import ZeroVariance
from museg.config.schema import GRPOConfig
from museg.data.samples import Sample
from museg.rewards.scoring import RewardBreakdown
from museg.rollout.completions import Completion, Group

FLAT, MOVING = (0.0, 0.0), (1.0, -1.0)


def rollout(idx: int, advantages: tuple[float, float], rewards: tuple[float, float] = (0.0, 0.0)) -> Rollout:
    completion = Completion(token_ids=(1, 2), logprobs=(0.0, 0.0), text="", finish_reason="stop", weights_version=0)
    group = Group(
        sample=Sample(idx=idx, problem="when?", solution=((1.0, 2.0),), video=f"{idx}.mp4", task="tvg"),
        prompt="",
        completions=(completion, completion),
        rewards=tuple(RewardBreakdown(values={}, total=total) for total in rewards),
        advantages=advantages,
    )
    return Rollout(group=group, clip=f"clip of {idx}", num_prompt_tokens=10)  # type: ignore[arg-type]


class Reserve:
    """Other prompts of a step, some of which are flat as well; it notes how many were asked for."""

    def __init__(self, *advantages: tuple[float, float]) -> None:
        self.left = [rollout(100 + place, entry) for place, entry in enumerate(advantages)]
        self.asked: list[int] = []

    async def __call__(self, count: int) -> Sequence[Rollout]:
        self.asked.append(count)
        drawn, self.left = self.left[:count], self.left[count:]
        return drawn


def harvested(
    rule: ZeroVariance, own: Sequence[tuple[float, float]], reserve: Reserve | None = None, rounds: int = 3
) -> Harvest:
    rollouts = [rollout(idx, advantages) for idx, advantages in enumerate(own)]
    grpo = GRPOConfig(zero_variance=rule, max_resample_rounds=rounds)
    return asyncio.run(harvest(grpo, rollouts, reserve or Reserve()))


def learned_samples(result: Harvest) -> list[int]:
    return [result.rollouts[place].group.sample.idx for place in result.learned]


def figures(result: Harvest) -> list[float]:
    return [result.metrics()[f"advantage/{name}_groups"] for name in ("zero", "resampled", "skipped")]


def test_kept_groups_are_learned_from_and_counted() -> None:
    result = harvested(ZeroVariance.keep, [MOVING, FLAT, MOVING])
    assert learned_samples(result) == [0, 1, 2]
    assert figures(result) == [1, 0, 0]


def test_skipped_groups_are_left_out() -> None:
    result = harvested(ZeroVariance.skip, [FLAT, MOVING, FLAT, MOVING])
    assert learned_samples(result) == [1, 3]
    assert figures(result) == [2, 0, 2]


def test_a_step_of_flat_groups_alone_keeps_the_first() -> None:
    result = harvested(ZeroVariance.skip, [FLAT, FLAT, FLAT])
    assert learned_samples(result) == [0]
    assert figures(result) == [3, 0, 2]


def test_each_round_draws_a_prompt_for_every_place_that_is_still_flat() -> None:
    reserve = Reserve(FLAT, MOVING, FLAT, MOVING, MOVING)
    result = harvested(ZeroVariance.resample, [FLAT, MOVING, FLAT, FLAT], reserve)
    assert reserve.asked == [3, 2]
    assert learned_samples(result) == [1, 101, 103, 104]
    assert figures(result) == [3, 3, 0]


def test_places_that_stay_flat_keep_their_own_group() -> None:
    reserve = Reserve(FLAT, FLAT, MOVING, FLAT, MOVING)
    result = harvested(ZeroVariance.resample, [FLAT, MOVING, FLAT], reserve, rounds=2)
    assert reserve.asked == [2, 2]
    assert learned_samples(result) == [0, 1, 102]
    assert figures(result) == [2, 1, 0]


@pytest.mark.parametrize(("own", "asked"), [([MOVING, MOVING], []), ([FLAT, MOVING], [1])])
def test_no_more_rounds_than_there_are_flat_places_and_prompts(
    own: list[tuple[float, float]], asked: list[int]
) -> None:
    reserve = Reserve()
    assert learned_samples(harvested(ZeroVariance.resample, own, reserve)) == [0, 1]
    assert reserve.asked == asked


def test_a_steps_record_tells_own_rewards_learned_losses_and_all_rows() -> None:
    own = [rollout(0, FLAT, (1.0, 1.0)), rollout(1, MOVING, (2.0, 0.0))]
    result = Harvest(rollouts=[*own, rollout(100, MOVING, (9.0, 0.0))], num_own=2, learned=[1, 2])
    stats = [
        group_stats(loss=1.0, num_tokens=30, clipped=0.4, capped=0.5),
        group_stats(loss=3.0, num_tokens=10, clipped=0.1, capped=0.1),
    ]
    step_stats = StepStats(
        step=1, grad_norm=0.5, lr=1e-3, seconds=0.1, busy_s=(0.4,), num_micro_batches=1, num_tokens=100
    )
    metrics = step_metrics(
        1, result, stats, step_stats, SyncStats(num_bytes=3_000_000, seconds=0.5), {"time/step_s": 2.0}
    )
    assert metrics["sync/gb_per_s"] == pytest.approx(0.006)
    assert metrics["reward/mean"] == pytest.approx((1 + 1 + 2 + 0) / 4)
    assert metrics["policy/loss"] == pytest.approx(2.0)
    assert metrics["policy/importance_capped_fraction"] == pytest.approx((0.5 * 30 + 0.1 * 10) / 40)
    assert metrics["policy/clip_fraction"] == pytest.approx(0.25)  # one ratio a completion: groups count alike
    assert metrics["throughput/completions_per_s"] == 3.0
    rows = list(rollout_rows(1, result, stats))
    assert [(row["idx"], row["learned"], row["logprob_gap_max"]) for row in rows[::2]] == [
        (0, False, None),
        (1, True, 2e-6),
        (100, True, 2e-6),
    ]


def group_stats(*, loss: float, num_tokens: int, clipped: float, capped: float) -> GroupStats:
    return GroupStats(
        loss=loss,
        kl=0.0,
        entropy=0.0,
        clip_fraction=clipped,
        num_ratios=2,
        importance=ImportanceStats(mean=1.0, capped_fraction=capped),
        logprob_gap_mean=1e-6,
        logprob_gap_max=2e-6,
        completion_gaps=(LogprobGap(mean=1e-6, max=2e-6),) * 2,
        num_tokens=num_tokens,
    )

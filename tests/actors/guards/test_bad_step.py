from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

from actors.guards.bad_step import bad_step_rows
from actors.learner.stats import GroupStats, LogprobGap, SkipReason, StepStats
from actors.records import step_metrics
from actors.rollout.flat_groups import Harvest
from actors.rollout.rollouts import Rollout
from actors.weight_sync.publisher import SyncStats
from museg.config.choices import AdvantageScale
from museg.data.samples import Sample
from museg.grpo.advantages import group_advantages
from museg.rewards.scoring import RewardBreakdown
from museg.rollout.completions import Completion, Group
from museg.runs.directory import RunDirectory

SOUND = GroupStats(
    loss=0.5,
    kl=0.1,
    entropy=1.5,
    clip_fraction=0.0,
    num_ratios=4,
    importance=None,
    logprob_gap_mean=1e-6,
    logprob_gap_max=1e-5,
    completion_gaps=(LogprobGap(mean=1e-6, max=1e-5),) * 2,
    num_tokens=4,
)


def rollout_of(idx: int, rewards: tuple[float, float]) -> Rollout:
    completion = Completion(token_ids=(1, 2), logprobs=(-0.5, -1.0), text="a", finish_reason="stop", weights_version=2)
    group = Group(
        sample=Sample(idx=idx, problem="when?", solution=((1.0, 2.0),), video=f"{idx}.mp4", task="tvg"),
        prompt="<video>when?",
        completions=(completion, completion),
        rewards=tuple(RewardBreakdown(values={"mine": reward}, total=reward) for reward in rewards),
        advantages=tuple(group_advantages(rewards, scale=AdvantageScale.std, eps=1e-4)),
    )
    return Rollout(group=group, clip=None, num_prompt_tokens=3)  # type: ignore[arg-type]


HARVEST = Harvest(
    rollouts=[rollout_of(4, (1.0, 3.0)), rollout_of(5, (math.inf, 2.0))],
    num_own=2,
    learned=[0, 1],
)
STATS = [SOUND, replace(SOUND, loss=math.nan, entropy=0.5)]


def test_a_bad_step_is_dumped_as_json_with_what_was_sampled_and_what_was_not_finite(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_bad_step(3, bad_step_rows(3, HARVEST, STATS, SkipReason.loss))
    rows = [json.loads(line) for line in run.bad_step_file(3).read_text().splitlines()]
    assert [(row["idx"], row["index"], row["reward"], row["loss"]) for row in rows] == [
        (4, 0, 1.0, 0.5),
        (4, 1, 3.0, 0.5),
        (5, 0, "inf", "nan"),
        (5, 1, 2.0, "nan"),
    ]
    assert [row["not_finite"] for row in rows] == [
        [],
        [],
        ["rewards", "reward", "advantage", "loss"],
        ["advantage", "loss"],
    ]
    assert rows[2]["rewards"] == {"mine": "inf"}
    assert {row["prompt"] for row in rows} == {"<video>when?"}
    assert all(row["logprobs"] == [-0.5, -1.0] and row["token_ids"] == [1, 2] for row in rows)
    assert {row["reason"] for row in rows} == {"a loss or logprob isn't finite"}
    run.bad_step_file(3).with_name("step-000002.jsonl").touch()
    run.append_metrics({"step": 2})
    run.forget_after(2)
    assert [file.name for file in run.bad_step_file(3).parent.iterdir()] == ["step-000002.jsonl"]


def test_the_row_of_a_bad_step_tells_of_what_is_finite() -> None:
    step_stats = StepStats(
        step=3, grad_norm=0.0, lr=1e-3, seconds=0.1, busy_s=(1.0,), num_micro_batches=1, num_tokens=9
    )
    synced = SyncStats(num_bytes=1, seconds=1.0)
    row = step_metrics(3, HARVEST, STATS, step_stats, synced, {"time/step_s": 1.0})
    assert row["reward/mean"] == 2.0
    assert row["reward/std"] == math.sqrt((1 + 1 + 0) / 3)
    assert row["reward/mine"] == 2.0
    assert (row["policy/loss"], row["policy/entropy"], row["policy/grad_norm"]) == (0.5, 1.0, 0.0)
    assert all(math.isfinite(value) for value in row.values())
    nothing = step_metrics(3, HARVEST, [STATS[1]] * 2, step_stats, synced, {"time/step_s": 1.0})
    assert nothing["policy/loss"] == 0.0

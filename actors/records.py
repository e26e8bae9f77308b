"""What a step leaves on record: its row of metrics.jsonl and its lines of rollouts/."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence

from actors.learner.stats import GroupStats, StepStats
from museg.rollout.completions import Group


class StepClock:
    """Seconds of one step by what the loop waited for: call `lap` at the end of each phase."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self._laps[phase] = now - self._last
        self._last = now

    def times(self) -> dict[str, float]:
        """`time/<phase>_s` of every lap, and `time/step_s` from the first to the last."""
        return {f"time/{phase}_s": seconds for phase, seconds in self._laps.items()} | {
            "time/step_s": self._last - self._started
        }


def step_metrics(
    step: int,
    groups: Sequence[Group],
    group_stats: Sequence[GroupStats],
    step_stats: StepStats,
    times: Mapping[str, float],
) -> dict[str, float]:
    """The fixed keys of metrics.jsonl. `weights_version` is the version that the completions were sampled from."""
    completions = [completion for group in groups for completion in group.completions]
    rewards = [reward for group in groups for reward in group.rewards]
    totals = [reward.total for reward in rewards]
    tokens = [len(completion.token_ids) for completion in completions]
    versions = [completion.weights_version for completion in completions]
    weights = [stats.num_tokens for stats in group_stats]
    return {
        "step": step,
        "weights_version": min(versions),
        "reward/mean": statistics.fmean(totals),
        "reward/std": statistics.pstdev(totals),
        **{f"reward/{name}": statistics.fmean(reward.values[name] for reward in rewards) for name in rewards[0].values},
        "advantage/zero_groups": sum(not any(group.advantages) for group in groups),
        "completion/tokens_mean": statistics.fmean(tokens),
        "completion/truncated_fraction": statistics.fmean(c.finish_reason == "length" for c in completions),
        "policy/kl": statistics.fmean((stats.kl for stats in group_stats), weights),
        "policy/entropy": statistics.fmean((stats.entropy for stats in group_stats), weights),
        "policy/clip_fraction": statistics.fmean((stats.clip_fraction for stats in group_stats), weights),
        "policy/grad_norm": step_stats.grad_norm,
        "policy/loss": statistics.fmean(stats.loss for stats in group_stats),
        "policy/lr": step_stats.lr,
        "parity/logprob_gap_mean": statistics.fmean((stats.logprob_gap_mean for stats in group_stats), weights),
        "parity/logprob_gap_max": max(stats.logprob_gap_max for stats in group_stats),
        **times,
        "throughput/completions_per_s": len(completions) / times["time/step_s"],
        "throughput/tokens_per_s": sum(tokens) / times["time/step_s"],
        "staleness": step - 1 - min(versions),
    }


def rollout_rows(step: int, groups: Sequence[Group], group_stats: Sequence[GroupStats]) -> Iterator[dict[str, object]]:
    """One row a completion, the groups together; each row is also an input line of `museg score`."""
    for group, stats in zip(groups, group_stats, strict=True):
        sample = group.sample
        scored = zip(group.completions, group.rewards, group.advantages, stats.completion_gaps, strict=True)
        for index, (completion, reward, advantage, gap) in enumerate(scored):
            yield {
                "step": step,
                "idx": sample.idx,
                "index": index,
                "video": sample.video,
                "problem": sample.problem,
                "task": sample.task,
                "solution": sample.solution,
                "duration": sample.duration_s,
                "completion": completion.text,
                "token_ids": completion.token_ids,
                "rewards": dict(reward.values),
                "reward": reward.total,
                "advantage": advantage,
                "logprob_gap_mean": gap.mean,
                "logprob_gap_max": gap.max,
                "finish_reason": completion.finish_reason,
                "num_tokens": len(completion.token_ids),
                "weights_version": completion.weights_version,
            }

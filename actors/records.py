"""What a step leaves on record: its row of metrics.jsonl and its lines of rollouts/."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat

from actors.learner.stats import DemonstrationStats, GroupStats, StepStats
from actors.rollout.flat_groups import Harvest
from actors.weight_sync.publisher import SyncStats


class StepClock:
    """Seconds of one step by what the loop waited for: call `lap` at the end of each phase; a phase's laps add up."""

    def __init__(self, on_lap: Callable[[str], None] = lambda _: None) -> None:
        """`on_lap` is told the phases that end."""
        self._on_lap = on_lap
        self._started = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, phase: str, until_s: float | None = None) -> None:
        """End a phase now, or at a moment of `time.perf_counter` since the last lap."""
        now = time.perf_counter() if until_s is None else max(until_s, self._last)
        self._laps[phase] = self._laps.get(phase, 0.0) + now - self._last
        self._last = now
        self._on_lap(phase)

    def times(self) -> dict[str, float]:
        """`time/<phase>_s` of every lap, and `time/step_s` from the first to the last."""
        return {f"time/{phase}_s": seconds for phase, seconds in self._laps.items()} | {
            "time/step_s": self._last - self._started
        }


def step_metrics(
    step: int,
    harvest: Harvest,
    group_stats: Sequence[GroupStats],
    step_stats: StepStats,
    synced: SyncStats,
    times: Mapping[str, float],
) -> dict[str, float]:
    """The fixed keys of metrics.jsonl. `weights_version` is the version that the completions were sampled from.

    Rewards and completions are those of the step's own prompts, whatever was drawn beside them; policy and parity those
    of the groups that were learned from (`group_stats`, in the harvest's order); throughput is of all that was sampled.
    In a skipped step means are over what is finite, and 0 where nothing is.
    """
    groups = [rollout.group for rollout in harvest.rollouts[: harvest.num_own]]
    everything = [completion for rollout in harvest.rollouts for completion in rollout.group.completions]
    completions = [completion for group in groups for completion in group.completions]
    rewards = [reward for group in groups for reward in group.rewards]
    totals = [reward.total for reward in rewards]
    tokens = [len(completion.token_ids) for completion in completions]
    versions = [completion.weights_version for completion in completions]
    return {
        "step": step,
        "weights_version": min(versions),
        "reward/mean": mean(totals),
        "reward/std": spread(totals),
        **{f"reward/{name}": mean(reward.values[name] for reward in rewards) for name in rewards[0].values},
        "reward/failures": sum(len(reward.failures) for reward in rewards),
        **harvest.metrics(),
        "completion/tokens_mean": statistics.fmean(tokens),
        "completion/truncated_fraction": statistics.fmean(c.finish_reason == "length" for c in completions),
        **_learner_metrics(group_stats),
        "policy/grad_norm": step_stats.grad_norm,
        "policy/lr": step_stats.lr,
        "learner/tokens": step_stats.num_tokens,
        **times,
        "sync/bytes": synced.num_bytes,
        "sync/gb_per_s": synced.gb_per_s,
        "throughput/completions_per_s": len(everything) / times["time/step_s"],
        "throughput/tokens_per_s": sum(len(completion.token_ids) for completion in everything) / times["time/step_s"],
        "staleness": step - 1 - min(versions),
    }


def _learner_metrics(group_stats: Sequence[GroupStats]) -> dict[str, float]:
    """What the learner's forward passes tell: means over tokens, the loss over groups."""
    tokens = [stats.num_tokens for stats in group_stats]
    ratios = [stats.num_ratios for stats in group_stats]
    return {
        "policy/kl": mean((stats.kl for stats in group_stats), tokens),
        "policy/entropy": mean((stats.entropy for stats in group_stats), tokens),
        "policy/clip_fraction": mean((stats.clip_fraction for stats in group_stats), ratios),
        "policy/loss": mean(stats.loss for stats in group_stats),
        **_importance_metrics(group_stats),
        "parity/logprob_gap_mean": mean((stats.logprob_gap_mean for stats in group_stats), tokens),
        "parity/logprob_gap_max": max(
            filter(math.isfinite, (stats.logprob_gap_max for stats in group_stats)), default=0.0
        ),
    }


def _importance_metrics(group_stats: Sequence[GroupStats]) -> dict[str, float]:
    """Means over tokens; nothing without `grpo.importance_cap`."""
    weighted = [(stats.importance, stats.num_tokens) for stats in group_stats if stats.importance is not None]
    if not weighted:
        return {}
    importance, num_tokens = zip(*weighted, strict=True)
    return {
        "policy/importance_mean": mean((one.mean for one in importance), num_tokens),
        "policy/importance_capped_fraction": mean((one.capped_fraction for one in importance), num_tokens),
    }


def supervised_metrics(
    step: int, stats: Sequence[DemonstrationStats], step_stats: StepStats, times: Mapping[str, float]
) -> dict[str, float]:
    """The keys of a supervised run's metrics.jsonl; means over demonstrations, the entropy's over tokens.

    In a skipped step they are over what is finite, and 0 where nothing is.
    """
    tokens = [one.num_tokens for one in stats]
    return {
        "step": step,
        "sft/loss": mean(one.loss for one in stats),
        "sft/tokens_mean": statistics.fmean(tokens),
        "policy/entropy": mean((one.entropy for one in stats), tokens),
        "policy/grad_norm": step_stats.grad_norm,
        "policy/lr": step_stats.lr,
        "learner/tokens": step_stats.num_tokens,
        **times,
        "throughput/samples_per_s": len(stats) / times["time/step_s"],
        "throughput/tokens_per_s": sum(tokens) / times["time/step_s"],
    }


def mean(values: Iterable[float], weights: Iterable[float] | None = None) -> float:
    """Mean over the values that are finite; 0 where none is."""
    pairs = zip(values, repeat(1.0) if weights is None else weights, strict=False)
    weighted = [(value, weight) for value, weight in pairs if math.isfinite(value)]
    if not weighted:
        return 0.0
    finite, of_these = zip(*weighted, strict=True)
    return statistics.fmean(finite, of_these)


def spread(values: Sequence[float]) -> float:
    """Standard deviation of the values that are finite; 0 where none is."""
    finite = [value for value in values if math.isfinite(value)]
    return statistics.pstdev(finite) if finite else 0.0


def rollout_rows(
    step: int, harvest: Harvest, group_stats: Sequence[GroupStats] | None = None
) -> Iterator[dict[str, object]]:
    """One row a completion, the groups together; each row is also an input line of `museg score`.

    All that was sampled has its rows; what wasn't learned from has no `logprob_gap`: without `group_stats`, nothing.
    """
    stats_of = {} if group_stats is None else dict(zip(harvest.learned, group_stats, strict=True))
    for place, rollout in enumerate(harvest.rollouts):
        group, sample = rollout.group, rollout.group.sample
        gaps = stats_of[place].completion_gaps if place in stats_of else [None] * len(group.completions)
        scored = zip(group.completions, group.rewards, group.advantages, gaps, strict=True)
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
                "learned": gap is not None,
                "logprob_gap_mean": gap.mean if gap else None,
                "logprob_gap_max": gap.max if gap else None,
                "finish_reason": completion.finish_reason,
                "num_tokens": len(completion.token_ids),
                "weights_version": completion.weights_version,
            }

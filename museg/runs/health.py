"""When a run's numbers call for somebody: the bounds that `museg status` and the alert rules share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import Final

from museg.config.choices import DType
from museg.config.schema import Config

FLOAT32_GAP: Final = 1e-4
"""Nats; in float32 generator and learner compute the same policy."""
GUARD_SHARE: Final = 0.5
"""Of guards.max_logprob_gap, at which the run ends, in other types."""
STALLED_STEPS: Final = 10
"""Usual steps without a new one."""
STALLED_S: Final = 900.0
"""At least; an evaluation or a restart takes minutes."""
REWARD_SHARE: Final = 0.5
"""Of the best stretch of steps before."""
HEARTBEAT_S: Final = 10.0
"""Between two touches of workers.json by a living driver."""
STRETCH: Final = 10
"""Steps that a reward is averaged over."""


def logprob_gap_bound(config: Config) -> float | None:
    """What parity/logprob_gap_mean stays below in a healthy run, in nats; None where the weights differ on purpose."""
    if config.pipeline.staleness > 0:
        return None
    if config.model.dtype is DType.float32:
        return FLOAT32_GAP
    guard = config.guards.max_logprob_gap
    return None if guard is None else GUARD_SHARE * guard


def troubles(config: Config, rows: Sequence[Mapping[str, float]]) -> Iterator[str]:
    """What is wrong with the numbers of a run, a word or two each, from the rows of metrics.jsonl."""
    if not rows:
        return
    last, bound = rows[-1], logprob_gap_bound(config)
    if bound is not None and last.get("parity/logprob_gap_mean", 0.0) > bound:
        yield f"parity broken ({last['parity/logprob_gap_mean']:.1e} nats)"
    if last.get("guards/entropy_collapsed"):
        yield "entropy collapsed"
    if reward_collapsed([row["reward/mean"] for row in rows if "reward/mean" in row]):
        yield "reward collapsed"
    evaluated = [row["guards/ungrounded"] for row in rows if "guards/ungrounded" in row]
    if evaluated and evaluated[-1]:
        yield "ungrounded"
    if len(rows) > 1 and last.get("guards/bad_steps", 0) > rows[-2].get("guards/bad_steps", 0):
        yield "last step skipped"


def stalled(rows: Sequence[Mapping[str, float]], age_s: float) -> bool:
    """Whether a running run's last step is older than its steps' pace explains."""
    usual_s = median(row["time/step_s"] for row in rows[-STRETCH:]) if rows else 0.0
    return age_s > max(STALLED_STEPS * usual_s, STALLED_S)


def reward_collapsed(rewards: Sequence[float]) -> bool:
    """Whether the last stretch earns less than a share of the best one before it."""
    starts = range(len(rewards) - STRETCH + 1)
    means = [fmean(rewards[start : start + STRETCH]) for start in starts]
    return len(means) > STRETCH and means[-1] < REWARD_SHARE * max(means[:-STRETCH])

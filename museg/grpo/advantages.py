"""Group-relative advantages."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev


def group_advantages(rewards: Sequence[float], eps: float) -> list[float]:
    """How much better each completion did than its group, in the group's deviations: `(r - mean) / (std + eps)`.

    The deviation is the unbiased one. Source: DeepSeekMath (arXiv 2402.03300) section 4.1.2, with MUSEG's `eps`.

    Args:
        rewards: totals of one prompt's completions, at least two.
        eps: added to the deviation, so that a group of equal rewards has advantages of zero.

    Raises:
        ValueError: there are fewer than two rewards; a group of one has no advantage.
    """
    if len(rewards) < 2:
        raise ValueError(f"advantages need a group of at least two rewards (got {len(rewards)})")
    centre, deviation = mean(rewards), stdev(rewards)
    return [(reward - centre) / (deviation + eps) for reward in rewards]

"""Group-relative advantages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev

from museg.config.choices import AdvantageScale


def group_advantages(rewards: Sequence[float], *, scale: AdvantageScale, eps: float) -> list[float]:
    """How much better each completion did than its group: `r - mean`, for `std` in the group's deviations.

    Sources: for `std`, `(r - mean) / (std + eps)` with the unbiased deviation: DeepSeekMath (arXiv 2402.03300) section
    4.1.2, with MUSEG's `eps`. For `none`: Dr. GRPO (arXiv 2503.20783) section 3.2; dividing would weigh the prompts
    that are nearly always, or nearly never, answered well above the others.

    Args:
        rewards: totals of one prompt's completions, at least two.
        scale: divide by the group's deviation, or not.
        eps: added to the deviation, so that a group of equal rewards has advantages of zero.

    Returns:
        One a reward; NaN throughout if one of these isn't finite, for there is no mean to compare with then.

    Raises:
        ValueError: there are fewer than two rewards; a group of one has no advantage.
    """
    if len(rewards) < 2:
        raise ValueError(f"advantages need a group of at least two rewards (got {len(rewards)})")
    if not all(map(math.isfinite, rewards)):
        return [math.nan] * len(rewards)
    centre = mean(rewards)
    unit = stdev(rewards) + eps if scale is AdvantageScale.std else 1.0
    return [(reward - centre) / unit for reward in rewards]

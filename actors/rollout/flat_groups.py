"""Groups whose rewards are all equal: they have no advantage, and `grpo.zero_variance` says what becomes of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from actors.rollout.rollouts import Rollout
from museg.config.choices import ZeroVariance
from museg.config.schema import GRPOConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """All that a step sampled, and what of it is learned from."""

    rollouts: Sequence[Rollout]
    """The step's own prompts first, then those drawn in the place of flat ones, in the order of drawing."""
    num_own: int
    learned: Sequence[int]
    """Places in `rollouts`, in the order of learning, at least one."""

    def metrics(self) -> dict[str, float]:
        """`advantage/…` of metrics.jsonl: flat among the step's own groups, and what became of those."""
        own = self.rollouts[: self.num_own]
        resampled = sum(index >= self.num_own for index in self.learned)
        return {
            "advantage/zero_groups": sum(rollout.flat for rollout in own),
            "advantage/resampled_groups": resampled,
            "advantage/skipped_groups": self.num_own - len(self.learned),
        }


def surely_learned(rule: ZeroVariance, rollout: Rollout) -> bool:
    """Whether a step's own rollout will be learned from, whatever its other groups turn out to be.

    Not under `skip`, where the groups' number, by which each one's loss is divided, is known last.
    """
    return rule is ZeroVariance.keep or (rule is ZeroVariance.resample and not rollout.flat)


SampleMore = Callable[[int], Awaitable[Sequence[Rollout]]]
"""Roll out so many other prompts of the step; fewer where the data has no more."""


async def harvest(grpo: GRPOConfig, own: Sequence[Rollout], sample_more: SampleMore) -> Harvest:
    """What is learned from a step's rollouts under `grpo.zero_variance`.

    - `keep`: all of them. A flat group counts in the step's mean and adds nothing but its KL.
    - `skip`: those that aren't flat; the step's mean is over these alone. If all are flat the first one stays, so that
      every step has its optimizer step, its divergence and its parity.
    - `resample`: in the place of each flat group one of another prompt, for at most `grpo.max_resample_rounds` rounds;
      the places that are flat even then keep their own group.
    """
    if grpo.zero_variance is ZeroVariance.resample:
        return await _resampled(grpo.max_resample_rounds, own, sample_more)
    learned: Sequence[int] = range(len(own))
    if grpo.zero_variance is ZeroVariance.skip:
        learned = [index for index in learned if not own[index].flat] or [0]
    return Harvest(rollouts=own, num_own=len(own), learned=learned)


async def _resampled(max_rounds: int, own: Sequence[Rollout], sample_more: SampleMore) -> Harvest:
    rollouts = list(own)
    flat = [index for index, rollout in enumerate(own) if rollout.flat]
    learned = [index for index, rollout in enumerate(own) if not rollout.flat]
    for _ in range(max_rounds):
        if len(learned) == len(own):
            break
        more = await sample_more(len(own) - len(learned))
        if not more:
            break
        learned += [index for index, rollout in enumerate(more, start=len(rollouts)) if not rollout.flat]
        rollouts += more
    kept = flat[: len(own) - len(learned)]
    return Harvest(rollouts=rollouts, num_own=len(own), learned=sorted([*learned, *kept]))

"""Several optimizer steps on one step's completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import torch

from actors.learner.stats import GroupStats, StepStats


class OldLogprobs:
    """The logprobs of a rank's groups before a step's first update, which the ratios of its later ones compare with.

    Every update goes over the same groups in the same order. What is kept ends with the step's last update.

        for update in range(updates_per_rollout):
            for groups in micro_batches:
                loss(…, old_logprobs=old.of_next(len(groups)))   # None in the first update: its own are the old ones
                old.done(logprobs)
            old.update_done()
    """

    def __init__(self, updates_per_rollout: int) -> None:
        self._num_updates = updates_per_rollout
        self._update = 0
        self._num_done = 0
        self._kept: list[torch.Tensor] = []

    def of_next(self, num_groups: int) -> Sequence[torch.Tensor | None]:
        """Those of the next groups, `[G, C]` each."""
        if self._update == 0:
            return [None] * num_groups
        return self._kept[self._num_done : self._num_done + num_groups]

    @property
    def at_first_update(self) -> bool:
        """Whether the weights are still those that the step began with."""
        return self._update == 0

    @property
    def num_updates_left(self) -> int:
        """Of the step at work, the present one included."""
        return self._num_updates - self._update

    def done(self, logprobs: Sequence[torch.Tensor]) -> None:
        """Go on behind these groups, keeping what they had in the first update."""
        if self._update == 0 and self._num_updates > 1:
            self._kept += [one.detach() for one in logprobs]
        self._num_done += len(logprobs)

    def update_done(self, *, last: bool = False) -> None:
        """Begin the next update, of the next step after its `last`."""
        self._num_done = 0
        self._update = 0 if last else (self._update + 1) % self._num_updates
        if self._update == 0:
            self._kept.clear()


def group_stats_of_step(updates: Sequence[Sequence[GroupStats]]) -> list[GroupStats]:
    """Statistics of a step's groups from those of its updates, each in the groups' order.

    They are the first update's, for it alone sees the weights that were sampled from; but clipping, which can't happen
    there, is the mean over all.
    """
    return [
        replace(of_group[0], clip_fraction=fmean(stats.clip_fraction for stats in of_group))
        for of_group in zip(*updates, strict=True)
    ]


def stats_of_ranks(ranks: Sequence[StepStats]) -> StepStats:
    """One optimizer step from what its ranks tell: they agree on all but their own work."""
    return replace(
        ranks[0],
        seconds=max(stats.seconds for stats in ranks),
        busy_s=tuple(seconds for stats in ranks for seconds in stats.busy_s),
        num_micro_batches=sum(stats.num_micro_batches for stats in ranks),
        num_tokens=sum(stats.num_tokens for stats in ranks),
    )


def stats_of_step(updates: Sequence[StepStats]) -> StepStats:
    """One GRPO step's from those of its updates: the mean norm, and the work of all."""
    return replace(
        updates[-1],
        grad_norm=fmean(stats.grad_norm for stats in updates),
        seconds=sum(stats.seconds for stats in updates),
        busy_s=tuple(map(sum, zip(*(stats.busy_s for stats in updates), strict=True))),
        num_micro_batches=sum(stats.num_micro_batches for stats in updates),
        num_tokens=sum(stats.num_tokens for stats in updates),
    )

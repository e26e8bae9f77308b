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
            for group in groups:
                loss(…, old_logprobs=old.of_next_group())   # None in the first update: its own are the old ones
                old.group_done(logprobs)
            old.update_done()
    """

    def __init__(self, updates_per_rollout: int) -> None:
        self._num_updates = updates_per_rollout
        self._update = 0
        self._num_done = 0
        self._kept: list[torch.Tensor] = []

    def of_next_group(self) -> torch.Tensor | None:
        return self._kept[self._num_done] if self._update > 0 else None

    def group_done(self, logprobs: torch.Tensor) -> None:
        if self._update == 0 and self._num_updates > 1:
            self._kept.append(logprobs.detach())
        self._num_done += 1

    def update_done(self) -> None:
        self._num_done = 0
        self._update = (self._update + 1) % self._num_updates
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


def stats_of_step(updates: Sequence[StepStats]) -> StepStats:
    """One step's from those of its updates: the mean norm, the seconds of all."""
    return replace(
        updates[-1],
        grad_norm=fmean(stats.grad_norm for stats in updates),
        seconds=sum(stats.seconds for stats in updates),
    )

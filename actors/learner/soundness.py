"""Whether an update may be applied: decided by all ranks alike, before the weights change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import torch
import torch.distributed as dist

from actors.learner.stats import DemonstrationStats, GroupStats, SkipReason
from museg.config.schema import Config


class Soundness:
    """What one rank saw of an update's numbers, and what all ranks make of it together.

    soundness.note(stats)                                  # of every micro-batch
    soundness.verdict(device, first_update=True)           # a collective, before the optimizer steps
    """

    def __init__(self, max_logprob_gap: float) -> None:
        """Of the mean over an update's tokens of |learner's − engine's logprob|, nats; infinite: not watched."""
        self.max_logprob_gap = max_logprob_gap
        self._begin_update()

    @classmethod
    def watching(cls, config: Config) -> Self:
        """By `guards.max_logprob_gap`, which only means something where a step learns from its own policy's samples."""
        limit = config.guards.max_logprob_gap if config.pipeline.staleness == 0 else None
        return cls(math.inf if limit is None else limit)

    def note(self, stats: Sequence[GroupStats] | Sequence[DemonstrationStats]) -> None:
        """Take in a micro-batch's statistics."""
        for one in stats:
            self._num_not_finite += not one.finite
            if isinstance(one, GroupStats):
                self._gaps += one.logprob_gap_mean * one.num_tokens
                self._num_tokens += one.num_tokens

    def verdict(self, device: torch.device, *, first_update: bool) -> SkipReason | None:
        """Why the update must be skipped, if it must; the gap is looked at in a step's first update alone.

        All ranks call it and get the same. What only shows in the gradient's norm isn't known yet.
        """
        told = torch.tensor([self._num_not_finite, self._gaps, self._num_tokens], dtype=torch.float64, device=device)
        self._begin_update()
        dist.all_reduce(told)
        num_not_finite, gaps, num_tokens = told.tolist()
        if num_not_finite:
            return SkipReason.loss
        if first_update and gaps > self.max_logprob_gap * num_tokens:
            return SkipReason.logprob_gap
        return None

    def _begin_update(self) -> None:
        self._num_not_finite = 0
        self._gaps = 0.0
        self._num_tokens = 0

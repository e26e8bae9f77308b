"""Keeping ranks in step where every forward is a collective."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

import torch
import torch.distributed as dist

from museg.config.schema import Config


class Lockstep:
    """Lets ranks with different numbers of micro-batches make equal numbers of forwards.

    From ZeRO-2 on, a micro-batch's forward or backward exchanges partitions with all ranks; no rank can do one alone.
    Before each the ranks meet: one with a group comes with `any_has_group(True)`, one that is done with its groups and
    waits to step with `any_has_group(False)`. As long as any has a group, a rank without runs a filler of zero weight.

        while lockstep.any_has_group(False):
            run_filler()
    """

    def __init__(self, timeout: timedelta) -> None:
        """`timeout`: longest wait for the other ranks."""
        # A group of its own on CPU: the answer is wanted on the host, whatever device the engine computes on.
        self._ranks = dist.new_group(backend="gloo", timeout=timeout)

    @classmethod
    def for_streaming(cls, config: Config) -> Self:
        """For ranks that may wait until another's next groups have been sampled and, before those, learned from."""
        seconds = config.generation.timeout_s + config.learner.timeout_s
        return cls(timedelta(seconds=seconds))

    def any_has_group(self, mine: bool) -> bool:
        """Meet the other ranks; True if at least one of them came with a group."""
        flag = torch.tensor(int(mine))
        dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=self._ranks)
        return bool(flag.item())

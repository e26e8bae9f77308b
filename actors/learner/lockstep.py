"""Keeping ranks in step where every forward is a collective."""

from __future__ import annotations

import torch
import torch.distributed as dist


class Lockstep:
    """Lets ranks with different numbers of groups make equal numbers of forwards.

    From ZeRO-2 on, a group's forward or backward exchanges partitions with all ranks, so no rank can do one alone.
    Before each the ranks meet: one with a group comes with `any_has_group(True)`, one that is done with its groups and
    waits to step with `any_has_group(False)`. As long as any has a group, a rank without runs a filler of zero weight.

        while lockstep.any_has_group(False):
            run_filler()
    """

    def __init__(self) -> None:
        # A group of its own on CPU: the answer is wanted on the host, whatever device the engine computes on.
        self._ranks = dist.new_group(backend="gloo")

    def any_has_group(self, mine: bool) -> bool:
        """Meet the other ranks; True if at least one of them came with a group."""
        flag = torch.tensor(int(mine))
        dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=self._ranks)
        return bool(flag.item())

"""All learner ranks as one policy: groups in, one optimizer step out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import ray
from ray.actor import ActorHandle

from actors.cluster import within
from actors.learner import GroupStats, StepStats
from museg.rollout.completions import Group


class LearnerGang:
    """K ranks that always act together: every call runs on all of them."""

    def __init__(self, ranks: Sequence[ActorHandle], timeout_s: float) -> None:
        self.ranks = list(ranks)
        self.timeout_s = timeout_s

    async def connect(self) -> None:
        """Form the process group and build the DeepSpeed engine."""
        address, port = await within(self.timeout_s, "learner 0", self.ranks[0].rendezvous_address.remote())
        await self._on_all("the learners' process group", "connect", address, port)

    async def accumulate(self, groups: Sequence[Group], clips: Sequence[ray.ObjectRef]) -> list[GroupStats]:
        """Add the gradient of all groups of a step; the statistics come back in the order of `groups`.

        Groups are dealt by length, longest first, so that the ranks finish together.
        """
        order = sorted(range(len(groups)), key=lambda index: -_num_tokens(groups[index]))
        shares = [order[rank :: len(self.ranks)] for rank in range(len(self.ranks))]
        calls = [
            worker.accumulate.options(name="accumulate").remote(
                [groups[index] for index in share], [clips[index] for index in share], len(groups)
            )
            for worker, share in zip(self.ranks, shares, strict=True)
        ]
        stats_of_ranks = await within(self.timeout_s, "the learners' gradients (learner.timeout_s)", asyncio.gather(*calls))
        by_index = {
            index: stats
            for share, rank_stats in zip(shares, stats_of_ranks, strict=True)
            for index, stats in zip(share, rank_stats, strict=True)
        }
        return [by_index[index] for index in range(len(groups))]

    async def step(self) -> StepStats:
        """Apply the accumulated gradient."""
        stats: list[StepStats] = await self._on_all("the optimizer step", "step")
        return stats[0]

    async def save(self, checkpoint: Path) -> None:
        """Write `hf/` and `state/` into the folder."""
        await self._on_all("writing the checkpoint's hf folder", "save_hf", checkpoint / "hf")
        await self._on_all("writing the checkpoint's state", "save_state", checkpoint / "state")

    async def load(self, checkpoint: Path) -> None:
        """Take up weights, optimizer, schedule and RNG of a checkpoint."""
        await self._on_all("reading the checkpoint's state", "load_state", checkpoint / "state")

    async def _on_all(self, what: str, method: str, *args: object) -> list[StepStats]:
        calls = [getattr(worker, method).remote(*args) for worker in self.ranks]
        return list(await within(self.timeout_s, f"{what} (learner.timeout_s)", asyncio.gather(*calls)))


def _num_tokens(group: Group) -> int:
    return sum(len(completion.token_ids) for completion in group.completions)

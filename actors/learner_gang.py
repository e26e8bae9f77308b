"""All learner ranks as one policy: groups or demonstrations in, one optimizer step out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle

from actors.cluster import within
from actors.learner.stats import DemonstrationStats, GroupStats, StepStats
from actors.learner.updates import group_stats_of_step, stats_of_step
from actors.phase_start import PhaseStart
from museg.grpo.aggregation import StepTotals
from museg.rollout.completions import Group
from museg.sft.demonstrations import Demonstration


class LearnerGang:
    """K ranks that always act together: every call runs on all of them."""

    def __init__(self, ranks: Sequence[ActorHandle], timeout_s: float, updates_per_rollout: int = 1) -> None:
        self.ranks = list(ranks)
        self.timeout_s = timeout_s
        self.updates_per_rollout = updates_per_rollout

    async def connect(self, start: PhaseStart | None = None) -> None:
        """Form the process group and build the DeepSpeed engine for a phase (by default, that of a run's start)."""
        address, port = await within(self.timeout_s, "learner 0", self.ranks[0].rendezvous_address.remote())
        await self._on_all("the learners' process group", "connect", address, port, start)

    async def begin_phase(self, start: PhaseStart) -> None:
        """Go over to the next phase. The weights stay as they are; the optimizer begins anew if the phase restarts."""
        await self._on_all(f"the learners' change to phase '{start.phase.name}'", "begin_phase", start)

    async def learn(
        self, groups: Sequence[Group], clips: Sequence[ray.ObjectRef]
    ) -> tuple[list[GroupStats], StepStats]:
        """The optimizer steps of a GRPO step, each on all its groups; statistics come back in the order of `groups`."""
        unannotated, lengths = (
            [_without_annotation(group) for group in groups],
            [_num_tokens(group) for group in groups],
        )
        totals = StepTotals.of(groups)
        updates = [
            await self._learn("accumulate", unannotated, clips, lengths, totals)
            for _ in range(self.updates_per_rollout)
        ]
        group_stats, step_stats = zip(*updates, strict=True)
        return group_stats_of_step(group_stats), stats_of_step(step_stats)

    async def learn_supervised(
        self, demonstrations: Sequence[Demonstration], clips: Sequence[ray.ObjectRef]
    ) -> tuple[list[DemonstrationStats], StepStats]:
        """One optimizer step on all demonstrations of a step; statistics come back in the order of `demonstrations`."""
        lengths = [len(demonstration.target_ids) for demonstration in demonstrations]
        return await self._learn("accumulate_supervised", demonstrations, clips, lengths, len(demonstrations))

    async def _learn(
        self,
        accumulate: str,
        items: Sequence[object],
        clips: Sequence[ray.ObjectRef],
        lengths: Sequence[int],
        totals: StepTotals | int,
    ) -> tuple[list[Any], StepStats]:
        """Deal the items by length, longest first, so that the ranks finish together, and step.

        `accumulate` and `step` go out at once: a rank that is done with its share keeps the others company from within
        `step`.
        """
        order = sorted(range(len(items)), key=lambda index: -lengths[index])
        shares = [order[rank :: len(self.ranks)] for rank in range(len(self.ranks))]
        accumulating = [
            getattr(worker, accumulate).remote(
                [items[index] for index in share], [clips[index] for index in share], totals
            )
            for worker, share in zip(self.ranks, shares, strict=True)
        ]
        stepping = [worker.step.remote() for worker in self.ranks]
        stats_of_ranks, step_stats = await within(
            self.timeout_s,
            "the learners' step (learner.timeout_s)",
            asyncio.gather(asyncio.gather(*accumulating), asyncio.gather(*stepping)),
        )
        by_index = {
            index: stats
            for share, rank_stats in zip(shares, stats_of_ranks, strict=True)
            for index, stats in zip(share, rank_stats, strict=True)
        }
        return [by_index[index] for index in range(len(items))], step_stats[0]

    async def save(self, checkpoint: Path) -> None:
        """Write `hf/` and `state/` into the folder."""
        await self._on_all("writing the checkpoint's hf folder", "save_hf", checkpoint / "hf")
        await self._on_all("writing the checkpoint's state", "save_state", checkpoint / "state")

    async def load(self, checkpoint: Path) -> None:
        """Take up weights, optimizer, schedule and RNG of a checkpoint."""
        await self._on_all("reading the checkpoint's state", "load_state", checkpoint / "state")

    async def _on_all(self, what: str, method: str, *args: object) -> None:
        calls = [getattr(worker, method).remote(*args) for worker in self.ranks]
        await within(self.timeout_s, f"{what} (learner.timeout_s)", asyncio.gather(*calls))


def _without_annotation(group: Group) -> Group:
    """The group as the learner may see it: what was sampled and what it earned, not what was right."""
    return replace(group, sample=replace(group.sample, solution=(), response=None))


def _num_tokens(group: Group) -> int:
    return sum(len(completion.token_ids) for completion in group.completions)

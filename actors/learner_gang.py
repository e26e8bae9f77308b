"""All learner ranks as one policy: groups in, one optimizer step out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ray
from ray.actor import ActorHandle

from actors.cluster import within
from actors.learner.stats import GroupStats, StepStats
from actors.phase_start import PhaseStart
from museg.rollout.completions import Group


class LearnerGang:
    """K ranks that always act together: every call runs on all of them."""

    def __init__(self, ranks: Sequence[ActorHandle], timeout_s: float) -> None:
        self.ranks = list(ranks)
        self.timeout_s = timeout_s

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
        """One optimizer step on all groups of a step; their statistics come back in the order of `groups`.

        Groups are dealt by length, longest first, so that the ranks finish together. `accumulate` and `step` go out
        at once: a rank that is done with its groups keeps the others company from within `step`.
        """
        order = sorted(range(len(groups)), key=lambda index: -_num_tokens(groups[index]))
        shares = [order[rank :: len(self.ranks)] for rank in range(len(self.ranks))]
        unannotated = [_without_annotation(group) for group in groups]
        accumulating = [
            worker.accumulate.remote(
                [unannotated[index] for index in share], [clips[index] for index in share], len(groups)
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
        return [by_index[index] for index in range(len(groups))], step_stats[0]

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
    return replace(group, sample=replace(group.sample, solution=()))


def _num_tokens(group: Group) -> int:
    return sum(len(completion.token_ids) for completion in group.completions)

"""All learner ranks as one policy: groups or demonstrations in, one optimizer step out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from actors.faults.budget import RestartBudget
from actors.faults.seat import Seat
from actors.learner.stats import DemonstrationStats, GroupStats, StepStats
from actors.learning.lasting_step import LastingStep
from actors.learning.memory import StepMemory
from actors.learning.rank import LearnerRank
from actors.learning.restarts import Restarts
from actors.learning.snapshots import ComingSnapshot, LearnerCopy, LearnerSnapshot
from actors.learning.step_learning import StepLearning, Update
from actors.occupation import Occupation
from actors.phase_start import PhaseStart
from actors.rollout.rollouts import Rollout
from actors.supervised.lesson import Lesson
from actors.waiting import DeadlineError, within
from museg.config.schema import Config
from museg.errors import ModelError
from museg.grpo.aggregation import StepTotals
from museg.rollout.completions import Group
from museg.rollout.micro_batches import MicroBatcher
from museg.runs.manifest import Records


class LearnerGang:
    """K ranks that always act together: every call runs on all of them, but for micro-batches and videos.

    A rank that dies or hangs doesn't show: all are replaced, take up the newest copy of their state, and redo what was
    learned since. No call has to be repeated by who made it.
    """

    def __init__(
        self, seats: Sequence[Seat], config: Config, occupation: Occupation, budget: RestartBudget | None = None
    ) -> None:
        """`occupation` counts what the ranks are sent to learn from, under their seats' names.

        Without a budget no rank is ever replaced, and what fails is raised.
        """
        self.seats = list(seats)
        self.timeout_s = config.learner.timeout_s
        self.micro_batch_tokens = config.learner.micro_batch_tokens
        self.updates_per_rollout = config.grpo.updates_per_rollout
        self.version = 0
        """Of the weights: steps of the run that they have behind them."""
        self._in_rounds = config.learner.zero_stage >= 2 and config.learner.ranks > 1
        self._ranks = [LearnerRank(seat, occupation) for seat in seats]
        self._restarts = Restarts(seats, budget, self._begin_again, self.spare_memory)
        self._memory_spared = False
        self._memory = StepMemory(
            self.seats, config.recovery.snapshot_steps if budget else None, config.learner.timeout_s
        )
        self._at_work: LastingStep[Any, Any] | None = None

    @property
    def life(self) -> int:
        """How often all ranks were replaced."""
        return self._restarts.life

    async def connect(self, start: PhaseStart | None = None) -> None:
        """Form the process group and build the DeepSpeed engine for a phase (by default, that of a run's start)."""
        self._memory.begin(start)
        async with self._restarts.held() as life:
            try:
                await self._connect()
            except (RayError, DeadlineError) as error:
                fault = error
            else:
                return
        # A restart connects.
        await self._restarts.recover(fault, life)

    async def begin_phase(self, start: PhaseStart) -> None:
        """Go over to the next phase. The weights stay as they are; the optimizer begins anew if the phase restarts."""

        async def begin() -> None:
            await self._on_all(f"the learners' change to phase '{start.phase.name}'", "begin_phase", start)
            taken = None if start.phase.restarts else await self._memory.snapshot()
            self._memory.begin(start, snapshot=taken)

        await self._restarts.lasting(begin)

    async def begin_step(self, totals: StepTotals) -> LastingStep[Rollout, GroupStats]:
        """Begin the optimizer steps of a GRPO step, each on all its groups.

        What the groups are packed to and which rank computes it follows from their tokens and their order alone.
        """

        def accumulate(rank: LearnerRank, rollouts: Sequence[Rollout]) -> Awaitable[list[GroupStats]]:
            groups = [_without_annotation(rollout.group) for rollout in rollouts]
            return self._sent(rank.accumulate("accumulate", groups, [rollout.clip for rollout in rollouts], totals))

        def attempt(micro_batch_tokens: int) -> StepLearning:
            batcher: MicroBatcher[Rollout] = self._batcher(totals.num_groups, micro_batch_tokens)
            update: Update[Rollout, GroupStats] = Update(
                self._ranks, batcher, accumulate, self.timeout_s, in_rounds=self._in_rounds
            )
            return StepLearning(update, self.updates_per_rollout)

        step: LastingStep[Rollout, GroupStats] = LastingStep(attempt, self._restarts, self._finished)
        await self._begin(step)
        return step

    async def learn_supervised(self, lessons: Sequence[Lesson]) -> tuple[list[DemonstrationStats], StepStats]:
        """One optimizer step on all lessons of a step; statistics come back in their order. Raises as a step does."""

        def accumulate(rank: LearnerRank, some: Sequence[Lesson]) -> Awaitable[list[DemonstrationStats]]:
            demonstrations, clips = [lesson.demonstration for lesson in some], [lesson.clip for lesson in some]
            return self._sent(rank.accumulate("accumulate_supervised", demonstrations, clips, len(lessons)))

        def attempt(micro_batch_tokens: int) -> Update[Lesson, DemonstrationStats]:
            batcher: MicroBatcher[Lesson] = self._batcher(len(lessons), micro_batch_tokens)
            return Update(self._ranks, batcher, accumulate, self.timeout_s, in_rounds=self._in_rounds)

        step: LastingStep[Lesson, DemonstrationStats] = LastingStep(attempt, self._restarts, self._finished)
        await self._begin(step)
        longest_first = sorted(range(len(lessons)), key=lambda index: -lessons[index].num_tokens)
        for index in longest_first:
            step.add(lessons[index])
        stats, step_stats = await step.finish()
        by_index = dict(zip(longest_first, stats, strict=True))
        return [by_index[index] for index in range(len(lessons))], step_stats

    async def embed(self, clip: ray.ObjectRef) -> ray.ObjectRef:
        """Run the frozen vision tower over a clip, on the least busy rank; a reference to the `EmbeddedVideo`.

        It is there when this returns, and stays whatever becomes of the rank.
        """
        while True:
            async with self._restarts.held() as life:
                done, embedded = min(self._ranks, key=LearnerRank.outstanding).embed(clip)
            try:
                await within(self.timeout_s, "the embedding of a video (learner.timeout_s)", done)
            except (RayError, DeadlineError) as error:
                await self._restarts.recover(error, life)
            else:
                return embedded

    @asynccontextmanager
    async def weights_held(self) -> AsyncIterator[int]:
        """No optimizer step and no restart happens inside, so weights can be exported; their version.

        In the midst of a step, too: between two micro-batches, all ranks being at the same point.
        """
        async with self._restarts.held():
            yield self.version

    async def mend(self, fault: BaseException, life: int) -> bool:
        """Replace all ranks if one is dead or hangs; whether they are later ones than those of that life.

        For what others ask of the ranks: a publication of weights that failed, at whichever end.
        """
        return await self._restarts.mend(fault, life)

    async def snapshot(self) -> LearnerSnapshot | None:
        """A copy of the state in memory, between two steps; None where no rank is ever replaced."""
        return await self._restarts.lasting(self._memory.renew)

    async def copy(self) -> LearnerCopy:
        """All that a checkpoint holds, in memory, between two steps; learning can go on while it is written."""

        async def take() -> LearnerCopy:
            taken = await self._memory.renew() or await ComingSnapshot(self.seats).taken()
            copies = [seat.actor.copy_hf.remote() for seat in self.seats]
            done = asyncio.gather(*(ready for ready, _ in copies))
            await within(self.timeout_s, "copying the checkpoint's hf folder (learner.timeout_s)", done)
            nodes = tuple(seat.where.node_id if seat.where else None for seat in self.seats)
            return LearnerCopy(snapshot=taken, hf=copies[0][1], nodes=nodes)

        return await self._restarts.lasting(take)

    def drop_step(self) -> None:
        """Give up the step at work; of the ranks only a `copy` may be asked then, which is of the step before."""
        self._at_work = None
        for seat in self.seats:
            seat.actor.drop_step.remote()

    async def save(self, checkpoint: Path) -> Records:
        """Write `hf/` and `state/` into the folder; the records of their files."""
        return await (await self.copy()).write(checkpoint)

    async def load(self, checkpoint: Path) -> None:
        """Take up weights, optimizer, schedule and RNG of a checkpoint."""

        async def read() -> None:
            await self._load(checkpoint)
            self._memory.loaded(checkpoint)

        await self._restarts.lasting(read)

    def _sent(self, answer: asyncio.Task[Any]) -> asyncio.Task[Any]:
        self._restarts.watch(answer)
        return answer

    async def _begin(self, step: LastingStep[Any, Any]) -> None:
        async with self._restarts.held():
            # The ranks take it before they learn from the step's first rollouts, mostly while these are sampled.
            self._memory.ask_if_due()
            self._at_work = step
            step.begin(self.micro_batch_tokens)

    async def _finished(self, step: LastingStep[Any, Any]) -> None:
        await self._memory.keep(step)
        self._at_work = None
        self.version += 1
        self._restarts.step_done()

    async def _connect(self) -> None:
        await asyncio.gather(*(seat.filled() for seat in self.seats))
        address, port = await within(self.timeout_s, "learner 0", self.seats[0].actor.rendezvous_address.remote())
        start = self._memory.footing.start
        await self._on_all("the learners' process group", "connect", address, port, start)

    async def _begin_again(self) -> None:
        """Fill all seats anew and bring them to where the ranks before were."""
        self._memory.lose_coming()
        if self._at_work is not None:
            self._at_work.pause()
        await asyncio.gather(*(seat.replace() for seat in self.seats))
        await self._connect()
        footing = self._memory.footing
        if footing.snapshot is not None:
            calls = footing.snapshot.restored_by(self.seats)
            await within(self.timeout_s, "the learners' state from memory (learner.timeout_s)", calls)
        elif footing.checkpoint is not None:
            await self._load(footing.checkpoint)
        for difference in [await kept.redo() for kept in self._memory.kept]:
            if difference is not None and self._restarts.budget is not None:
                self._restarts.budget.say(f"warning: a redone step isn't bit for bit what it was: {difference}")
        if self._at_work is not None:
            self._at_work.begin(self.micro_batch_tokens)

    def spare_memory(self) -> BaseException:
        """Halve the micro-batches, once a run, after a rank had no memory for one; what to tell of it.

        Raises:
            ModelError: they are halved already.
        """
        before, self.micro_batch_tokens = self.micro_batch_tokens, max(1, self.micro_batch_tokens // 2)
        if self._memory_spared:
            raise ModelError(
                f"a learner rank is out of memory also with micro-batches of at most {before} tokens (half of "
                "learner.micro_batch_tokens); a group is never split: lower grpo.group_size, generation.max_tokens or "
                "video.total_pixels, or shard more by learner.zero_stage=3 and learner.ranks"
            )
        self._memory_spared = True
        return MemoryError(
            f"out of memory with micro-batches of at most {before} tokens; from now on of "
            f"{self.micro_batch_tokens}: learner.micro_batch_tokens={self.micro_batch_tokens} says so from the start"
        )

    async def _load(self, checkpoint: Path) -> None:
        await self._on_all("reading the checkpoint's state", "load_state", checkpoint / "state")

    def _batcher(self, num_items: int, max_tokens: int) -> MicroBatcher[Any]:
        return MicroBatcher(num_items=num_items, num_ranks=len(self.seats), max_tokens=max_tokens)

    async def _on_all(self, what: str, method: str, *args: object) -> None:
        calls = [getattr(seat.actor, method).remote(*args) for seat in self.seats]
        await within(self.timeout_s, f"{what} (learner.timeout_s)", asyncio.gather(*calls))


def _without_annotation(group: Group) -> Group:
    """The group as the learner may see it: what was sampled and what it earned, not what was right."""
    return replace(group, sample=replace(group.sample, solution=(), response=None))

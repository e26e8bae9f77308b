"""The loop: phase after phase, one GRPO step after the other, from prompts to published weights."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from actors.checkpointing.writer import CheckpointWriter
from actors.evaluation.evaluator import Evaluator
from actors.faults.budget import RestartBudget
from actors.guards.bad_step import bad_step_rows
from actors.guards.watch import Guards
from actors.learner.stats import DivergedError, GroupStats, StepStats
from actors.learning.gang import LearnerGang
from actors.occupation import Occupation
from actors.phase_start import PhaseStart
from actors.progress import ProgressDisplay
from actors.records import rollout_rows, step_metrics
from actors.resuming import TrainerState
from actors.rollout.flat_groups import Harvest
from actors.rollout.prompt_source import PromptSource
from actors.rollout.sampler import Sampler
from actors.stopping import DroppedError, StopSignal
from actors.telemetry.telemetry import Telemetry
from actors.weight_sync.delivery import WeightDelivery
from museg.config.phases import Phase, checkpoints_needed, phase_at
from museg.config.schema import Config
from museg.runs.directory import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """Moves references between the workers, never frames or weights.

    Version v of the weights is what step v left behind. Step k samples from version k - 1, or from one that is up to
    `pipeline.staleness` older.
    """

    config: Config
    phases: Sequence[Phase]
    run: RunDirectory
    checkpoint_folders: Sequence[Path]
    """Where the weights that phases start from are sought."""
    start: TrainerState
    prompts: PromptSource
    sampler: Sampler
    learner: LearnerGang
    weights: WeightDelivery
    evaluator: Evaluator | None
    occupation: Occupation
    budget: RestartBudget
    guards: Guards
    checkpoints: CheckpointWriter
    progress: ProgressDisplay
    stop: StopSignal
    telemetry: Telemetry = field(default_factory=Telemetry)
    started_s: float = field(default_factory=time.monotonic)

    async def train(self, first_step: int) -> int:
        """Run the steps from `first_step` to the last, or until a stop is asked for; return the last one done.

        The learner is ready for the phase of `first_step`.
        """
        if self.start.unfinished_row and not self.run.has_row(self.start.step):
            await self.conclude(self.start.step, dict(self.start.unfinished_row))
        for phase in self.phases:
            if phase.first_step > first_step:
                if self.stop.requested:
                    return phase.first_step - 1
                await self.begin(phase)
            for step in range(max(first_step, phase.first_step), phase.last_step + 1):
                if self.stop.requested:
                    return step - 1
                try:
                    metrics = await self.step(step, phase)
                except DroppedError:
                    await self.give_up(step)
                    return step - 1
                await self.conclude(step, metrics)
        return max(first_step - 1, self.phases[-1].last_step)

    async def begin(self, phase: Phase) -> None:
        """Have the learner go over to the next phase, and the generators follow it."""
        changes = phase.changes_since(self.phases[phase.index - 1])
        self.progress.say(", ".join([phase.title(len(self.phases)), *changes]))
        # It may start from the weights of the one before.
        await self.checkpoints.finished()
        await self.learner.begin_phase(PhaseStart.from_checkpoints(phase, self.checkpoint_folders))
        if phase.restarts:
            await self.weights.to_all(version=phase.first_step - 1)

    async def step(self, step: int, phase: Phase) -> dict[str, float]:
        """One GRPO step; its metrics. Its groups are learned from while others are still sampled."""
        clock = self.telemetry.clock()
        for ahead in range(step, min(step + self.config.pipeline.staleness, phase.last_step) + 1):
            self.sampler.sample(ahead, phase)
        rollouts = self.sampler.take(step)
        async with self.stop.droppable():
            await rollouts.prepared.wait()
            clock.lap("wait_video")
            learning = await self.learner.begin_step(await rollouts.totals)
            async for rollout in rollouts:
                learning.add(rollout)
        clock.lap("generate", until_s=rollouts.generated_at_s)
        clock.lap("reward")
        group_stats, step_stats = await learning.finish()
        self.learner.version = step
        clock.lap("learn")
        synced = await self.weights.to_all(version=step)
        clock.lap("sync")
        self.budget.step_done()
        self.record(step, rollouts.harvest, group_stats, step_stats)
        return {
            **step_metrics(step, rollouts.harvest, group_stats, step_stats, synced, clock.times()),
            "video/cache_hit_rate": self.prompts.videos.hit_rate(),
            **self.occupation.idle_fractions(),
            **self.sampler.num_workers(),
            **self.guards.note(step_stats.skipped),
            "phase": phase.index + 1,
        }

    async def conclude(self, step: int, metrics: dict[str, float]) -> None:
        """Have a step that is done evaluated, recorded and, where it is time, kept as a checkpoint."""
        self.stop.step_end_s = metrics["time/learn_s"] + metrics["time/sync_s"]
        try:
            metrics |= await self.evaluated(step)
        except DroppedError:
            self.progress.say(f"the evaluation after step {step} is given up, and done again when the run goes on")
            await self.checkpoint(step, unfinished_row=metrics)
            return
        metrics |= self.guards.marks(metrics, before=self.start.eval_before)
        metrics |= {**self.budget.metrics(), "time/unix_s": time.time()}
        self.run.append_metrics(metrics)
        self.telemetry.log(metrics)
        self.progress.show(metrics)
        await self.look_at(step, metrics)
        self.checkpoints.raise_failure()
        last_of_phase = step == phase_at(self.phases, step).last_step
        if last_of_phase or self.stop.requested or self.checkpoints.due(step):
            await self.checkpoint(step)

    async def evaluated(self, step: int) -> dict[str, float]:
        """`eval/…` of the step's row, where it has some. Raises DroppedError."""
        if self.evaluator is None or step % self.config.eval.every_steps or step == self.phases[-1].last_step:
            return {}
        async with self.stop.droppable():
            scores = await self.evaluator.evaluate(self.config.eval.samples)
        return {f"eval/{name}": value for name, value in scores.items()}

    async def give_up(self, step: int) -> None:
        """Keep what was before a step that was dropped."""
        self.progress.say(f"step {step} is given up, and done again when the run goes on")
        self.learner.drop_step()
        await self.checkpoint(step - 1)

    def record(self, step: int, harvest: Harvest, groups: Sequence[GroupStats], stats: StepStats) -> None:
        """Leave the step's completions in rollouts/, or in bad_steps/ if its numbers went wrong."""
        if stats.skipped:
            self.run.write_bad_step(step, bad_step_rows(step, harvest, groups, stats.skipped))
        else:
            self.run.write_rollouts(step, rollout_rows(step, harvest, groups))

    async def look_at(self, step: int, metrics: Mapping[str, float]) -> None:
        """Raises DivergedError where the run can't go on from a skipped step, with the last good state kept."""
        try:
            self.guards.refuse(step, metrics)
        except DivergedError as error:
            await self.checkpoint(error.state_of_step)
            raise

    async def checkpoint(self, step: int, unfinished_row: Mapping[str, float] | None = None) -> None:
        """Have `checkpoints/step-NNNNNN` written of the learner's present state, unless it is there."""
        state = replace(
            self.start,
            step=step,
            unfinished_row=unfinished_row or {},
            videos_skipped=dict(self.prompts.videos_skipped),
            wall_s=self.wall_s(),
            restarts=self.budget.count,
        )
        await self.checkpoints.begin(state, pinned=checkpoints_needed(self.phases, step))

    def close(self) -> None:
        """Give up what is being sampled and decoded ahead."""
        self.sampler.close()
        self.prompts.close()

    def wall_s(self) -> float:
        """Seconds that the run has taken, over all of its lives."""
        return self.start.wall_s + time.monotonic() - self.started_s

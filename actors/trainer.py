"""The loop: phase after phase, one GRPO step after the other, from prompts to published weights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from actors.evaluation.evaluator import Evaluator
from actors.generation.pool import GeneratorPool
from actors.learning.gang import LearnerGang
from actors.occupation import Occupation
from actors.phase_start import PhaseStart
from actors.progress import ProgressDisplay
from actors.records import StepClock, rollout_rows, step_metrics
from actors.resuming import TrainerState
from actors.rollout.prompt_source import PromptSource
from actors.rollout.sampler import Sampler
from actors.stopping import StopSignal
from actors.weight_sync.publisher import SyncStats, WeightPublisher
from museg.config.phases import Phase, checkpoints_needed
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
    generators: GeneratorPool
    learner: LearnerGang
    weights: WeightPublisher
    evaluator: Evaluator | None
    occupation: Occupation
    progress: ProgressDisplay
    stop: StopSignal
    started_s: float = field(default_factory=time.monotonic)

    async def train(self, first_step: int) -> int:
        """Run the steps from `first_step` to the last, or until a stop is asked for; return the last one done.

        The learner is ready for the phase of `first_step`.
        """
        for phase in self.phases:
            if phase.first_step > first_step:
                await self.begin(phase)
            for step in range(max(first_step, phase.first_step), phase.last_step + 1):
                metrics = await self.step(step, phase)
                if self.evaluator and step % self.config.eval.every_steps == 0 and step < self.phases[-1].last_step:
                    scores = await self.evaluator.evaluate(self.config.eval.samples)
                    metrics |= {f"eval/{name}": value for name, value in scores.items()}
                self.run.append_metrics(metrics)
                self.progress.show(metrics)
                stopping = self.stop.requested
                if stopping or step == phase.last_step or step % self.config.checkpoint.every_steps == 0:
                    await self.checkpoint(step)
                if stopping:
                    return step
        return max(first_step - 1, self.phases[-1].last_step)

    async def begin(self, phase: Phase) -> None:
        """Have the learner go over to the next phase, and the generators follow it."""
        changes = phase.changes_since(self.phases[phase.index - 1])
        self.progress.say(", ".join([phase.title(len(self.phases)), *changes]))
        await self.learner.begin_phase(PhaseStart.from_checkpoints(phase, self.checkpoint_folders))
        if phase.restarts:
            await self.publish(version=phase.first_step - 1)

    async def step(self, step: int, phase: Phase) -> dict[str, float]:
        """One GRPO step; its metrics. Its groups are learned from while others are still sampled."""
        clock = StepClock()
        for ahead in range(step, min(step + self.config.pipeline.staleness, phase.last_step) + 1):
            self.sampler.sample(ahead, phase)
        rollouts = self.sampler.take(step)
        await rollouts.prepared.wait()
        clock.lap("wait_video")
        learning = self.learner.begin_step(await rollouts.totals)
        async for rollout in rollouts:
            learning.add(rollout)
        clock.lap("generate", until_s=rollouts.generated_at_s)
        clock.lap("reward")
        group_stats, step_stats = await learning.finish()
        clock.lap("learn")
        synced = await self.publish(version=step)
        clock.lap("sync")
        self.run.write_rollouts(step, rollout_rows(step, rollouts.harvest, group_stats))
        return {
            **step_metrics(step, rollouts.harvest, group_stats, step_stats, synced, clock.times()),
            "video/cache_hit_rate": self.prompts.videos.hit_rate(),
            **self.occupation.idle_fractions(),
            "phase": phase.index + 1,
        }

    async def publish(self, version: int) -> SyncStats:
        """Bring the learner's weights to all generators, between two steps' sampling."""
        async with self.generators.updating():
            return await self.weights.publish(version=version)

    async def checkpoint(self, step: int) -> None:
        """Write `checkpoints/step-NNNNNN`, whole or not at all, and drop the oldest that no phase starts from."""
        with self.run.checkpoint_store.new(step) as folder:
            await self.learner.save(folder)
            skipped = dict(self.prompts.videos_skipped)
            replace(self.start, step=step, videos_skipped=skipped, wall_s=self.wall_s()).write(folder)
        pinned = checkpoints_needed(self.phases, step)
        self.run.checkpoint_store.prune(self.config.checkpoint.keep, newest=step, stay=pinned)

    def wall_s(self) -> float:
        """Seconds that the run has taken, over all of its lives."""
        return self.start.wall_s + time.monotonic() - self.started_s

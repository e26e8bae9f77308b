"""The loop of a supervised run: one step after the other, from prompts to an optimizer step on their targets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from transformers import PreTrainedTokenizerBase

from actors.checkpointing.writer import CheckpointWriter
from actors.faults.budget import RestartBudget
from actors.guards.bad_step import bad_lesson_rows
from actors.guards.watch import Guards
from actors.learner.stats import DivergedError
from actors.learning.gang import LearnerGang
from actors.progress import ProgressDisplay
from actors.records import supervised_metrics
from actors.resuming import TrainerState
from actors.rollout.prompt_source import PromptSource
from actors.stopping import DroppedError, StopSignal
from actors.supervised.lesson import Lesson
from actors.telemetry.telemetry import Telemetry
from museg.config.schema import Config
from museg.runs.directory import RunDirectory
from museg.sft.demonstrations import demonstration_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedTrainer:
    """Moves references between the reward workers, which decode, and the learner. `grpo.steps` is the run's length."""

    config: Config
    run: RunDirectory
    start: TrainerState
    prompts: PromptSource
    tokenizer: PreTrainedTokenizerBase
    learner: LearnerGang
    budget: RestartBudget
    guards: Guards
    checkpoints: CheckpointWriter
    progress: ProgressDisplay
    stop: StopSignal
    telemetry: Telemetry
    started_s: float = field(default_factory=time.monotonic)

    async def train(self) -> int:
        """Run the steps that are left, or until a stop is asked for; return the last one done."""
        for step in range(self.start.step + 1, self.config.grpo.steps + 1):
            try:
                metrics = await self.step(step)
            except DroppedError:
                self.progress.say(f"step {step} is given up, and done again when the run goes on")
                await self.checkpoint(step - 1)
                return step - 1
            self.guards.passed(metrics)
            metrics |= {**self.budget.metrics(), "time/unix_s": time.time()}
            self.run.append_metrics(metrics)
            self.telemetry.log(metrics)
            self.progress.show(metrics)
            await self.look_at(step, metrics)
            self.checkpoints.raise_failure()
            last = step == self.config.grpo.steps or self.stop.requested
            if last or self.checkpoints.due(step):
                await self.checkpoint(step)
            if last:
                return step
        return self.start.step

    async def step(self, step: int) -> dict[str, float]:
        """One optimizer step on the targets of the step's samples; its metrics."""
        clock = self.telemetry.clock()
        async with self.stop.droppable():
            prompts = await self.prompts.take(step)
        clock.lap("wait_video")
        lessons = [
            Lesson(
                demonstration=demonstration_of(prompt.sample, prompt.prompt, self.tokenizer),
                clip=prompt.clip,
                num_prompt_tokens=prompt.num_tokens,
            )
            for prompt in prompts
        ]
        stats, step_stats = await self.learner.learn_supervised(lessons)
        clock.lap("learn")
        self.stop.step_end_s = clock.times()["time/learn_s"]
        self.budget.step_done()
        if step_stats.skipped:
            self.run.write_bad_step(step, bad_lesson_rows(step, lessons, stats, step_stats.skipped))
        metrics = supervised_metrics(step, stats, step_stats, clock.times())
        return metrics | self.guards.note(step_stats.skipped)

    async def look_at(self, step: int, metrics: Mapping[str, float]) -> None:
        """Raises DivergedError after too many skipped steps, with the last good state kept."""
        try:
            self.guards.refuse(step, metrics)
        except DivergedError as error:
            await self.checkpoint(error.state_of_step)
            raise

    async def checkpoint(self, step: int) -> None:
        """Have `checkpoints/step-NNNNNN` written of the learner's present state, unless it is there."""
        skipped, restarts = dict(self.prompts.videos_skipped), self.budget.count
        await self.checkpoints.begin(
            replace(self.start, step=step, videos_skipped=skipped, wall_s=self.wall_s(), restarts=restarts)
        )

    def close(self) -> None:
        """Give up what is being decoded ahead."""
        self.prompts.close()

    def wall_s(self) -> float:
        """Seconds that the run has taken, over all of its lives."""
        return self.start.wall_s + time.monotonic() - self.started_s

"""The loop of a supervised run: one step after the other, from prompts to an optimizer step on their targets."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from transformers import PreTrainedTokenizerBase

from actors.learning.gang import LearnerGang
from actors.progress import ProgressDisplay
from actors.records import StepClock, supervised_metrics
from actors.resuming import TrainerState
from actors.rollout.prompt_source import PromptSource
from actors.stopping import StopSignal
from actors.supervised.lesson import Lesson
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
    progress: ProgressDisplay
    stop: StopSignal
    started_s: float = field(default_factory=time.monotonic)

    async def train(self) -> int:
        """Run the steps that are left, or until a stop is asked for; return the last one done."""
        for step in range(self.start.step + 1, self.config.grpo.steps + 1):
            metrics = await self.step(step)
            self.run.append_metrics(metrics)
            self.progress.show(metrics)
            last = step == self.config.grpo.steps or self.stop.requested
            if last or step % self.config.checkpoint.every_steps == 0:
                await self.checkpoint(step)
            if last:
                return step
        return self.start.step

    async def step(self, step: int) -> dict[str, float]:
        """One optimizer step on the targets of the step's samples; its metrics."""
        clock = StepClock()
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
        return supervised_metrics(step, stats, step_stats, clock.times())

    async def checkpoint(self, step: int) -> None:
        """Write `checkpoints/step-NNNNNN`, whole or not at all, and drop the oldest ones."""
        with self.run.checkpoint_store.new(step) as folder:
            await self.learner.save(folder)
            skipped = dict(self.prompts.videos_skipped)
            replace(self.start, step=step, videos_skipped=skipped, wall_s=self.wall_s()).write(folder)
        self.run.checkpoint_store.prune(self.config.checkpoint.keep, newest=step)

    def wall_s(self) -> float:
        """Seconds that the run has taken, over all of its lives."""
        return self.start.wall_s + time.monotonic() - self.started_s

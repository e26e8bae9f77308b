"""The loop: one GRPO step after the other, from prompts to published weights."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from actors.evaluation import Evaluator
from actors.generation import GeneratedGroup, GenerationRequest
from actors.generator_pool import GeneratorPool
from actors.learner_gang import LearnerGang
from actors.progress import ProgressDisplay
from actors.prompt_source import PreparedPrompt, PromptSource
from actors.records import StepClock, rollout_rows, step_metrics
from actors.resuming import TrainerState
from actors.reward_pool import RewardPool
from actors.stopping import StopSignal
from actors.weight_sync.publisher import WeightPublisher
from museg.config.schema import Config
from museg.grpo.advantages import group_advantages
from museg.rollout.completions import Group, SamplingSettings
from museg.rollout.seeds import sampling_seed
from museg.runs.directory import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """Moves references between the workers, never frames or weights.

    Version v of the weights is what step v left behind; step k samples from version k - 1.
    """

    config: Config
    run: RunDirectory
    start: TrainerState
    prompts: PromptSource
    generators: GeneratorPool
    reward_workers: RewardPool
    learner: LearnerGang
    weights: WeightPublisher
    evaluator: Evaluator | None
    progress: ProgressDisplay
    stop: StopSignal
    started_s: float = field(default_factory=time.monotonic)

    async def train(self, first_step: int) -> int:
        """Run the steps from `first_step` to `grpo.steps`, or until a stop is asked for; return the last one done."""
        for step in range(first_step, self.config.grpo.steps + 1):
            metrics = await self.step(step)
            if self.evaluator and step % self.config.eval.every_steps == 0 and step < self.config.grpo.steps:
                scores = await self.evaluator.evaluate(self.config.eval.samples)
                metrics |= {f"eval/{name}": value for name, value in scores.items()}
            self.run.append_metrics(metrics)
            self.progress.show(metrics)
            last = step == self.config.grpo.steps or self.stop.requested
            if last or step % self.config.checkpoint.every_steps == 0:
                await self.checkpoint(step)
            if last:
                return step
        return first_step - 1

    async def step(self, step: int) -> dict[str, float]:
        """One GRPO step; its metrics."""
        clock = StepClock()
        prompts = await self.prompts.take(step)
        clock.lap("wait_video")
        scoring: dict[int, asyncio.Task[Group]] = {}
        async for generated in self.generators.sample(self.requests(prompts, weights_version=step - 1)):
            scoring[generated.key] = asyncio.create_task(self.score(prompts[generated.key], generated))
        clock.lap("generate")
        groups = [await scoring[key] for key in range(len(prompts))]
        clock.lap("reward")
        group_stats, step_stats = await self.learner.learn(groups, [prompt.clip for prompt in prompts])
        clock.lap("learn")
        await self.weights.publish(version=step)
        clock.lap("sync")
        self.run.write_rollouts(step, rollout_rows(step, groups, group_stats))
        return step_metrics(step, groups, group_stats, step_stats, clock.times())

    def requests(self, prompts: Sequence[PreparedPrompt], weights_version: int) -> list[GenerationRequest]:
        """What the generators are asked: G completions a prompt, seeded by what is sampled."""
        config = self.config
        sampling = SamplingSettings(
            num_completions=config.grpo.group_size,
            temperature=config.generation.temperature,
            top_p=config.generation.top_p,
            max_tokens=config.generation.max_tokens,
        )
        return [
            GenerationRequest(
                key=position,
                prompt=prompt.prompt,
                clip=prompt.clip,
                seed=sampling_seed(config.seed, prompt.sample.idx, weights_version),
                sampling=sampling,
            )
            for position, prompt in enumerate(prompts)
        ]

    async def score(self, prompt: PreparedPrompt, generated: GeneratedGroup) -> Group:
        """The generated completions with their rewards and advantages."""
        texts = [completion.text for completion in generated.completions]
        rewards = await self.reward_workers.score(prompt.sample, texts)
        totals = [reward.total for reward in rewards]
        return Group(
            sample=prompt.sample,
            prompt=prompt.prompt,
            completions=generated.completions,
            rewards=tuple(rewards),
            advantages=tuple(group_advantages(totals, self.config.grpo.advantage_eps)),
        )

    async def checkpoint(self, step: int) -> None:
        """Write `checkpoints/step-NNNNNN`, whole or not at all, and drop the oldest ones."""
        with self.run.new_checkpoint(step) as folder:
            await self.learner.save(folder)
            skipped = dict(self.prompts.videos_skipped)
            replace(self.start, step=step, videos_skipped=skipped, wall_s=self.wall_s()).write(folder)
        self.run.drop_old_checkpoints(self.config.checkpoint.keep)

    def wall_s(self) -> float:
        """Seconds that the run has taken, over all of its lives."""
        return self.start.wall_s + time.monotonic() - self.started_s

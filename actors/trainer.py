"""The loop: phase after phase, one GRPO step after the other, from prompts to published weights."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from actors.evaluation.evaluator import Evaluator
from actors.flat_groups import Rollout, harvest
from actors.generation import GeneratedGroup, GenerationRequest
from actors.generator_pool import GeneratorPool
from actors.learner_gang import LearnerGang
from actors.phase_start import PhaseStart
from actors.progress import ProgressDisplay
from actors.prompt_source import PreparedPrompt, PromptSource
from actors.records import StepClock, rollout_rows, step_metrics
from actors.resuming import TrainerState
from actors.reward_pool import RewardPool
from actors.stopping import StopSignal
from actors.weight_sync.publisher import WeightPublisher
from museg.config.phases import Phase, checkpoints_needed
from museg.config.schema import Config
from museg.grpo.advantages import group_advantages
from museg.grpo.variants import loss_settings
from museg.rollout.completions import Group, SamplingSettings
from museg.rollout.seeds import sampling_seed
from museg.runs.directory import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """Moves references between the workers, never frames or weights.

    Version v of the weights is what step v left behind; step k samples from version k - 1.
    """

    config: Config
    phases: Sequence[Phase]
    run: RunDirectory
    checkpoint_folders: Sequence[Path]
    """Where the weights that phases start from are sought."""
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
            await self.weights.publish(version=phase.first_step - 1)

    async def step(self, step: int, phase: Phase) -> dict[str, float]:
        """One GRPO step; its metrics."""
        clock = StepClock()
        prompts = await self.prompts.take(step)
        clock.lap("wait_video")
        own = await self.roll_out(prompts, step, phase, clock)
        harvested = await harvest(self.config.grpo, own, partial(self.roll_out_more, step, phase, clock))
        learned = [harvested.rollouts[place] for place in harvested.learned]
        group_stats, step_stats = await self.learner.learn([r.group for r in learned], [r.clip for r in learned])
        clock.lap("learn")
        await self.weights.publish(version=step)
        clock.lap("sync")
        self.run.write_rollouts(step, rollout_rows(step, harvested, group_stats))
        return step_metrics(step, harvested, group_stats, step_stats, clock.times()) | {"phase": phase.index + 1}

    async def roll_out(
        self, prompts: Sequence[PreparedPrompt], step: int, phase: Phase, clock: StepClock
    ) -> list[Rollout]:
        """A group of each prompt, sampled and, as it finishes, scored."""
        scoring: dict[int, asyncio.Task[Group]] = {}
        async for generated in self.generators.sample(self.requests(prompts, own_version=phase.own_step(step) - 1)):
            scoring[generated.key] = asyncio.create_task(self.score(prompts[generated.key], generated, phase))
        clock.lap("generate")
        groups = await asyncio.gather(*(scoring[key] for key in range(len(prompts))))
        rollouts = [Rollout(group=group, clip=prompt.clip) for group, prompt in zip(groups, prompts, strict=True)]
        clock.lap("reward")
        return rollouts

    async def roll_out_more(self, step: int, phase: Phase, clock: StepClock, count: int) -> list[Rollout]:
        """Groups of up to `count` other prompts of the step."""
        prompts = await self.prompts.more(step, count)
        clock.lap("wait_video")
        return await self.roll_out(prompts, step, phase, clock)

    def requests(self, prompts: Sequence[PreparedPrompt], own_version: int) -> list[GenerationRequest]:
        """What the generators are asked: G completions a prompt, seeded by what is sampled.

        `own_version` is that of the weights, counted from the last restart: seeds are those of a run begun there.
        """
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
                seed=sampling_seed(config.seed, prompt.sample.idx, own_version),
                sampling=sampling,
            )
            for position, prompt in enumerate(prompts)
        ]

    async def score(self, prompt: PreparedPrompt, generated: GeneratedGroup, phase: Phase) -> Group:
        """The generated completions with their rewards and advantages."""
        texts = [completion.text for completion in generated.completions]
        rewards = await self.reward_workers.score(prompt.sample, texts, prompt.outcome.facts, phase.index)
        totals = [reward.total for reward in rewards]
        return Group(
            sample=prompt.sample,
            prompt=prompt.prompt,
            completions=generated.completions,
            rewards=tuple(rewards),
            advantages=tuple(
                group_advantages(
                    totals, scale=loss_settings(self.config).advantage_scale, eps=self.config.grpo.advantage_eps
                )
            ),
        )

    async def checkpoint(self, step: int) -> None:
        """Write `checkpoints/step-NNNNNN`, whole or not at all, and drop the oldest that no phase starts from."""
        with self.run.new_checkpoint(step) as folder:
            await self.learner.save(folder)
            skipped = dict(self.prompts.videos_skipped)
            replace(self.start, step=step, videos_skipped=skipped, wall_s=self.wall_s()).write(folder)
        self.run.drop_old_checkpoints(self.config.checkpoint.keep, pinned=checkpoints_needed(self.phases, step))

    def wall_s(self) -> float:
        """Seconds that the run has taken, over all of its lives."""
        return self.start.wall_s + time.monotonic() - self.started_s

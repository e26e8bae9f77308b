"""Sampling of the steps, one after the other, as far ahead of the weights as the run allows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from actors.generation import GeneratedGroup, GenerationRequest
from actors.generation.pool import GeneratorPool
from actors.reward.pool import RewardPool
from actors.rollout.flat_groups import Harvest, harvest, surely_learned
from actors.rollout.prompt_source import PreparedPrompt, PromptSource
from actors.rollout.rollouts import InOrder, Rollout, StepRollouts
from museg.config.choices import Aggregation
from museg.config.phases import Phase
from museg.config.schema import Config
from museg.grpo.advantages import group_advantages
from museg.grpo.aggregation import StepTotals
from museg.grpo.variants import loss_settings
from museg.rollout.completions import Group, SamplingSettings
from museg.rollout.seeds import sampling_seed


class Sampler:
    """From prompts to scored groups, handed on as they finish.

        sampler.sample(step, phase)          # of several steps too: each begins when the one before has been sampled
        async for rollout in sampler.take(step): …

    Groups come in one order, prompts with most tokens first, so that what is learned doesn't depend on who was faster.
    The generators' lock keeps sampling and new weights apart.
    """

    def __init__(
        self, config: Config, prompts: PromptSource, generators: GeneratorPool, reward_workers: RewardPool
    ) -> None:
        self.config = config
        self.prompts = prompts
        self.generators = generators
        self.reward_workers = reward_workers
        self._steps: dict[int, StepRollouts] = {}
        self._last: asyncio.Task[Harvest] | None = None
        self._running: set[asyncio.Task[Harvest]] = set()

    def sample(self, step: int, phase: Phase) -> None:
        """Sample a step of the phase, after those asked for before; asked again it does nothing."""
        if step in self._steps:
            return
        rollouts = self._steps[step] = StepRollouts()
        self._last = asyncio.create_task(self._sample(step, phase, rollouts, after=self._last))
        self._running.add(self._last)
        self._last.add_done_callback(self._running.discard)
        rollouts.fed_by(self._last)

    def take(self, step: int) -> StepRollouts:
        """The rollouts of a step that is being sampled, as they come."""
        return self._steps.pop(step)

    def num_workers(self) -> dict[str, float]:
        """`workers/<kind>`: how many are there at present."""
        attendances = {"generation": self.generators.attendance, "reward": self.reward_workers.attendance}
        return {f"workers/{kind}": len(attendance.present) for kind, attendance in attendances.items()}

    def close(self) -> None:
        """Give up what is still being sampled."""
        for sampling in self._running:
            sampling.cancel()

    async def _sample(
        self, step: int, phase: Phase, rollouts: StepRollouts, after: asyncio.Task[Harvest] | None
    ) -> Harvest:
        if after is not None:
            # What it raises is told to those who take its rollouts.
            await asyncio.wait([after])
        prompts = longest_first(await self.prompts.take(step))
        rollouts.prepared.set()
        early: list[Rollout] = []
        if self._streams(phase):
            rollouts.totals.set_result(StepTotals.ahead(len(prompts), self.config.grpo.group_size))

        def deliver(rollout: Rollout) -> None:
            if self._streams(phase) and surely_learned(self.config.grpo.zero_variance, rollout):
                early.append(rollout)
                rollouts.put(rollout)

        own = await self._roll_out(prompts, step, phase, rollouts, InOrder(deliver))
        more = partial(self._roll_out_more, step, phase, rollouts)
        harvested = _early_first(await harvest(self.config.grpo, own, more), early)
        learned = [harvested.rollouts[place] for place in harvested.learned]
        if not self._streams(phase):
            rollouts.totals.set_result(StepTotals.of([rollout.group for rollout in learned]))
        for rollout in learned[len(early) :]:
            rollouts.put(rollout)
        return harvested

    def _streams(self, phase: Phase) -> bool:
        """Whether groups can go to the learner before all are there: not where their weight depends on the others."""
        return phase.config.pipeline.streaming and loss_settings(phase.config).aggregation is not Aggregation.token_mean

    async def _roll_out(
        self,
        prompts: Sequence[PreparedPrompt],
        step: int,
        phase: Phase,
        rollouts: StepRollouts,
        in_order: InOrder[Rollout],
    ) -> list[Rollout]:
        """A group of each prompt, sampled and, as it finishes, scored and put in order."""

        async def score(generated: GeneratedGroup) -> Rollout:
            prompt = prompts[generated.key]
            group = await self._score(prompt, generated, phase)
            rollout = Rollout(group=group, clip=prompt.clip, num_prompt_tokens=prompt.num_tokens)
            in_order.put(generated.key, rollout)
            return rollout

        scoring: dict[int, asyncio.Task[Rollout]] = {}
        async with aclosing(self.generators.sample(self._requests(prompts, phase.own_step(step) - 1))) as groups:
            async for generated in groups:
                scoring[generated.key] = asyncio.create_task(score(generated))
        rollouts.generated()
        return list(await asyncio.gather(*(scoring[key] for key in range(len(prompts)))))

    async def _roll_out_more(self, step: int, phase: Phase, rollouts: StepRollouts, count: int) -> list[Rollout]:
        """Groups of up to `count` other prompts of the step."""
        prompts = longest_first(await self.prompts.more(step, count))
        return await self._roll_out(prompts, step, phase, rollouts, InOrder(lambda _: None))

    def _requests(self, prompts: Sequence[PreparedPrompt], own_version: int) -> list[GenerationRequest]:
        """What the generators are asked: G completions a prompt, seeded by what is sampled.

        `own_version` is the step before, counted from the last restart: seeds are those of a run begun there.
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
                num_prompt_tokens=prompt.num_tokens,
                seed=sampling_seed(config.seed, prompt.sample.idx, own_version),
                sampling=sampling,
            )
            for position, prompt in enumerate(prompts)
        ]

    async def _score(self, prompt: PreparedPrompt, generated: GeneratedGroup, phase: Phase) -> Group:
        """The generated completions with their rewards and advantages."""
        texts = [completion.text for completion in generated.completions]
        rewards = await self.reward_workers.score(prompt.sample, texts, prompt.outcome.facts, phase.index)
        totals, scale = [reward.total for reward in rewards], loss_settings(self.config).advantage_scale
        return Group(
            sample=prompt.sample,
            prompt=prompt.prompt,
            completions=generated.completions,
            rewards=tuple(rewards),
            advantages=tuple(group_advantages(totals, scale=scale, eps=self.config.grpo.advantage_eps)),
        )


def longest_first(prompts: Sequence[PreparedPrompt]) -> list[PreparedPrompt]:
    """By tokens, descending; equally long ones stay in their order."""
    return sorted(prompts, key=lambda prompt: -prompt.num_tokens)


def _early_first(harvested: Harvest, early: Sequence[Rollout]) -> Harvest:
    """The harvest with what was handed on already at the head of what is learned."""
    places = {id(rollout): place for place, rollout in enumerate(harvested.rollouts)}
    first = [places[id(rollout)] for rollout in early]
    rest = [place for place in harvested.learned if place not in set(first)]
    return replace(harvested, learned=[*first, *rest])

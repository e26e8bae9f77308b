"""The prompts of each step with their decoded clips: chosen by a rule, decoded ahead of use, bad videos replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import ray
from transformers import Qwen2_5_VLProcessor

from actors.reward import DecodeOutcome
from actors.reward_pool import RewardPool
from museg.config.schema import Config
from museg.data.batches import batch_of_step, replacement
from museg.data.prompts import chat_prompt, question
from museg.data.samples import Sample
from museg.errors import ModelError, VideoError
from museg.video.pixel_budget import FrameBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPrompt:
    """A sample ready for the generators: its chat text and a reference to its clip."""

    sample: Sample
    prompt: str
    clip: ray.ObjectRef
    outcome: DecodeOutcome


class PromptSource:
    """The prompts of step k are a function of the seed and k alone, so a resumed run draws the same."""

    def __init__(
        self,
        config: Config,
        samples: Sequence[Sample],
        processor: Qwen2_5_VLProcessor,
        reward_workers: RewardPool,
        videos_skipped: Mapping[str, str],
    ) -> None:
        self.config = config
        self.samples = list(samples)
        self.processor = processor
        self.reward_workers = reward_workers
        self.budget = FrameBudget.from_config(config.video, evaluation=False)
        self.videos_skipped = dict(videos_skipped)
        """Video → why it was skipped."""
        self._num_drawn = 0
        self._ahead: dict[int, asyncio.Task[list[PreparedPrompt]]] = {}

    async def take(self, step: int) -> list[PreparedPrompt]:
        """The prompts of `step` (counted from 1); decoding of the next steps goes on meanwhile.

        Raises:
            VideoError: more videos were bad than `data.max_skipped_fraction` allows.
        ModelError: a prompt fills the whole context; it is never cut.
        """
        await self.ready(step)
        return await self._ahead.pop(step)

    async def ready(self, step: int) -> None:
        """Wait until the prompts of `step` are decoded; `take` then has them at once. Raises as `take` does."""
        last = min(step + self.config.pipeline.prefetch_steps, self.config.grpo.steps)
        for ahead in range(step, last + 1):
            if ahead not in self._ahead:
                self._ahead[ahead] = asyncio.create_task(self._prepare_step(ahead))
        await self._ahead[step]

    def close(self) -> None:
        """Stop decoding ahead."""
        for task in self._ahead.values():
            task.cancel()
        self._ahead.clear()

    async def _prepare_step(self, step: int) -> list[PreparedPrompt]:
        grpo, seed = self.config.grpo, self.config.seed
        chosen = batch_of_step(len(self.samples), grpo.prompts_per_step, step - 1, seed)
        prepared = list(await asyncio.gather(*(self._prepare(index) for index in chosen)))
        tried = set(chosen)
        for position, prompt in enumerate(prepared):
            # Attempts count within the step alone, so that the choice doesn't depend on what other steps met.
            while prompt.outcome.error is not None:
                index = replacement(len(self.samples), step - 1, seed, tried)
                tried.add(index)
                prompt = await self._prepare(index)
            prepared[position] = prompt
        return prepared

    async def _prepare(self, index: int) -> PreparedPrompt:
        sample = self.samples[index]
        prompt = chat_prompt(self.processor, question(sample, self.config.data.template))
        outcome, clip = await self.reward_workers.decode(sample, self.budget)
        self._refuse_overlong(sample, prompt, outcome)
        self._num_drawn += 1
        if outcome.error is not None:
            self._skip(outcome)
        elif sample.duration_s is None:
            sample = replace(sample, duration_s=outcome.duration_s)
        return PreparedPrompt(sample=sample, prompt=prompt, clip=clip, outcome=outcome)

    def _refuse_overlong(self, sample: Sample, prompt: str, outcome: DecodeOutcome) -> None:
        num_tokens = len(self.processor.tokenizer(prompt)["input_ids"]) - 1 + outcome.num_visual_tokens
        context = self.config.generation.max_model_len
        if num_tokens >= context:
            raise ModelError(
                f"sample {sample.idx} ({sample.video}): the prompt has {num_tokens} tokens, which leaves no room for a "
                f"completion in generation.max_model_len={context}: raise it, or lower video.total_pixels"
            )

    def _skip(self, outcome: DecodeOutcome) -> None:
        self.videos_skipped[outcome.video] = str(outcome.error)
        allowed = max(1, int(self.config.data.max_skipped_fraction * self._num_drawn))
        if len(self.videos_skipped) > allowed or len(self.videos_skipped) >= len(self.samples):
            raise VideoError(
                f"{len(self.videos_skipped)} of {self._num_drawn} videos drawn can't be used, more than "
                f"data.max_skipped_fraction={self.config.data.max_skipped_fraction:g} allows; the last: {outcome.error}"
            )

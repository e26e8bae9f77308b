"""The prompts of each step with their decoded clips: chosen by a rule, decoded ahead of use, bad videos replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import ray
from transformers import Qwen2_5_VLProcessor

from actors.reward.worker import DecodeOutcome
from actors.rollout.quarantine import Quarantine, Record
from actors.rollout.video_source import VideoSource
from museg.config.phases import Phase, phase_at, phases_of
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
    num_tokens: int
    """The video's included."""


class PromptSource:
    """The prompts of step k are a function of the seed and k alone, so a resumed run draws the same.

    Each phase draws from its own samples and asks with its own template; decoding ahead reaches into the next phase.
    """

    def __init__(
        self,
        config: Config,
        samples: Mapping[str, Sequence[Sample]],
        processor: Qwen2_5_VLProcessor,
        videos: VideoSource,
        videos_skipped: Mapping[str, str],
        record: Record = lambda _: None,
    ) -> None:
        """`samples` holds those of every file that a phase's `data.train` names; `record` is told of skipped videos."""
        self.config = config
        self.phases = phases_of(config)
        self.samples = samples
        self.processor = processor
        self.videos = videos
        self.budget = FrameBudget.from_config(config.video, evaluation=False)
        self.quarantine = Quarantine(config, videos_skipped, record)
        self._ahead: dict[int, asyncio.Task[list[PreparedPrompt]]] = {}
        self._tried: dict[int, set[int]] = {}
        """Step → indices of the samples that it has drawn, of the step at work and those ahead."""

    @property
    def videos_skipped(self) -> Mapping[str, str]:
        """Video → why it was skipped."""
        return self.quarantine.videos

    async def take(self, step: int) -> list[PreparedPrompt]:
        """The prompts of `step` (counted from 1); decoding of the next steps goes on meanwhile.

        Raises:
            VideoError: more videos were bad than `data.max_skipped_fraction` allows.
            ModelError: a prompt fills the whole context; it is never cut.
        """
        await self.ready(step)
        self._tried = {ahead: tried for ahead, tried in self._tried.items() if ahead >= step}
        prompts = await self._ahead.pop(step)
        self.quarantine.write(step)
        lost = self.videos.lost([prompt.outcome for prompt in prompts])
        return [await self._decoded_again(prompt) if prompt.outcome.video in lost else prompt for prompt in prompts]

    async def more(self, step: int, count: int) -> list[PreparedPrompt]:
        """Other prompts for the step that was taken last: up to `count`, fewer where videos are bad or data runs out.

        A function of the seed, the step and how many it has asked for. Raises as `take` does.
        """
        phase = phase_at(self.phases, step)
        samples, tried = self.samples[phase.config.data.train], self._tried[step]
        chosen = []
        for _ in range(min(count, len(samples) - len(tried))):
            chosen.append(replacement(len(samples), phase.own_step(step) - 1, self.config.seed, tried))
            tried.add(chosen[-1])
        prepared = await asyncio.gather(*(self._prepare(samples, index, phase, step) for index in chosen))
        self.quarantine.write(step)
        return [prompt for prompt in prepared if prompt.outcome.error is None]

    async def ready(self, step: int) -> None:
        """Wait until the prompts of `step` are decoded; `take` then has them at once. Raises as `take` does."""
        last = min(step + self.config.pipeline.prefetch_steps, self.phases[-1].last_step)
        for ahead in range(step, last + 1):
            if ahead not in self._ahead:
                self._ahead[ahead] = asyncio.create_task(self._prepare_step(ahead))
                # What fails ahead is raised to whoever takes it, and is no news where the run has ended before.
                self._ahead[ahead].add_done_callback(lambda done: done.cancelled() or done.exception())
        await self._ahead[step]

    def close(self) -> None:
        """Stop decoding ahead."""
        for task in self._ahead.values():
            task.cancel()
        self._ahead.clear()

    async def _prepare_step(self, step: int) -> list[PreparedPrompt]:
        phase, seed = phase_at(self.phases, step), self.config.seed
        samples, own_step = self.samples[phase.config.data.train], phase.own_step(step)
        chosen = batch_of_step(len(samples), self.config.grpo.prompts_per_step, own_step - 1, seed)
        prepared = list(await asyncio.gather(*(self._prepare(samples, index, phase, step) for index in chosen)))
        tried = self._tried[step] = set(chosen)
        for position, prompt in enumerate(prepared):
            # Attempts count within the step alone, so that the choice doesn't depend on what other steps met.
            while prompt.outcome.error is not None:
                index = replacement(len(samples), own_step - 1, seed, tried)
                tried.add(index)
                self.quarantine.replaced(step, prompt.sample, samples[index])
                prompt = await self._prepare(samples, index, phase, step)
            prepared[position] = prompt
        return prepared

    async def _prepare(self, samples: Sequence[Sample], index: int, phase: Phase, step: int) -> PreparedPrompt:
        sample = samples[index]
        prompt = chat_prompt(self.processor, question(sample, phase.config.data.template))
        outcome, clip = await self.videos.clip(sample.video, self.budget)
        num_tokens = self._num_tokens(sample, prompt, outcome)
        if outcome.error is not None:
            self.quarantine.add(step, sample, outcome, len(samples))
        elif sample.duration_s is None and outcome.facts is not None:
            sample = replace(sample, duration_s=outcome.facts.duration_s)
        return PreparedPrompt(sample=sample, prompt=prompt, clip=clip, outcome=outcome, num_tokens=num_tokens)

    async def _decoded_again(self, prompt: PreparedPrompt) -> PreparedPrompt:
        """The prompt with a clip in the place of one that went with its node."""
        outcome, clip = await self.videos.clip(prompt.sample.video, self.budget)
        if outcome.error is not None:
            raise VideoError(f"{outcome.error}; it could be read before: see to its storage")
        return replace(prompt, outcome=outcome, clip=clip)

    def _num_tokens(self, sample: Sample, prompt: str, outcome: DecodeOutcome) -> int:
        """The prompt's tokens with its video's. Raises ModelError if they fill the context."""
        num_tokens = len(self.processor.tokenizer(prompt)["input_ids"]) - 1 + outcome.num_visual_tokens
        context = self.config.generation.max_model_len
        if num_tokens >= context:
            raise ModelError(
                f"sample {sample.idx} ({sample.video}): the prompt has {num_tokens} tokens, which leaves no room for a "
                f"completion in generation.max_model_len={context}: raise it, or lower video.total_pixels"
            )
        return num_tokens

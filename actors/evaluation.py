"""Held-out evaluation with the run's own generators: greedy answers, and the same questions blind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from actors.generation import GenerationRequest
from actors.generator_pool import GeneratorPool
from actors.prompt_source import PreparedPrompt
from actors.reward_pool import RewardPool
from museg.config.schema import Config
from museg.data.prompts import ChatTemplated, chat_prompt, question
from museg.data.samples import Sample
from museg.evaluation.blind import swapped_videos
from museg.evaluation.grounding import score_grounding
from museg.rollout.completions import SamplingSettings
from museg.video.pixel_budget import FrameBudget

PROMPTS_PER_GENERATOR = 32
"""Prompts that a generator holds at once, so that clips don't pile up in the object store."""


class Evaluator:
    """Scores the current weights on the held-out samples."""

    def __init__(
        self,
        config: Config,
        samples: Sequence[Sample],
        chat_format: ChatTemplated,
        generators: GeneratorPool,
        reward_workers: RewardPool,
    ) -> None:
        self.config = config
        self.samples = list(samples)
        self.chat_format = chat_format
        self.generators = generators
        self.reward_workers = reward_workers
        self.budget = FrameBudget.from_config(config.video, evaluation=True)
        self.sampling = SamplingSettings(
            num_completions=1, temperature=0.0, top_p=1.0, max_tokens=config.eval.max_tokens
        )

    async def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Metric → value over the first `limit` samples (all by default); `blind/<metric>` with the videos swapped.

        A sample whose video can't be decoded answers nothing and scores 0.
        """
        samples = self.samples[:limit]
        metrics = score_grounding(samples, await self._answers(samples, samples))
        if self.config.eval.blind:
            shown = [samples[index] for index in swapped_videos(samples)]
            blind = score_grounding(samples, await self._answers(samples, shown))
            metrics |= {f"blind/{name}": value for name, value in blind.items()}
        return metrics

    async def _answers(self, samples: Sequence[Sample], shown: Sequence[Sample]) -> list[str]:
        """The greedy answer to each sample's question about the video of its fellow in `shown`."""
        texts = [""] * len(samples)
        chunk = PROMPTS_PER_GENERATOR * len(self.generators.workers)
        decoding = asyncio.create_task(self._prepare(samples[:chunk], shown[:chunk]))
        for start in range(0, len(samples), chunk):
            prompts = await decoding
            following = slice(start + chunk, start + 2 * chunk)
            decoding = asyncio.create_task(self._prepare(samples[following], shown[following]))
            requests = [
                GenerationRequest(key=start + offset, prompt=p.prompt, clip=p.clip, seed=0, sampling=self.sampling)
                for offset, p in enumerate(prompts)
                if p.outcome.error is None
            ]
            async for group in self.generators.sample(requests):
                texts[group.key] = group.completions[0].text
        await decoding
        return texts

    async def _prepare(self, samples: Sequence[Sample], shown: Sequence[Sample]) -> list[PreparedPrompt]:
        decoded = await asyncio.gather(*(self.reward_workers.decode(other, self.budget) for other in shown))
        return [
            PreparedPrompt(
                sample=sample,
                prompt=chat_prompt(self.chat_format, question(sample, self.config.data.eval_template)),
                clip=clip,
                outcome=outcome,
            )
            for sample, (outcome, clip) in zip(samples, decoded, strict=True)
        ]

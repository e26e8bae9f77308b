"""Greedy answers to questions about videos: what evaluation while training and `museg eval` both rest on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from actors.generation import GenerationRequest
from actors.generation.pool import GeneratorPool
from actors.rollout.video_source import Decoded, VideoSource
from museg.config.choices import Template
from museg.config.schema import Config
from museg.data.prompts import ChatTemplated, chat_prompt
from museg.evaluation.exams import Exam
from museg.rollout.completions import SamplingSettings
from museg.video.pixel_budget import FrameBudget

PROMPTS_PER_GENERATOR = 32
"""Prompts that a generator holds at once, so that clips don't pile up in the object store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One prompt about one video."""

    key: int
    """Finds the answer among those of one call."""
    video: str
    """Path relative to `data.video_root`."""
    prompt: str
    """Chat-formatted text with one `<|video_pad|>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was said to one question."""

    key: int
    text: str
    """The whole completion, without special tokens; empty where the video can't be decoded."""
    error: str | None = None
    """Why there is none."""


def exam_questions(exam: Exam, chat_format: ChatTemplated, template: Template, *, blind: bool) -> list[Question]:
    """All of an exam's questions, keyed by their place in it; `blind` shows each about another video."""
    videos = exam.swapped_videos() if blind else exam.videos()
    return [
        Question(key=key, video=video, prompt=chat_prompt(chat_format, text))
        for key, (video, text) in enumerate(zip(videos, exam.questions(template), strict=True))
    ]


class Answerer:
    """Asks the generators with the weights that they hold, within evaluation's frame budget.

    async for answer in Answerer(config, generators, videos).answers(questions): ...
    """

    def __init__(self, config: Config, generators: GeneratorPool, videos: VideoSource) -> None:
        self.generators = generators
        self.videos = videos
        self.budget = FrameBudget.from_config(config.video, evaluation=True)
        self.sampling = SamplingSettings(
            num_completions=1, temperature=0.0, top_p=1.0, max_tokens=config.eval.max_tokens
        )

    async def answers(self, questions: Sequence[Question]) -> AsyncGenerator[Answer, None]:
        """Yield one answer a question, as they finish.

        Questions are taken by video, so that each video is decoded once however many ask about it and however little is
        cached, and the next chunk's videos are decoded while this one is answered.

        Raises:
            DeadlineError: a video or an answer took too long.
            ModelError: a prompt fills the whole context; it is never cut.
        """
        by_video = sorted(questions, key=lambda question: question.video)
        size = PROMPTS_PER_GENERATOR * max(1, len(self.generators.attendance.present))
        decoding = asyncio.create_task(self._decode(by_video[:size], {}))
        try:
            for start in range(0, len(by_video), size):
                chunk, following = by_video[start : start + size], by_video[start + size : start + 2 * size]
                decoded = await decoding
                decoding = asyncio.create_task(self._decode(following, decoded))
                async with aclosing(self._answers_of_chunk(chunk, decoded)) as answers:
                    async for answer in answers:
                        yield answer
        finally:
            decoding.cancel()

    async def _answers_of_chunk(
        self, questions: Sequence[Question], decoded: Mapping[str, Decoded]
    ) -> AsyncGenerator[Answer, None]:
        requests = []
        for question in questions:
            outcome, clip = decoded[question.video]
            if outcome.error is not None:
                yield Answer(key=question.key, text="", error=outcome.error)
            else:
                requests.append(
                    GenerationRequest(
                        key=question.key, prompt=question.prompt, clip=clip, seed=0, sampling=self.sampling
                    )
                )
        async with aclosing(self.generators.sample(requests)) as groups:
            async for group in groups:
                yield Answer(key=group.key, text=group.completions[0].text)

    async def _decode(self, questions: Sequence[Question], held: Mapping[str, Decoded]) -> dict[str, Decoded]:
        """The clips that a chunk asks about; those of the chunk before are at hand, older ones are let go."""
        videos = dict.fromkeys(question.video for question in questions)
        missing = [video for video in videos if video not in held]
        decoded = await asyncio.gather(*(self.videos.clip(video, self.budget) for video in missing))
        return {video: held[video] for video in videos if video in held} | dict(zip(missing, decoded, strict=True))

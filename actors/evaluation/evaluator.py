"""Held-out evaluation with the run's own generators: greedy answers, and the same questions blind."""

from __future__ import annotations

from collections.abc import Sequence

from actors.evaluation.answering import Answerer, exam_questions
from actors.generation.pool import GeneratorPool
from actors.rollout.video_source import VideoSource
from museg.config.schema import Config
from museg.data.prompts import ChatTemplated
from museg.data.samples import Sample
from museg.evaluation.exams import GroundingExam, metrics_of


class Evaluator:
    """Scores the current weights on the held-out samples."""

    def __init__(
        self,
        config: Config,
        samples: Sequence[Sample],
        chat_format: ChatTemplated,
        generators: GeneratorPool,
        videos: VideoSource,
    ) -> None:
        self.config = config
        self.samples = list(samples)
        self.chat_format = chat_format
        self.answerer = Answerer(config, generators, videos)

    async def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Metric → value over the first `limit` samples (all by default); `blind/<metric>` with the videos swapped.

        A sample whose video can't be decoded answers nothing and scores 0.
        """
        exam = GroundingExam(samples=self.samples[:limit])
        scores = await self._scores(exam, blind=False)
        return metrics_of(scores, await self._scores(exam, blind=True) if self.config.eval.blind else {})

    async def _scores(self, exam: GroundingExam, *, blind: bool) -> dict[str, float]:
        texts = [""] * len(exam.samples)
        questions = exam_questions(exam, self.chat_format, self.config.data.eval_template, blind=blind)
        async for answer in self.answerer.answers(questions):
            texts[answer.key] = answer.text
        return exam.scores(texts)

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from types import SimpleNamespace

from actors.evaluation.answering import PROMPTS_PER_GENERATOR, Answer, Answerer, Question
from actors.generation import GeneratedGroup, GenerationRequest
from actors.reward.worker import DecodeOutcome
from museg.config.schema import Config
from museg.rollout.completions import Completion
from museg.video.pixel_budget import FrameBudget


class Decoders:
    """Stands for the source of videos: a clip is the name of its video."""

    def __init__(self) -> None:
        self.decoded: Counter[str] = Counter()

    async def clip(self, video: str, budget: FrameBudget) -> tuple[DecodeOutcome, str]:
        assert budget.max_frames == 768
        self.decoded[video] += 1
        return DecodeOutcome(video=video, error="is empty" if video == "bad" else None), video


class Parrots:
    """Stands for one generator, which answers what it was asked about which clip, the last question first."""

    def __init__(self) -> None:
        self.attendance = SimpleNamespace(present=[0])
        self.asked: list[int] = []

    async def sample(self, requests: Sequence[GenerationRequest]) -> AsyncGenerator[GeneratedGroup, None]:
        self.asked.append(len(requests))
        for request in reversed(requests):
            assert (request.sampling.temperature, request.sampling.num_completions) == (0.0, 1)
            completion = Completion(
                token_ids=(),
                logprobs=(),
                text=f"{request.prompt}@{request.clip}",
                finish_reason="stop",
                weights_version=0,
            )
            yield GeneratedGroup(key=request.key, completions=(completion,))


def answers(questions: Sequence[Question], decoders: Decoders, parrots: Parrots) -> list[Answer]:
    async def ask() -> list[Answer]:
        answerer = Answerer(Config(), parrots, decoders)  # type: ignore[arg-type]
        return [answer async for answer in answerer.answers(questions)]

    return asyncio.run(ask())


def questions(videos: Sequence[str]) -> list[Question]:
    return [Question(key=key, video=video, prompt=f"q{key}") for key, video in enumerate(videos)]


def test_a_video_is_decoded_once_however_many_ask_about_it_and_wherever_they_stand() -> None:
    videos = [f"v{index % 7}" for index in range(3 * PROMPTS_PER_GENERATOR)]
    decoders, parrots = Decoders(), Parrots()
    found = answers(questions(videos), decoders, parrots)
    assert decoders.decoded == dict.fromkeys(videos, 1)
    assert parrots.asked == [PROMPTS_PER_GENERATOR] * 3
    assert {answer.key: answer.text for answer in found} == {key: f"q{key}@{video}" for key, video in enumerate(videos)}


def test_questions_about_a_video_that_cant_be_decoded_are_answered_by_the_reason() -> None:
    found = answers(questions(["good", "bad", "bad"]), Decoders(), Parrots())
    assert sorted(found, key=lambda answer: answer.key) == [
        Answer(key=0, text="q0@good"),
        Answer(key=1, text="", error="is empty"),
        Answer(key=2, text="", error="is empty"),
    ]


def test_no_questions_give_no_answers() -> None:
    parrots = Parrots()
    assert answers([], Decoders(), parrots) == []
    assert parrots.asked == []

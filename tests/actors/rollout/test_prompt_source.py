from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from actors.reward.worker import DecodeOutcome
from actors.rollout.prompt_source import PromptSource
from museg.config.schema import Config
from museg.data.samples import Sample
from museg.tiny_model.architecture import build_processor
from museg.video.clip import ClipFacts
from museg.video.pixel_budget import FrameBudget
from tests.actors.material import run_config


class Decoder:
    """Stands for the reward workers where only the drawing of prompts is looked at; some videos can't be read."""

    def __init__(self, unreadable: Sequence[str]) -> None:
        self.unreadable = unreadable

    async def clip(self, video: str, budget: FrameBudget) -> tuple[DecodeOutcome, str]:
        error = "unreadable" if video in self.unreadable else None
        facts = ClipFacts(duration_s=8.0, native_fps=30.0, sample_fps=2.0, num_frames=4)
        return DecodeOutcome(video=video, error=error, facts=facts, num_visual_tokens=4), f"clip of {video}"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = run_config(tmp_path_factory.mktemp("model"))
    config.grpo.prompts_per_step, config.grpo.steps, config.pipeline.prefetch_steps = 3, 8, 0
    config.data.max_skipped_fraction = 0.5
    return config


def source(config: Config, *, num_samples: int = 10, unreadable: Sequence[str] = ()) -> PromptSource:
    samples = [
        Sample(idx=idx, problem="when?", solution=((1.0, 2.0),), video=f"{idx}.mp4", task="tvg")
        for idx in range(num_samples)
    ]
    decoder = Decoder(unreadable)
    return PromptSource(config, {config.data.train: samples}, build_processor(), decoder, {})  # type: ignore[arg-type]


def drawn(prompts: PromptSource, step: int, *counts: int) -> list[list[int]]:
    """The samples of a step, and those that it asks for in addition."""

    async def draw() -> list[list[int]]:
        taken = [await prompts.take(step)] + [await prompts.more(step, count) for count in counts]
        return [[prompt.sample.idx for prompt in group] for group in taken]

    return asyncio.run(draw())


def test_more_prompts_are_others_and_the_same_in_a_run_that_resumes_at_their_step(config: Config) -> None:
    uninterrupted = source(config)
    drawn(uninterrupted, 1, 2)
    rounds = drawn(uninterrupted, 2, 2, 3)
    assert [len(group) for group in rounds] == [3, 2, 3]
    assert len({idx for group in rounds for idx in group}) == 8
    assert drawn(source(config), 2, 2, 3) == rounds


def test_more_prompts_end_with_the_data(config: Config) -> None:
    assert [len(group) for group in drawn(source(config, num_samples=5), 1, 4, 4)] == [3, 2, 0]


def test_more_prompts_leave_out_unreadable_videos(config: Config) -> None:
    own, more = drawn(source(config), 1, 2)
    own_again, without = drawn(source(config, unreadable=[f"{more[0]}.mp4"]), 1, 2)
    assert (own_again, without) == (own, more[1:])

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from actors.reward.worker import DecodeOutcome
from actors.rollout.prompt_source import PromptSource
from actors.rollout.quarantine import Record
from museg.config.schema import Config
from museg.data.samples import Sample
from museg.errors import VideoError
from museg.tiny_model.architecture import build_processor
from museg.video.clip import ClipFacts
from museg.video.pixel_budget import FrameBudget
from tests.actors.material import run_config


class Decoder:
    """Stands for the reward workers where only the drawing of prompts is looked at; some videos can't be read."""

    def __init__(self, unreadable: Sequence[str]) -> None:
        self.unreadable = unreadable
        self.gone: set[str] = set()
        self.num_decoded = 0

    async def clip(self, video: str, budget: FrameBudget) -> tuple[DecodeOutcome, str]:
        error = "unreadable" if video in self.unreadable else None
        self.num_decoded += 1
        facts = ClipFacts(duration_s=8.0, native_fps=30.0, sample_fps=2.0, num_frames=4)
        return DecodeOutcome(video=video, error=error, facts=facts, num_visual_tokens=4), f"clip of {video}"

    def lost(self, outcomes: Sequence[DecodeOutcome]) -> set[str]:
        return self.gone


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = run_config(tmp_path_factory.mktemp("model"))
    config.grpo.prompts_per_step, config.grpo.steps, config.pipeline.prefetch_steps = 3, 8, 0
    config.data.max_skipped_fraction = 0.5
    return config


def source(
    config: Config,
    *,
    num_samples: int = 10,
    unreadable: Sequence[str] = (),
    skipped: Mapping[str, str] | None = None,
    record: Record = lambda _: None,
) -> PromptSource:
    samples = [
        Sample(idx=idx, problem="when?", solution=((1.0, 2.0),), video=f"{idx}.mp4", task="tvg")
        for idx in range(num_samples)
    ]
    decoder = Decoder(unreadable)
    files, processor = {config.data.train: samples}, build_processor()
    return PromptSource(config, files, processor, decoder, skipped or {}, record)  # type: ignore[arg-type]


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


def test_a_skipped_video_is_on_record_with_the_sample_drawn_in_its_place(config: Config) -> None:
    (bad, *_), others = drawn(source(config), 1)[0], drawn(source(config), 1)[0][1:]
    rows: list[Mapping[str, object]] = []
    [own] = drawn(source(config, unreadable=[f"{bad}.mp4"], record=rows.extend), 1)
    assert own[1:] == others
    assert rows == [
        {
            "step": 1,
            "sample": bad,
            "video": f"{bad}.mp4",
            "reason": "unreadable",
            "cause": "video",
            "replaced_by": own[0],
        }
    ]


def test_a_resumed_run_makes_the_same_replacements_and_records_those_of_its_own_steps(config: Config) -> None:
    def run(prompts: PromptSource, first_step: int) -> list[list[list[int]]]:
        return [drawn(prompts, step, 1) for step in range(first_step, 5)]

    unreadable = ["3.mp4", "7.mp4"]
    whole: list[Mapping[str, object]] = []
    resumed: list[Mapping[str, object]] = []
    uninterrupted = source(config, unreadable=unreadable, record=whole.extend)
    steps = run(uninterrupted, 1)
    again = source(config, unreadable=unreadable, skipped=uninterrupted.videos_skipped, record=resumed.extend)
    assert run(again, 3) == steps[2:]
    assert resumed == [row for row in whole if row["step"] in (3, 4)]
    assert resumed
    assert again.videos_skipped == uninterrupted.videos_skipped


def test_too_many_bad_videos_end_the_run_and_are_named_and_on_record(config: Config) -> None:
    rows: list[Mapping[str, object]] = []
    prompts = source(config, unreadable=[f"{index}.mp4" for index in range(10)], record=rows.extend)
    with pytest.raises(
        VideoError, match=r"2 of 3 videos drawn can't be used.*: \d\.mp4, \d\.mp4; the last: unreadable"
    ):
        drawn(prompts, 1)
    # The third was being decoded meanwhile.
    assert [row["replaced_by"] for row in rows] == [None] * 3


def test_clips_that_went_with_their_node_are_decoded_again(config: Config) -> None:
    prompts = source(config)
    decoder: Decoder = prompts.videos  # type: ignore[assignment]
    asyncio.run(prompts.take(1))
    assert decoder.num_decoded == 3
    decoder.gone = {f"{drawn(source(config), 2)[0][0]}.mp4"}
    asyncio.run(prompts.take(2))
    assert decoder.num_decoded == 3 + 3 + 1

from __future__ import annotations

from dataclasses import replace

import pytest

from museg.config.schema import VideoConfig
from museg.errors import ConfigError
from museg.planning.operations import VideoGrid
from museg.planning.workload import Footage
from museg.rollout.micro_batches import MicroBatcher
from tests.museg.planning.material import stage_1

STAGE_1 = stage_1()


class _Group:
    def __init__(self, num_tokens: int) -> None:
        self.num_tokens = num_tokens


@pytest.mark.parametrize("ranks", range(1, 15))
@pytest.mark.parametrize("micro_batch_tokens", [1, 12_000, 20_000, 10**9])
def test_groups_are_dealt_as_the_learner_deals_them(ranks: int, micro_batch_tokens: int) -> None:
    learner = replace(STAGE_1.config.learner, ranks=ranks, micro_batch_tokens=micro_batch_tokens)
    work = replace(STAGE_1, config=replace(STAGE_1.config, learner=learner))
    batcher: MicroBatcher[_Group] = MicroBatcher(num_items=14, num_ranks=ranks, max_tokens=micro_batch_tokens)
    groups, batches = [0] * ranks, [0] * ranks
    for _ in range(14):
        for micro_batch in batcher.add(_Group(work.group.tokens)):
            groups[micro_batch.rank] += len(micro_batch.items)
            batches[micro_batch.rank] += 1
    assert (work.groups_of_busiest_rank, work.micro_batches_of_busiest_rank) == (max(groups), max(batches))


def test_a_typical_video_is_sampled_and_sized_as_the_configuration_says() -> None:
    footage = Footage.typical(VideoConfig(), 30.0, None)
    # 60 frames at 2 a second; 2,809,856 / 60 · 2 pixels each allow 252 × 336 of 4:3.
    assert footage.grid == VideoGrid(time=30, height=18, width=24)


def test_visual_tokens_asked_for_are_spread_over_the_frames() -> None:
    footage = Footage.typical(VideoConfig(), 16.0, 3584)
    assert footage.grid == VideoGrid(time=16, height=28, width=32)


@pytest.mark.parametrize(
    ("seconds", "tokens", "option"), [(0.0, None, "--video-seconds"), (30.0, 29, "--video-tokens")]
)
def test_impossible_videos_are_refused(seconds: float, tokens: int | None, option: str) -> None:
    with pytest.raises(ConfigError, match=option):
        Footage.typical(VideoConfig(), seconds, tokens)


def test_the_longest_prompt_is_the_one_that_fills_the_pixel_budget() -> None:
    # What configs/stage_1.yaml says of its visual tokens, plus the text.
    assert STAGE_1.longest_prompt == pytest.approx(3564 + 150, abs=40)

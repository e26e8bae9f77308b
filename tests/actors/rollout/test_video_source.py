from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import ray

from actors.faults.seat import Seat
from actors.faults.watched import as_actor
from actors.reward.pool import RewardPool
from actors.reward.worker import SCORING, DecodeOutcome, RewardWorker
from actors.rollout.video_source import Nodes, VideoSource
from actors.waiting import DeadlineError
from museg.config.schema import Config
from museg.video.decoding import decode_clip
from museg.video.limits import GIB
from museg.video.pixel_budget import FrameBudget
from tests.actors.material import run_config
from tests.museg.video.footage import write_video

BUDGET = FrameBudget(fps=2, min_frames=4, max_frames=64, min_pixels=784, max_pixels=602_112, total_pixels=20_000)
OTHER = FrameBudget(fps=2, min_frames=4, max_frames=768, min_pixels=784, max_pixels=602_112, total_pixels=20_000)


class Decoders:
    """Stands for the reward workers: every clip has a hundred bytes, and decoding waits until it is let go."""

    def __init__(self) -> None:
        self.decoded: Counter[str] = Counter()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def decode(self, video: str, budget: FrameBudget) -> tuple[DecodeOutcome, str]:
        self.decoded[video] += 1
        await self.go_on.wait()
        if video == "late":
            raise DeadlineError("decoding late took longer than 1 s")
        error = "is empty" if video == "bad" else None
        size = 0 if error else 100
        return DecodeOutcome(video=video, error=error, num_bytes=size, node_id="a node"), f"{video}@{budget.max_frames}"


def source(decoders: Decoders, *, max_bytes: int, nodes: Nodes = lambda: {"a node"}) -> VideoSource:
    return VideoSource(decoders, cache_gib=max_bytes / GIB, nodes=nodes)  # type: ignore[arg-type]


def decoded(videos: Sequence[str], *, max_bytes: int) -> tuple[list[str], float]:
    """What is decoded when one video after the other is asked for, and the hit rate."""

    async def ask() -> tuple[list[str], float]:
        decoders = Decoders()
        cache = source(decoders, max_bytes=max_bytes)
        for video in videos:
            outcome, clip = await cache.clip(video, BUDGET)
            assert (outcome.video, clip) == (video, f"{video}@64")
        return list(decoders.decoded.elements()), cache.hit_rate()

    return asyncio.run(ask())


def test_recently_used_clips_are_kept_and_the_others_let_go() -> None:
    assert decoded("abab", max_bytes=200) == (["a", "b"], 0.5)
    assert decoded("abacab", max_bytes=200) == (["a", "b", "b", "c"], pytest.approx(2 / 6))


def test_nothing_is_kept_that_the_bound_has_no_room_for() -> None:
    assert decoded("aab", max_bytes=99) == (["a", "a", "b"], 0.0)
    assert decoded("aa", max_bytes=0) == (["a", "a"], 0.0)


def test_a_kept_clip_that_went_with_its_node_is_decoded_again() -> None:
    async def ask() -> tuple[int, int]:
        decoders, nodes = Decoders(), {"a node"}
        cache = source(decoders, max_bytes=100, nodes=lambda: nodes)
        outcome, _ = await cache.clip("a", BUDGET)
        assert cache.lost([outcome]) == set()
        await cache.clip("a", BUDGET)
        before = decoders.decoded["a"]
        nodes.clear()
        assert cache.lost([outcome]) == {"a"}
        for _ in range(2):
            await cache.clip("a", BUDGET)
            nodes.add("a node")
        return before, decoders.decoded["a"]

    assert asyncio.run(ask()) == (1, 2)


def test_another_budget_is_another_clip() -> None:
    async def ask() -> list[str]:
        cache = source(Decoders(), max_bytes=1000)
        return [(await cache.clip("a", budget))[1] for budget in (BUDGET, OTHER, BUDGET)]  # type: ignore[misc]

    assert asyncio.run(ask()) == ["a@64", "a@768", "a@64"]


def test_what_cant_be_decoded_is_tried_again() -> None:
    async def ask() -> list[str | None]:
        cache = source(decoders, max_bytes=1000)
        return [(await cache.clip("bad", BUDGET))[0].error for _ in range(2)]

    decoders = Decoders()
    assert asyncio.run(ask()) == ["is empty"] * 2
    assert decoders.decoded["bad"] == 2


def test_a_video_that_is_being_decoded_is_waited_for_even_when_who_asked_first_gives_up() -> None:
    async def ask() -> tuple[int, float]:
        decoders = Decoders()
        decoders.go_on.clear()
        cache = source(decoders, max_bytes=0)
        asked = [asyncio.create_task(cache.clip("a", BUDGET)) for _ in range(3)]
        await asyncio.sleep(0)
        asked[0].cancel()
        await asyncio.sleep(0)
        decoders.go_on.set()
        assert {(await task)[1] for task in asked[1:]} == {"a@64"}
        return decoders.decoded["a"], cache.hit_rate()

    assert asyncio.run(ask()) == (1, pytest.approx(2 / 3))


def test_whoever_waits_for_a_video_is_told_what_went_wrong_and_the_next_tries_again() -> None:
    async def ask() -> int:
        decoders = Decoders()
        cache = source(decoders, max_bytes=1000)
        results = await asyncio.gather(*(cache.clip("late", BUDGET) for _ in range(2)), return_exceptions=True)
        assert [type(result) for result in results] == [DeadlineError] * 2
        with pytest.raises(DeadlineError):
            await cache.clip("late", BUDGET)
        return decoders.decoded["late"]

    assert asyncio.run(ask()) == 2


def test_the_hit_rate_is_that_since_it_was_last_asked() -> None:
    async def ask() -> list[float]:
        cache = source(Decoders(), max_bytes=1000)
        rates = [cache.hit_rate()]
        await cache.clip("a", BUDGET)
        rates.append(cache.hit_rate())
        await cache.clip("a", BUDGET)
        return [*rates, cache.hit_rate()]

    assert asyncio.run(ask()) == [1.0, 0.0, 1.0]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for name in "abcd":
        write_video(tmp_path / f"{name}.mp4", num_frames=40 + ord(name), fps=Fraction(25), height=96, width=128)
    config = run_config(tmp_path)
    config.data.video_root = str(tmp_path)
    config.video.cache_dir = str(tmp_path / "clips")
    return config


def test_workers_share_the_work_and_the_folder_and_consumers_get_views_of_the_object_store(
    local_ray: None, config: Config
) -> None:
    worker = as_actor(RewardWorker, SCORING)
    pool = RewardPool([Seat.of(worker.remote(config, rank)) for rank in range(2)], timeout_s=60)
    videos = [f"{name}.mp4" for name in "abcd"]

    async def ask() -> list[list[ray.ObjectRef]]:
        refs = []
        for _ in range(2):
            cache = VideoSource(pool, cache_gib=1)
            decoding = [asyncio.create_task(cache.clip(video, BUDGET)) for video in videos]
            for _ in range(2):  # the questions, then the calls to the workers
                await asyncio.sleep(0)
            assert [pool.occupation.outstanding(f"reward-{rank}") for rank in range(2)] == [2, 2]
            decoded = [await task for task in decoding]
            assert [await cache.clip(video, BUDGET) for video in videos] == decoded
            assert cache.hit_rate() == 0.5
            refs.append([ref for _, ref in decoded])
        return refs

    first, second = asyncio.run(ask())
    assert len(list((Path(config.data.video_root) / "clips").iterdir())) == 4
    for video, *found in zip(videos, first, second, strict=True):
        expected = decode_clip(Path(config.data.video_root) / video, video=video, budget=BUDGET)
        for ref in found:
            clip = ray.get(ref)
            np.testing.assert_array_equal(clip.frames, expected.frames)
            assert clip.facts == expected.facts
            assert not clip.frames.flags.writeable
            assert np.shares_memory(clip.frames, ray.get(ref).frames)

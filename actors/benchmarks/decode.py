"""Decoding by a node's reward workers beside one process of qwen-vl-utils, and what the caches save."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray

from actors.cluster import ray_session
from actors.faults.seat import Seat
from actors.faults.watched import as_actor
from actors.reward.pool import RewardPool
from actors.reward.worker import SCORING, RewardWorker
from actors.rollout.video_source import VideoSource
from museg.benchmarks.decode import PeerDecoder
from museg.benchmarks.recordings import Recording
from museg.benchmarks.timing import Timing, side_by_side
from museg.config.schema import (
    Config,
    DataConfig,
    GenerationConfig,
    LearnerConfig,
    RewardConfig,
    RunConfig,
    VideoConfig,
)
from museg.video.clip import VideoClip
from museg.video.pixel_budget import FrameBudget

_ROOM_GIB = 64.0
"""More than the videos of any node's workers take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTimings:
    """The same videos: as many as workers of every recording."""

    num_frames: int
    """Sampled frames of all videos."""
    workers: Timing
    """Decoded by all workers, into the object store."""
    peer: Timing
    """Decoded by one process with the threads that it chooses."""
    disk: Timing
    """Read by the workers from `video.cache_dir`."""
    cached: Timing
    """Asked for again: views of the object store."""
    hit_rate: float
    """Of asking twice."""


def measure_on_one_node(
    folder: Path,
    recordings: Sequence[Recording],
    budget: FrameBudget,
    peer: PeerDecoder,
    *,
    num_workers: int,
    repeats: int,
) -> NodeTimings:
    """Decode, read from disk and find in the cache, in turn; the peer beside them."""
    videos = _copies(folder, recordings, num_workers)
    uncached, on_disk = _config(folder, num_workers, cache_dir=None), _config(folder, num_workers, folder / "clips")
    with ray_session(uncached):
        decoding, reading = _source(uncached), _source(on_disk)
        num_frames = sum(len(clip.frames) for clip in _clips(decoding, videos, budget))
        _clips(reading, videos, budget)
        cache = _source(uncached, decoding.reward_workers)
        _clips(cache, videos, budget)
        ways: Mapping[str, Callable[[], object]] = {
            "workers": lambda: _clips(_source(uncached, decoding.reward_workers), videos, budget),
            "peer": lambda: [peer(folder / video) for video in videos],
            "disk": lambda: _clips(_source(on_disk, reading.reward_workers), videos, budget),
            "cached": lambda: _clips(cache, videos, budget),
        }
        taken = side_by_side(ways, repeats=repeats, warmups=1)
        asked_twice = _source(uncached, decoding.reward_workers)
        for _ in range(2):
            _clips(asked_twice, videos, budget)
    return NodeTimings(num_frames=num_frames, hit_rate=asked_twice.hit_rate(), **taken)


def _copies(folder: Path, recordings: Sequence[Recording], count: int) -> list[str]:
    videos = []
    for recording in recordings:
        for copy in range(count):
            videos.append(f"{recording.name}-{copy}.mp4")
            shutil.copyfile(recording.path, folder / videos[-1])
    return videos


def _config(folder: Path, num_workers: int, cache_dir: Path | None) -> Config:
    """Reward workers alone, on the cluster that they need."""
    return Config(
        run=RunConfig(name="bench-decode"),
        data=DataConfig(video_root=str(folder)),
        video=VideoConfig(cache_gib=_ROOM_GIB, cache_dir=None if cache_dir is None else str(cache_dir)),
        reward=RewardConfig(workers=num_workers),
        generation=GenerationConfig(workers=0),
        learner=LearnerConfig(ranks=0),
    )


def _source(config: Config, reward_workers: RewardPool | None = None) -> VideoSource:
    """A cache that holds nothing yet, in front of workers of its own where none are given."""
    if reward_workers is None:
        worker = as_actor(RewardWorker, SCORING).options(
            num_cpus=0.5, runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}}
        )
        workers = [worker.remote(config, rank) for rank in range(config.reward.workers)]
        reward_workers = RewardPool([Seat.of(worker) for worker in workers], config.reward.timeout_s)
    return VideoSource(reward_workers, cache_gib=config.video.cache_gib)


def _clips(source: VideoSource, videos: Sequence[str], budget: FrameBudget) -> list[VideoClip]:
    async def ask() -> list[ray.ObjectRef]:
        decoded = await asyncio.gather(*(source.clip(video, budget) for video in videos))
        return [clip for _, clip in decoded]

    clips: list[VideoClip] = ray.get(asyncio.run(ask()))
    return clips

"""A tiny model, groups about real footage, and gangs of learner ranks in a local Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import ray
from ray.actor import ActorHandle
from transformers import AutoTokenizer

from actors.faults.seat import Seat
from actors.faults.watched import as_actor
from actors.learner import GroupStats, LearnerWorker, StepStats, learner_options
from actors.learning.gang import LearnerGang
from actors.occupation import Occupation
from actors.rollout.rollouts import Rollout
from actors.weight_sync.segments import SegmentMap
from museg.config.choices import DType
from museg.config.schema import Config
from museg.data.samples import Sample
from museg.grpo.aggregation import StepTotals
from museg.rewards.scoring import RewardBreakdown
from museg.rollout.completions import Completion, Group
from museg.tiny_model import build_tiny_model
from museg.video.clip import VideoClip
from museg.video.decoding import decode_clip
from museg.video.pixel_budget import FrameBudget

CALL_TIMEOUT_S = 300.0
Weights = dict[str, npt.NDArray[np.float32]]
Shares = Sequence[Sequence[Sequence[int]]]
"""Of each rank the micro-batches, of these the groups."""

_FOOTAGE = ("bikes", "carphone_pristine", "bigbuckbunny")
_ANSWERS = (
    "<think>The bicycles pass.</think><answer>1.0 to 2.5</answer>",
    "<answer>3 to 4</answer>",
    "Nothing.",
    "<think>From 2 on.</think><answer>2.0 to 6.0, 7.0 to 9.0</answer>",
)
_ADVANTAGES = ((1.2, -0.3, -1.1, 0.2), (0.0, 0.0, 0.0, 0.0), (-0.8, 1.4, -0.4, -0.2), (0.5, 0.5, -1.5, 0.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The groups of one step and their videos."""

    groups: tuple[Group, ...]
    clips: tuple[VideoClip, ...]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("learner") / "model", seed=0)


@pytest.fixture(scope="session")
def batch(model_folder: Path, real_clip_paths: dict[str, Path]) -> Batch:
    """Four groups of four completions of unequal length, about three real clips; one group has no advantage."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    clips = [_clip(real_clip_paths[name]) for name in _FOOTAGE]
    groups = []
    for index, advantages in enumerate(_ADVANTAGES):
        answers = _ANSWERS[index:] + _ANSWERS[:index]
        completions = tuple(_completion(tokenizer.encode(f"{answer}<|im_end|>")) for answer in answers)
        groups.append(
            Group(
                sample=Sample(idx=index, problem="", solution=((1.0, 2.5),), video=clips[index % 3].video, task="tvg"),
                prompt=(
                    "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>When does it happen?<|im_end|>\n"
                    "<|im_start|>assistant\n"
                ),
                completions=completions,
                rewards=tuple(RewardBreakdown(values={}, total=0.0) for _ in completions),
                advantages=advantages,
            )
        )
    return Batch(groups=tuple(groups), clips=tuple(clips[index % 3] for index in range(len(groups))))


@pytest.fixture(scope="session")
def make_config(model_folder: Path) -> Callable[..., Config]:
    def make(*, ranks: int, zero_stage: int) -> Config:
        config = Config()
        config.run.name = f"learner-test-{zero_stage}-{ranks}"
        config.model.path = str(model_folder)
        config.model.dtype = DType.float32
        config.grpo.steps = 20
        config.learner.ranks = ranks
        config.learner.zero_stage = zero_stage
        config.learner.cpus = 0.5
        config.learner.lr = 1e-3
        config.learner.max_grad_norm = 0.5
        config.learner.timeout_s = 120.0
        config.sync.bucket_mib = 1
        # The engine's logprobs are made up here.
        config.guards.max_logprob_gap = 50.0
        return config

    return make


class Gang:
    """All ranks of one learner."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ranks: list[ActorHandle] = [
            as_actor(LearnerWorker).options(**learner_options(config, rank, config.run.name)).remote(config, rank)
            for rank in range(config.learner.ranks)
        ]
        address, port = ray.get(self.ranks[0].rendezvous_address.remote(), timeout=CALL_TIMEOUT_S)
        self.on_all("connect", address, port)

    def on_all(self, method: str, *args: object) -> list[object]:
        return ray.get([getattr(rank, method).remote(*args) for rank in self.ranks], timeout=CALL_TIMEOUT_S)

    def train_step(self, batch: Batch, shares: Shares) -> tuple[list[GroupStats], StepStats]:
        """One step with the micro-batches of these groups on each rank; statistics in the order of `shares`."""
        calls = [
            rank.accumulate.remote(
                [batch.groups[index] for index in micro_batch],
                [ray.put(batch.clips[index]) for index in micro_batch],
                StepTotals.of(batch.groups),
            )
            for rank, share in zip(self.ranks, shares, strict=True)
            for micro_batch in share
        ]
        # Asked for at once, as the trainer may: a rank that is done early waits for the others.
        steps = [rank.step.remote() for rank in self.ranks]
        group_stats = [stats for part in ray.get(calls, timeout=CALL_TIMEOUT_S) for stats in part]
        return group_stats, ray.get(steps, timeout=CALL_TIMEOUT_S)[0]

    def buckets(self) -> list[list[Weights]]:
        """Of every rank, what it exports."""
        streams = [rank.export_weights.options(num_returns="streaming").remote() for rank in self.ranks]
        return [
            [{name: value.numpy() for name, value in bucket.parameters()} for bucket in map(ray.get, stream)]
            for stream in streams
        ]

    def weights_as_neighbours_read_them(self) -> Weights:
        """As `weights`, by the way that they take to generators of the same node."""
        stream, *silent = [
            rank.export_weights.options(num_returns="streaming", _generator_backpressure_num_objects=1).remote(
                within_node=True
            )
            for rank in self.ranks
        ]
        segments = SegmentMap()
        weights = {
            name: value.numpy().copy()
            for bucket in map(ray.get, stream)
            for name, value in segments.bucket(bucket).parameters()
        }
        assert not [bucket for other in silent for bucket in other]
        return weights

    def weights(self) -> Weights:
        return {name: array for bucket in self.buckets()[0] for name, array in bucket.items()}

    def stop(self) -> None:
        for rank in self.ranks:
            ray.kill(rank)


def running_from(config: Config, start: Path) -> Iterator[tuple[Gang, Path]]:
    """A gang for a whole test file, and the folder that holds its state before any step."""
    gang = Gang(config)
    gang.on_all("save_state", start)
    yield gang, start
    gang.stop()


def at_start(gang: Gang, start: Path) -> Gang:
    """The gang at the starting weights, no step done."""
    gang.on_all("load_state", start)
    return gang


def driven(gang: Gang) -> LearnerGang:
    """The gang as the trainer drives it."""
    return LearnerGang([Seat.of(rank) for rank in gang.ranks], gang.config, Occupation())


async def learn(gang: LearnerGang, rollouts: Sequence[Rollout]) -> tuple[list[GroupStats], StepStats]:
    """One step on these rollouts, all of which are there."""
    learning = await gang.begin_step(StepTotals.of([rollout.group for rollout in rollouts]))
    for rollout in rollouts:
        learning.add(rollout)
    return await learning.finish()


def _clip(path: Path) -> VideoClip:
    budget = FrameBudget(
        fps=2.0, min_frames=4, max_frames=8, min_pixels=28 * 28, max_pixels=56 * 84, total_pixels=10 * 56 * 84
    )
    return decode_clip(path, video=path.name, budget=budget)


def _completion(token_ids: list[int]) -> Completion:
    return Completion(
        token_ids=tuple(token_ids),
        logprobs=tuple(-6.0 for _ in token_ids),
        text="",
        finish_reason="stop",
        weights_version=0,
    )


def largest_difference(some: Weights, other: Weights) -> float:
    assert some.keys() == other.keys()
    return max(float(np.abs(some[name] - other[name]).max()) for name in some)

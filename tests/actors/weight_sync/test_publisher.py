"""Publishing weights from learner ranks to generation workers with real vLLM engines, over a real Ray."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
import torch
from ray.actor import ActorHandle
from transformers import Qwen2_5_VLForConditionalGeneration

from actors.faults.seat import Seat
from actors.generation import GeneratedGroup
from actors.waiting import DeadlineError
from actors.weight_sync.bucket_stream import BucketStream
from actors.weight_sync.buckets import WeightBucket, bucketed, pack, packed_values
from actors.weight_sync.publisher import SyncStats, WeightPublisher
from actors.weight_sync.segments import Segment, SegmentRing, SharedBucket
from museg.config.schema import SyncConfig
from tests.actors.conftest import StartGenerator
from tests.actors.material import largest_gap, noisy_clip, request, sampled_logprobs

pytestmark = pytest.mark.slow

SMALL_BUCKET_BYTES = 64 * 1024
"""Several buckets a layer, some layers over several buckets."""


class FolderLearner:
    """A learner rank that exports a model folder's weights, and can be told to fail at it."""

    def __init__(self, rank: int, bucket_bytes: int = SMALL_BUCKET_BYTES) -> None:
        self.rank = rank
        self.bucket_bytes = bucket_bytes

    def take(self, folder: Path, *, leave_out: str = "", stall_s: float = 0.0) -> None:
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self.parameters = [(name, value) for name, value in model.named_parameters() if name != leave_out]
        self.stall_s = stall_s
        self.made: list[float] = []

    def export_weights(self, *, within_node: bool) -> Iterator[SharedBucket | WeightBucket]:
        runs = list(bucketed(self.parameters, self.bucket_bytes))
        ring = SegmentRing(max(map(packed_values, runs)))
        for run in runs:
            if self.rank == 0:
                self.made.append(time.monotonic())
                yield ring.pack(run) if within_node else pack(run)
                # Once only.
                time.sleep(self.stall_s)
                self.stall_s = 0.0

    def times_made(self) -> list[float]:
        return self.made


class SlowGenerator:
    """Takes weights, slowly, and forgets them."""

    def begin_weight_update(self) -> None:
        self.loaded: list[float] = []

    def load_weight_bucket(self, bucket: SharedBucket) -> int:
        time.sleep(0.02)
        self.loaded.append(time.monotonic())
        return bucket.num_bytes

    def finish_weight_update(self, version: int) -> None:
        pass

    def times_loaded(self) -> list[float]:
        return self.loaded


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Learner ranks and generators, with the models that they may hold."""

    learners: Sequence[ActorHandle]
    generators: Sequence[ActorHandle]
    old: Path
    new: Path

    def publish(self, version: int, *, timeout_s: float = 120.0, as_if_on_other_nodes: bool = False) -> SyncStats:
        async def run() -> SyncStats:
            publisher = WeightPublisher(seats(self.learners), seats(self.generators), SyncConfig(timeout_s=timeout_s))
            if as_if_on_other_nodes:
                route = publisher._route_to(self.generators)
                assert isinstance(route, BucketStream)
                route._within_node = False
            return await publisher.publish(version)

        return asyncio.run(run())

    def take(self, folder: Path, *, leave_out: str = "", stall_s: float = 0.0) -> None:
        ray.get([rank.take.remote(folder, leave_out=leave_out, stall_s=stall_s) for rank in self.learners])

    def samples(self) -> list[GeneratedGroup]:
        """The same group from each generator."""
        calls = [
            worker.generate.options(num_returns="streaming").remote([request(0, noisy_clip(3))])
            for worker in self.generators
        ]
        return [ray.get(next(stream)) for stream in calls]

    def versions(self) -> list[int]:
        return ray.get([worker.weights_version.remote() for worker in self.generators])


@pytest.fixture(scope="module", params=["untied", "tied"])
def stage(request: pytest.FixtureRequest, start_generator: StartGenerator, models: dict[str, Path]) -> Iterator[Stage]:
    old, new = models[f"{request.param}-old"], models[f"{request.param}-new"]
    # The embeddings are tied in one model of two, and two generators are enough in one of them.
    generators = [start_generator(old, rank) for rank in range(2 if request.param == "untied" else 1)]
    learners = [ray.remote(FolderLearner).remote(rank) for rank in range(2)]
    ray.get([worker.ready.remote() for worker in generators], timeout=300)
    yield Stage(learners=learners, generators=generators, old=old, new=new)
    for actor in (*generators, *learners):
        ray.kill(actor)


@pytest.mark.parametrize("as_if_on_other_nodes", [False, True], ids=["shared-memory", "object-store"])
def test_every_generator_holds_the_new_weights_and_nothing_of_the_old(stage: Stage, as_if_on_other_nodes: bool) -> None:
    stage.take(stage.old)
    stage.publish(0)
    before = stage.samples()
    stage.take(stage.new)
    stage.publish(1, as_if_on_other_nodes=as_if_on_other_nodes)
    assert stage.versions() == [1] * len(stage.generators)
    for group, old in zip(stage.samples(), before, strict=True):
        # The prompt is the same as before: a stale cache of any kind would show.
        assert largest_gap(stage.new, group, noisy_clip(3)) <= 1e-4
        assert largest_gap(stage.old, group, noisy_clip(3)) > 0.1
        assert {completion.weights_version for completion in group.completions} == {1}
        assert {completion.weights_version for completion in old.completions} == {0}

    stage.take(stage.old)
    stage.publish(2, as_if_on_other_nodes=as_if_on_other_nodes)
    for group, old in zip(stage.samples(), before, strict=True):
        assert [completion.token_ids for completion in group.completions] == [c.token_ids for c in old.completions]
        assert sampled_logprobs([group]) == sampled_logprobs([old])


def test_the_bytes_are_those_of_all_parameters_in_float32(stage: Stage) -> None:
    stage.take(stage.new)
    parameters = Qwen2_5_VLForConditionalGeneration.from_pretrained(stage.new, dtype=torch.float32).parameters()
    assert stage.publish(3).num_bytes == 4 * sum(parameter.numel() for parameter in parameters)


def test_a_learner_that_stalls_is_named_and_the_next_publication_mends_the_generators(stage: Stage) -> None:
    stage.take(stage.new, stall_s=3.0)
    with pytest.raises(DeadlineError, match=r"the learner's next weights \(sync.timeout_s\) took longer than 1 s"):
        stage.publish(4, timeout_s=1.0)
    with pytest.raises(RuntimeError, match="is being replaced"):
        stage.samples()
    stage.take(stage.new)
    stage.publish(5)
    assert stage.versions() == [5] * len(stage.generators)
    for group in stage.samples():
        assert largest_gap(stage.new, group, noisy_clip(3)) <= 1e-4


def test_weights_that_went_with_their_learner_are_told_and_the_next_publication_mends_the_generators(
    stage: Stage,
) -> None:
    gone = SharedBucket(segment=Segment(pid=2**22 + 1, fd=9, inode=1, num_values=16), placements=())
    ray.get([generator.begin_weight_update.remote() for generator in stage.generators])
    for generator in stage.generators:
        with pytest.raises(FileNotFoundError):
            ray.get(generator.load_weight_bucket.remote(gone))
    stage.take(stage.new)
    stage.publish(7)
    for group in stage.samples():
        assert largest_gap(stage.new, group, noisy_clip(3)) <= 1e-4


def test_an_update_that_lacks_a_parameter_is_refused_and_a_whole_one_mends_it(stage: Stage) -> None:
    stage.take(stage.old, leave_out="model.visual.blocks.1.mlp.down_proj.bias")
    with pytest.raises(
        RuntimeError, match=r"version 6 lacks 1 parameters, such as visual\.blocks\.1\.mlp\.down_proj\.bias"
    ):
        stage.publish(6)
    with pytest.raises(RuntimeError, match="is being replaced"):
        stage.samples()
    stage.take(stage.new)
    stage.publish(7)
    for group in stage.samples():
        assert largest_gap(stage.new, group, noisy_clip(3)) <= 1e-4


def test_the_learner_makes_no_more_than_two_buckets_ahead(stage: Stage) -> None:
    stage.take(stage.new)
    slow = ray.remote(SlowGenerator).remote()
    publisher = WeightPublisher(seats(stage.learners), seats([slow]), SyncConfig())
    asyncio.run(publisher.publish(8))
    made, loaded = ray.get([stage.learners[0].times_made.remote(), slow.times_loaded.remote()])
    assert len(made) == len(loaded) > 20
    # Bucket k + 3 is begun when k is loaded, not before.
    assert all(later > earlier for later, earlier in zip(made[3:], loaded, strict=False))


def seats(actors: Sequence[ActorHandle]) -> list[Seat]:
    return [Seat.of(actor) for actor in actors]

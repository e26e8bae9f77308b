"""Real engines that are killed or stopped in mid-sampling: every group comes, and is the one that would have come."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from transformers import Qwen2_5_VLForConditionalGeneration

from actors.faults.budget import RestartBudget
from actors.faults.heartbeat import watched_for_hangs
from actors.faults.seat import Seat
from actors.faults.watched import as_actor
from actors.generation import INTAKE, GeneratedGroup, GenerationRequest, GenerationWorker, generation_options
from actors.generation.pool import GeneratorPool
from actors.waiting import all_of
from actors.weight_sync.buckets import WeightBucket, pack
from museg.config.schema import Config
from tests.actors.material import largest_gap, noisy_clip, request, run_config

pytestmark = pytest.mark.slow

REQUESTS = [request(key, noisy_clip(key), max_tokens=48) for key in range(10)]
HEARTBEAT_S = 5.0
Sampled = dict[int, list[tuple[tuple[int, ...], tuple[float, ...]]]]


@dataclass
class Run:
    """Two generators, started from a folder's weights and since brought others."""

    config: Config
    weights: WeightBucket
    version: int = 1
    budget: RestartBudget = field(default_factory=RestartBudget)
    seats: list[Seat] = field(default_factory=list)

    def seat(self, rank: int) -> Seat:
        options = generation_options(self.config, rank, self.config.run.name)

        def start() -> ActorHandle:
            return as_actor(GenerationWorker, INTAKE).options(**options).remote(self.config, rank)

        async def ready(actor: ActorHandle) -> None:
            await actor.ready.remote()

        return Seat(f"generation-{rank}", start, ready, self.budget)

    def pool(self, num_seats: int = 2) -> GeneratorPool:
        self.config.generation.timeout_s = 120.0
        pool = GeneratorPool(self.seats[:num_seats], self.config.generation)
        pool.bring_weights = self.bring_weights
        return pool

    async def bring_weights(self, seat: Seat) -> None:
        await self.publish([seat])

    async def publish(self, seats: Sequence[Seat], meanwhile: Callable[[], None] = lambda: None) -> None:
        """As a publisher does it, part by part."""
        await all_of([seat.actor.begin_weight_update.remote() for seat in seats])
        await all_of([seat.actor.load_weight_bucket.remote(self.weights) for seat in seats])
        meanwhile()
        await all_of([seat.actor.finish_weight_update.remote(self.version) for seat in seats])

    def signal(self, rank: int, what: signal.Signals) -> None:
        where = self.seats[rank].where
        assert where
        os.kill(where.pid, what)


@pytest.fixture(scope="module")
def run(local_ray: None, models: dict[str, Path]) -> Run:
    config = run_config(models["untied-old"])
    config.generation.max_sequences = 8
    policy = Qwen2_5_VLForConditionalGeneration.from_pretrained(models["untied-new"])
    run = Run(config, pack([*policy.named_parameters()]))

    async def start() -> None:
        run.seats = [run.seat(rank) for rank in range(2)]
        await asyncio.gather(*(seat.filled() for seat in run.seats))
        await run.publish(run.seats)

    asyncio.run(start())
    return run


async def sampled(
    pool: GeneratorPool, after_the_first: Callable[[], None] = lambda: None
) -> tuple[list[GeneratedGroup], Sampled]:
    """Groups as they came, and their completions' tokens and logprobs by key."""
    came: list[GeneratedGroup] = []
    async with aclosing(pool.sample(REQUESTS)) as groups:
        async for group in groups:
            came.append(group)
            if len(came) == 1:
                after_the_first()
    assert sorted(group.key for group in came) == list(range(len(REQUESTS)))
    return came, {group.key: [(c.token_ids, tuple(c.logprobs)) for c in group.completions] for group in came}


def versions(groups: Sequence[GeneratedGroup]) -> set[int]:
    return {completion.weights_version for group in groups for completion in group.completions}


@pytest.fixture(scope="module")
def undisturbed(run: Run) -> Sampled:
    return asyncio.run(sampled(run.pool()))[1]


@pytest.mark.parametrize(
    ("what", "num_seats"),
    [
        pytest.param(signal.SIGKILL, 2, id="die"),
        pytest.param(signal.SIGSTOP, 2, id="stop"),
        pytest.param(signal.SIGKILL, 1, id="only", marks=pytest.mark.thorough),
    ],
)
def test_a_generator_lost_in_mid_sampling_changes_nothing_and_comes_back_with_the_present_weights(
    run: Run, undisturbed: Sampled, models: dict[str, Path], what: signal.Signals, num_seats: int
) -> None:
    async def lose_one() -> None:
        pool, spent = run.pool(num_seats), run.budget.count
        rank = num_seats - 1
        async with watched_for_hangs(pool.seats, HEARTBEAT_S, print):
            groups, samples = await sampled(pool, lambda: run.signal(rank, what))
        assert samples == undisturbed
        assert versions(groups) == {run.version}
        # Without an update in sight it is brought the weights, however early the sampling ended.
        while not pool.attendance.settled:
            await asyncio.sleep(0.1)
        assert run.budget.count == spent + 1
        assert await run.seats[rank].actor.weights_version.remote() == run.version
        newcomer = GeneratorPool([run.seats[rank]], run.config.generation)
        groups, samples = await sampled(newcomer)
        assert samples == undisturbed
        assert largest_gap(models["untied-new"], groups[0], REQUESTS[groups[0].key].clip) <= 1e-4

    asyncio.run(lose_one())


def test_a_generator_that_dies_in_an_update_is_mended_and_the_update_repeated(run: Run, undisturbed: Sampled) -> None:
    async def lose_one() -> None:
        pool = run.pool()
        run.version += 1
        async with pool.updating():
            with pytest.raises(RayActorError) as raised:
                await run.publish(run.seats, meanwhile=lambda: run.signal(0, signal.SIGKILL))
            assert await pool.mend(raised.value)
            await run.publish(run.seats)
        groups, samples = await sampled(pool)
        assert samples == undisturbed
        assert versions(groups) == {run.version}

    asyncio.run(lose_one())


def test_tokens_and_logprobs_are_the_same_bits_in_whatever_batch(run: Run) -> None:
    lengths = np.random.default_rng(0).integers(8, 64, size=16)
    requests = [
        request(key, noisy_clip(key, num_frames=4 + 4 * (key % 4)), num_completions=8, max_tokens=int(length))
        for key, length in enumerate(lengths)
    ]
    ways = {
        "together": [requests],
        "reversed": [requests[::-1]],
        "halves": [requests[:8], requests[8:]],
        "one by one": [[one] for one in requests],
    }

    async def in_batches(batches: Sequence[Sequence[GenerationRequest]]) -> dict[int, GeneratedGroup]:
        # Nothing is left in the engine's caches of what was computed another way.
        await run.publish(run.seats[:1])
        found = {}
        for batch in batches:
            async for ref in run.seats[0].actor.generate.options(num_returns="streaming").remote(batch):
                group = await ref
                found[group.key] = group
        return found

    results = {name: asyncio.run(in_batches(batches)) for name, batches in ways.items()}
    assert len(results["together"]) == 16
    for name, groups in results.items():
        assert groups == results["together"], name

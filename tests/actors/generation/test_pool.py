"""All generation workers as one: who gets what, and what excludes what."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from contextlib import aclosing

import pytest
import ray
from ray.exceptions import RayTaskError

from actors.faults.budget import RestartBudget
from actors.faults.seat import Seat
from actors.generation.pool import GeneratorPool
from actors.generation.requests import GenerationRequest
from actors.waiting import DeadlineError
from museg.config.schema import GenerationConfig
from tests.actors.generation.light_worker import light_seats, sampled
from tests.actors.generation.test_workload import asked


@pytest.fixture(scope="module")
def seats(local_ray: None) -> list[Seat]:
    return light_seats(2, RestartBudget())


@pytest.fixture
def pool(seats: list[Seat]) -> GeneratorPool:
    ray.get([seat.actor.update.remote(0) for seat in seats], timeout=120)
    return GeneratorPool(seats, GenerationConfig(max_sequences=2, timeout_s=60.0))


def test_whoever_has_room_takes_the_next_so_a_slow_worker_holds_nothing_up(pool: GeneratorPool) -> None:
    requests = [asked(0, prompt="sleep 1.5"), *(asked(key, prompt="sleep 0.01") for key in range(1, 12))]
    by_process = Counter(process for process, _ in asyncio.run(sampled(pool, requests)).values())
    # The slow one holds the first request, and at most one that it asked for before.
    assert min(by_process.values()) <= 2
    assert sum(by_process.values()) == 12
    assert asyncio.run(sampled(pool, [])) == {}


@pytest.mark.usefixtures("no_collections")
def test_what_was_asked_for_is_let_go_when_its_sampling_ends(pool: GeneratorPool) -> None:
    def held() -> int:
        return sum(type(one) is GenerationRequest for one in gc.get_objects())

    before = held()
    asyncio.run(sampled(pool, [asked(key) for key in range(6)]))
    assert held() == before


def test_requests_start_in_the_order_of_the_queue(seats: list[Seat]) -> None:
    pool = GeneratorPool(seats[:1], GenerationConfig(max_sequences=4))
    before = len(ray.get(seats[0].actor.started.remote()))
    asyncio.run(sampled(pool, [asked(key) for key in range(10)]))
    assert ray.get(seats[0].actor.started.remote())[before:] == list(range(10))


def test_weights_are_replaced_between_samplings_in_the_order_asked_for(pool: GeneratorPool) -> None:
    requests = [asked(key) for key in range(4)]
    happened: list[str] = []

    async def sample(name: str) -> set[int]:
        versions = {version for _, version in (await sampled(pool, requests)).values()}
        happened.append(name)
        return versions

    async def update() -> None:
        async with pool.updating():
            happened.append("update begins")
            await asyncio.gather(*(seat.actor.update.remote(1) for seat in pool.seats))
            await asyncio.sleep(0.1)
            happened.append("update ends")

    async def all_at_once() -> tuple[set[int], None, set[int]]:
        return await asyncio.gather(sample("before"), update(), sample("after"))

    assert list(asyncio.run(all_at_once())) == [{0}, None, {1}]
    assert happened == ["before", "update begins", "update ends", "after"]


def test_a_sampling_that_fails_or_is_given_up_leaves_the_pool_free(pool: GeneratorPool) -> None:
    async def first_only() -> int:
        async with aclosing(pool.sample([asked(5), asked(6)])) as groups:
            async for group in groups:
                return group.key
        raise AssertionError("no group came")

    async def one_after_another() -> None:
        with pytest.raises(RayTaskError, match="asked to"):
            await sampled(pool, [asked(0), asked(1, prompt="fail")])
        assert await first_only() in (5, 6)
        async with asyncio.timeout(30), pool.updating():
            pass
        assert set(await sampled(pool, [asked(0), asked(1)])) == {0, 1}

    asyncio.run(one_after_another())


def test_a_worker_that_responds_and_is_slow_ends_the_sampling_by_name(seats: list[Seat]) -> None:
    pool = GeneratorPool(seats, GenerationConfig(timeout_s=0.3))
    expected = r"generation-0: the next group of completions \(generation\.timeout_s\) .* 0\.3 s; the worker responds"
    with pytest.raises(DeadlineError, match=expected):
        asyncio.run(sampled(pool, [asked(0, prompt="sleep 2")]))

"""All generation workers as one: who gets what, and what excludes what."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st
from ray.actor import ActorHandle
from ray.exceptions import RayTaskError

from actors.cluster import DeadlineError
from actors.faults.seat import Seat
from actors.generation import GeneratedGroup, GenerationRequest
from actors.generation.pool import GeneratorPool, dealt
from museg.rollout.completions import Completion, SamplingSettings
from tests.actors.material import noisy_clip

CLIP = noisy_clip(0)


def asked(key: int, *, num_prompt_tokens: int = 0, max_tokens: int = 10, prompt: str = "") -> GenerationRequest:
    sampling = SamplingSettings(num_completions=2, temperature=1.0, top_p=1.0, max_tokens=max_tokens)
    return GenerationRequest(
        key=key, prompt=prompt, clip=CLIP, seed=0, sampling=sampling, num_prompt_tokens=num_prompt_tokens
    )


class Worker:
    """Answers each request by its own rank, with the version of its weights; `fail` and `sleep` are what they say."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.version = 0

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GeneratedGroup]:
        """A group of one completion a request."""
        for request in requests:
            if request.prompt == "fail":
                raise ValueError("asked to")
            if request.prompt == "sleep":
                time.sleep(5)
            completion = Completion(
                token_ids=(self.rank,), logprobs=(0.0,), text="", finish_reason="stop", weights_version=self.version
            )
            yield GeneratedGroup(key=request.key, completions=(completion,))

    def update(self, version: int) -> None:
        """Take new weights."""
        self.version = version


@pytest.fixture(scope="module")
def workers(local_ray: None) -> list[ActorHandle]:
    return [ray.remote(Worker).options(num_cpus=0).remote(rank) for rank in range(2)]


@pytest.fixture
def pool(workers: list[ActorHandle]) -> GeneratorPool:
    ray.get([worker.update.remote(0) for worker in workers], timeout=120)
    return GeneratorPool([Seat.of(worker) for worker in workers], timeout_s=60.0)


async def sampled(pool: GeneratorPool, requests: Sequence[GenerationRequest]) -> dict[int, tuple[int, int]]:
    """Key → rank and weights version."""
    async with aclosing(pool.sample(requests)) as groups:
        found = [(group.key, group.completions[0]) async for group in groups]
    return {key: (completion.token_ids[0], completion.weights_version) for key, completion in found}


def keys(shares: Sequence[Sequence[GenerationRequest]]) -> list[list[int]]:
    return [[request.key for request in share] for share in shares]


def test_the_longest_go_first_to_the_least_loaded_and_keep_their_order() -> None:
    requests = [asked(key, num_prompt_tokens=tokens) for key, tokens in enumerate([10, 100, 20, 70, 40])]
    # By length, 20 completion tokens included: 120, 90, 60, 40, 30.
    assert keys(dealt(requests, 2)) == [[1, 2], [0, 3, 4]]
    assert keys(dealt(requests, 1)) == [[0, 1, 2, 3, 4]]


def test_requests_of_equal_length_are_dealt_in_turn() -> None:
    assert keys(dealt([asked(key) for key in range(5)], 2)) == [[0, 2, 4], [1, 3]]
    assert keys(dealt([asked(0)], 3)) == [[0], [], []]


def test_completion_tokens_count_for_each_completion() -> None:
    requests = [asked(0, num_prompt_tokens=30), asked(1, max_tokens=40), asked(2, num_prompt_tokens=30)]
    assert [request.max_num_tokens for request in requests] == [50, 80, 50]
    assert keys(dealt(requests, 2)) == [[1], [0, 2]]


@given(st.lists(st.integers(0, 500), max_size=30), st.integers(1, 5))
def test_every_request_is_dealt_once_and_no_worker_has_a_whole_request_more_than_another(
    lengths: list[int], num_workers: int
) -> None:
    requests = [asked(key, num_prompt_tokens=length) for key, length in enumerate(lengths)]
    shares = dealt(requests, num_workers)
    assert sorted(key for share in keys(shares) for key in share) == list(range(len(requests)))
    assert all(share == sorted(share) for share in keys(shares))
    loads = [sum(request.max_num_tokens for request in share) for share in shares]
    longest = max((request.max_num_tokens for request in requests), default=0)
    assert max(loads) - min(loads) <= longest


def test_groups_of_all_workers_come_as_one_stream(pool: GeneratorPool) -> None:
    requests = [asked(key, num_prompt_tokens=tokens) for key, tokens in enumerate([10, 100, 20, 70, 40])]
    assert asyncio.run(sampled(pool, requests)) == {0: (1, 0), 1: (0, 0), 2: (0, 0), 3: (1, 0), 4: (1, 0)}
    assert asyncio.run(sampled(pool, [])) == {}


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
            await asyncio.gather(*(worker.update.remote(1) for worker in pool.workers))
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


def test_a_group_that_does_not_come_is_named_by_its_deadline(pool: GeneratorPool) -> None:
    pool.timeout_s = 0.2
    with pytest.raises(DeadlineError, match=r"next group of completions \(generation\.timeout_s\)"):
        asyncio.run(sampled(pool, [asked(0, prompt="sleep")]))

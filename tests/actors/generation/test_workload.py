"""Who is given which request, and that none is lost or answered twice."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from actors.generation import GenerationRequest
from actors.generation.workload import Workload
from actors.occupation import Occupation
from museg.rollout.completions import SamplingSettings
from tests.actors.material import noisy_clip

CLIP = noisy_clip(0)


def asked(key: int, *, num_prompt_tokens: int = 0, max_tokens: int = 10, prompt: str = "") -> GenerationRequest:
    sampling = SamplingSettings(num_completions=2, temperature=1.0, top_p=1.0, max_tokens=max_tokens)
    return GenerationRequest(
        key=key, prompt=prompt, clip=CLIP, seed=0, sampling=sampling, num_prompt_tokens=num_prompt_tokens
    )


def workload(num_requests: int, num_seats: int, occupation: Occupation | None = None) -> Workload:
    names = [f"seat-{rank}" for rank in range(num_seats)]
    return Workload([asked(key) for key in range(num_requests)], names, occupation or Occupation())


def keys(shares: dict[int, list[GenerationRequest]]) -> dict[int, list[int]]:
    return {rank: [request.key for request in share] for rank, share in shares.items()}


def test_the_least_loaded_is_given_the_next_and_completion_tokens_count_for_each_completion() -> None:
    requests = [asked(0, num_prompt_tokens=30), asked(1, max_tokens=40), asked(2, num_prompt_tokens=30), asked(3)]
    assert [request.max_num_tokens for request in requests] == [50, 80, 50, 20]
    work = Workload(requests, ["a", "b"], Occupation())
    assert keys(work.first_shares([0, 1], max_sequences=100)) == {0: [0, 2], 1: [1, 3]}


def test_engines_start_with_what_they_have_room_for_and_the_rest_is_taken_in_order() -> None:
    work = workload(9, 3)
    # Two completions a request: there is room for a sequence after the first, and none after the second.
    assert keys(work.first_shares([0, 2], max_sequences=3)) == {0: [0, 2], 2: [1, 3]}
    taken = [asyncio.run(work.take(rank)).key for rank in (1, 1, 0)]
    assert taken == [4, 5, 6]
    assert work.num_waiting == 2


def test_what_is_given_back_goes_to_the_head_in_its_order_and_its_answers_are_not_wanted() -> None:
    work = workload(6, 2)
    work.first_shares([0, 1], max_sequences=4)
    assert work.answered(1, 1)
    work.give_back(1)
    work.give_back(0)
    assert not work.answered(1, 3)
    assert not work.is_held_by(0)
    assert [asyncio.run(work.take(1)).key for _ in range(5)] == [0, 2, 3, 4, 5]
    assert work.answered(1, 3)
    assert not work.answered(1, 3)


def test_whoever_finds_the_queue_empty_waits_for_what_comes_back() -> None:
    async def wait_and_give_back() -> int:
        work = workload(1, 2)
        work.first_shares([0], max_sequences=4)
        taking = asyncio.create_task(work.take(1))
        await asyncio.sleep(0.01)
        assert not taking.done()
        work.give_back(0)
        return (await taking).key

    assert asyncio.run(wait_and_give_back()) == 0


def test_a_seat_is_busy_while_it_holds_a_request() -> None:
    occupation = Occupation()
    work = workload(3, 2, occupation)
    work.first_shares([0, 1], max_sequences=4)
    assert [occupation.outstanding(f"seat-{rank}") for rank in range(2)] == [2, 1]
    work.answered(0, 0)
    work.give_back(1)
    assert [occupation.outstanding(f"seat-{rank}") for rank in range(2)] == [1, 0]


@given(st.data(), st.integers(0, 12), st.integers(1, 3))
def test_every_request_is_answered_once_whoever_loses_what(data: st.DataObject, num_requests: int, seats: int) -> None:
    async def run() -> list[int]:
        work = workload(num_requests, seats)
        held = {rank: [r.key for r in share] for rank, share in work.first_shares(range(seats), 4).items()}
        answers: list[int] = []
        while len(answers) < num_requests:
            rank = data.draw(st.integers(0, seats - 1))
            match data.draw(st.sampled_from(["take", "answer", "lose"])):
                case "take" if work._waiting:
                    held[rank].append((await work.take(rank)).key)
                case "answer" if held[rank]:
                    answers += [key for key in [held[rank].pop()] if work.answered(rank, key)]
                case "lose" if data.draw(st.booleans()):
                    work.give_back(rank)
                    held[rank].clear()
        assert not any(work.is_held_by(rank) for rank in range(seats))
        return answers

    assert sorted(asyncio.run(run())) == list(range(num_requests))

"""What comes of generation workers that die or hang, and of what they were doing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from ray.exceptions import RayActorError

from actors.faults.budget import RestartBudget
from actors.faults.seat import Seat
from actors.generation.pool import GeneratorPool
from museg.config.schema import GenerationConfig, RecoveryConfig
from museg.errors import FaultError
from tests.actors.generation.light_worker import light_seats, sampled
from tests.actors.generation.test_workload import asked

pytestmark = pytest.mark.slow

VERSION = 3


class Crew:
    """Two workers for all tests of the module, whichever they are by now."""

    def __init__(self) -> None:
        self.budget = RestartBudget(RecoveryConfig(max_restarts_a_step=100))
        self.seats = light_seats(2, self.budget)

    def pool(self, num_seats: int = 2, timeout_s: float = 60.0) -> GeneratorPool:
        """A pool whose workers and newcomers have weights of VERSION."""
        pool = GeneratorPool(self.seats[:num_seats], GenerationConfig(max_sequences=2, timeout_s=timeout_s))
        pool.bring_weights = bring_weights
        return pool

    def pids(self) -> list[int]:
        return [pid_of(seat) for seat in self.seats]


async def bring_weights(seat: Seat) -> None:
    await seat.actor.update.remote(VERSION)


def pid_of(seat: Seat) -> int:
    assert seat.where
    return seat.where.pid


def changed(before: Sequence[int], after: Sequence[int]) -> int:
    return sum(old != new for old, new in zip(before, after, strict=True))


@pytest.fixture(scope="module")
def crew_of_the_module(local_ray: None) -> Crew:
    return Crew()


@pytest.fixture
def crew(crew_of_the_module: Crew) -> Crew:
    async def bring_all() -> None:
        await asyncio.gather(*(bring_weights(seat) for seat in crew_of_the_module.seats))

    asyncio.run(bring_all())
    crew_of_the_module.budget.count = 0
    return crew_of_the_module


@pytest.mark.parametrize(("what", "timeout_s"), [("die", 60.0), ("stop", 4.0)])
def test_what_a_lost_worker_held_is_answered_once_by_others_and_its_seat_is_filled(
    crew: Crew, tmp_path: Path, what: str, timeout_s: float
) -> None:
    async def run() -> None:
        pool, before = crew.pool(timeout_s=timeout_s), crew.pids()
        lost = asked(1, prompt=f"{what} {tmp_path / 'once'}")
        answers = await sampled(pool, [asked(0), lost, *(asked(key, prompt="sleep 0.2") for key in range(2, 8))])
        assert set(answers) == set(range(8))
        assert {version for _, version in answers.values()} == {VERSION}
        async with pool.updating():
            assert crew.budget.count == changed(before, crew.pids()) == 1
            await asyncio.gather(*(seat.actor.update.remote(VERSION + 1) for seat in pool.seats))
        answers = await sampled(pool, [asked(key, prompt="sleep 0.1") for key in range(4)])
        assert {*answers.values()} == {(pid, VERSION + 1) for pid in crew.pids()}

    asyncio.run(run())


def test_when_all_are_lost_sampling_waits_for_newcomers_and_for_a_learner_that_fails_at_first(
    crew: Crew, tmp_path: Path
) -> None:
    brought: list[Seat] = []

    async def bring(seat: Seat) -> None:
        brought.append(seat)
        if len(brought) == 1:
            raise RayActorError
        await bring_weights(seat)

    async def run() -> None:
        pool = crew.pool(1)
        pool.bring_weights = bring
        requests = [asked(0), asked(1, prompt=f"die {tmp_path / 'once'}"), asked(2), asked(3)]
        answers = await sampled(pool, requests)
        assert {version for _, version in answers.values()} == {VERSION}
        assert len({process for process, _ in answers.values()}) <= 2
        assert (len(brought), crew.budget.count) == (2, 1)

    asyncio.run(run())


def test_a_newcomer_that_dies_while_it_is_brought_the_weights_is_replaced_too(crew: Crew) -> None:
    brought: list[int] = []

    async def bring(seat: Seat) -> None:
        brought.append(pid_of(seat))
        if len(brought) == 1:
            os.kill(brought[0], signal.SIGKILL)
        await bring_weights(seat)

    async def run() -> None:
        pool = crew.pool(1)
        pool.bring_weights = bring
        os.kill(pid_of(pool.seats[0]), signal.SIGKILL)
        answers = await sampled(pool, [asked(key) for key in range(3)])
        assert {*answers.values()} == {(brought[1], VERSION)}
        assert crew.budget.count == 2

    asyncio.run(run())


def test_those_that_died_in_an_update_are_mended_and_others_left_alone(crew: Crew) -> None:
    async def run() -> None:
        pool, before = crew.pool(), crew.pids()
        async with pool.updating():
            assert not await pool.mend(RayActorError())
            os.kill(before[1], signal.SIGKILL)
            with pytest.raises(RayActorError):
                await asyncio.gather(*(seat.actor.update.remote(4) for seat in pool.seats))
            assert await pool.mend(RayActorError())
            await asyncio.gather(*(seat.actor.update.remote(4) for seat in pool.seats))
        answers = await sampled(pool, [asked(key, prompt="sleep 0.1") for key in range(4)])
        assert {*answers.values()} == {(before[0], 4), (crew.pids()[1], 4)}
        assert crew.budget.count == changed(before, crew.pids()) == 1

    asyncio.run(run())


def test_more_deaths_than_the_run_gets_over_end_the_sampling_and_the_next_update(local_ray: None) -> None:
    [seat] = light_seats(1, RestartBudget(RecoveryConfig(max_restarts=0)))
    pool = GeneratorPool([seat], GenerationConfig())

    async def run() -> None:
        os.kill(pid_of(seat), signal.SIGKILL)
        with pytest.raises(FaultError, match=r"recovery\.max_restarts=0 allows; first generation-0: "):
            await sampled(pool, [asked(0)])
        with pytest.raises(FaultError):
            async with pool.updating():
                raise AssertionError("there is nobody to update")

    asyncio.run(run())

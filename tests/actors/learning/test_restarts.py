"""When all ranks are replaced, and when an error is told. Ranks that really die are in learner/test_restarts.py."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from ray.exceptions import ObjectLostError, RayActorError, RayTaskError

from actors.faults.budget import RestartBudget
from actors.learning.restarts import Restarts
from actors.waiting import DeadlineError
from museg.config.schema import RecoveryConfig
from museg.errors import FaultError, ModelError, StateLostError, UserError

GLOO = RayTaskError("learn", "Traceback …", RuntimeError("Connection closed by peer"))
DEATH = RayActorError()
LATE = DeadlineError("the learners' step (learner.timeout_s) took longer than 1 s")


@dataclass
class Rank:
    """Stands for a seat, where only whether its actor answers is asked."""

    name: str
    alive: bool = True

    async def responds(self) -> bool:
        return self.alive


@dataclass
class Work:
    """Fails as it is told to, then succeeds."""

    failures: list[BaseException]
    attempts: int = 0

    async def __call__(self) -> str:
        self.attempts += 1
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        return "done"


@dataclass
class Gang:
    """Ranks of which some are dead until they are replaced; replacing them fails as it is told to."""

    dead: Sequence[int] = ()
    failures: list[BaseException] = field(default_factory=list)
    max_restarts: int = 8
    replaced: int = 0
    spared: bool = False

    def __post_init__(self) -> None:
        self.ranks = [Rank(f"learner-{rank}", alive=rank not in self.dead) for rank in range(2)]
        self.said: list[str] = []
        self.budget = RestartBudget(RecoveryConfig(max_restarts=self.max_restarts), say=self.said.append)
        self.restarts = Restarts(self.ranks, self.budget, self.begin_again, self.spare_memory)  # type: ignore[arg-type]

    async def begin_again(self) -> None:
        self.replaced += 1
        await asyncio.sleep(0.01)
        if self.failures:
            raise self.failures.pop(0)
        for rank in self.ranks:
            rank.alive = True

    def spare_memory(self) -> BaseException:
        if self.spared:
            raise ModelError("nothing left to spare")
        self.spared = True
        return MemoryError("they need less now")


@pytest.mark.parametrize("failure", [DEATH, GLOO, LATE], ids=["died", "collective", "deadline"])
def test_work_is_repeated_on_new_ranks_after_a_death_however_it_shows(failure: BaseException) -> None:
    gang, work = Gang(dead=[1]), Work([failure])
    assert asyncio.run(gang.restarts.lasting(work)) == "done"
    assert (work.attempts, gang.replaced, gang.budget.count, gang.restarts.life) == (2, 1, 1, 1)
    if failure is GLOO:
        assert gang.said[0] == "learner is replaced: learner-1 died or hangs"


def refused_by_torch() -> BaseException:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60)
    return refused.value


@pytest.mark.parametrize("of", ["host", "gpu", "python"])
def test_ranks_out_of_memory_are_replaced_once_by_some_that_need_less(of: str) -> None:
    cause = {"host": refused_by_torch(), "gpu": torch.OutOfMemoryError("CUDA out of memory"), "python": MemoryError()}[
        of
    ]
    full = RayTaskError("accumulate", "Traceback …", cause)
    gang, work = Gang(), Work([full])
    assert asyncio.run(gang.restarts.lasting(work)) == "done"
    assert (work.attempts, gang.replaced, gang.said[0]) == (2, 1, "learner is replaced: they need less now")
    with pytest.raises(ModelError, match="nothing left"):
        asyncio.run(gang.restarts.lasting(Work([full])))
    assert gang.replaced == 1


@pytest.mark.parametrize("failure", [GLOO, RayTaskError("step", "", UserError("diverged"))], ids=["bug", "user error"])
def test_what_living_ranks_raise_by_themselves_is_told(failure: RayTaskError) -> None:
    gang = Gang()
    with pytest.raises(RayTaskError) as raised:
        asyncio.run(gang.restarts.lasting(Work([failure])))
    assert raised.value is failure
    assert gang.replaced == 0


def test_frames_that_are_gone_can_not_be_learned_from_again() -> None:
    gone = RayTaskError("accumulate", "", ObjectLostError("00" * 28, None, ""))
    with pytest.raises(StateLostError, match="frames of a video were lost with their node"):
        asyncio.run(Gang().restarts.lasting(Work([gone])))


def test_ranks_that_answer_but_are_late_twice_in_a_step_are_slow() -> None:
    async def two_steps() -> None:
        assert await gang.restarts.lasting(Work([LATE])) == "done"
        gang.restarts.step_done()
        await gang.restarts.lasting(Work([LATE, LATE]))

    gang = Gang()
    with pytest.raises(DeadlineError, match=r"learner\.timeout_s"):
        asyncio.run(two_steps())
    assert gang.replaced == 2


def test_all_who_notice_a_death_get_one_restart_that_none_of_them_can_cancel() -> None:
    async def notice() -> list[bool]:
        life = gang.restarts.life
        noticed = [asyncio.create_task(gang.restarts.mend(DEATH, life)) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        noticed[0].cancel()
        return list(await asyncio.gather(*noticed[1:]))

    gang = Gang(dead=[0])
    assert asyncio.run(notice()) == [True, True]
    assert (gang.replaced, gang.budget.count) == (1, 1)


def test_a_failure_elsewhere_restarts_nothing() -> None:
    gang = Gang()
    assert not asyncio.run(gang.restarts.mend(DEATH, 0))
    assert gang.replaced == 0


def test_a_death_while_ranks_are_replaced_costs_another_restart() -> None:
    gang = Gang(dead=[0], failures=[DEATH, GLOO])
    assert asyncio.run(gang.restarts.lasting(Work([DEATH]))) == "done"
    assert (gang.replaced, gang.budget.count) == (3, 3)


def test_ranks_that_were_given_up_stay_so() -> None:
    async def try_twice() -> None:
        with pytest.raises(FaultError, match=r"recovery\.max_restarts=1"):
            await gang.restarts.lasting(Work([DEATH] * 3))
        with pytest.raises(FaultError, match=r"recovery\.max_restarts=1"):
            await gang.restarts.lasting(Work([]))

    gang = Gang(max_restarts=1)
    asyncio.run(try_twice())
    assert gang.replaced == 1


def test_an_answer_that_tells_of_a_death_restarts_the_ranks_before_anybody_asks() -> None:
    async def watch() -> None:
        async def answer(error: BaseException) -> None:
            raise error

        for error in (GLOO, DEATH, DEATH):
            gang.restarts.watch(asyncio.create_task(answer(error)))
        await asyncio.sleep(0.1)

    gang = Gang(dead=[0])
    asyncio.run(watch())
    assert gang.replaced == 1

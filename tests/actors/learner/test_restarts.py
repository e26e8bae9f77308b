"""Gangs of real DeepSpeed ranks that die or hang, against gangs that were left alone: bit for bit the same."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import torch
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors.faults.budget import RestartBudget
from actors.faults.seat import Seat
from actors.faults.watched import as_actor
from actors.learner import GroupStats, LearnerWorker, StepStats, exporter, learner_options
from actors.learning.gang import LearnerGang
from actors.occupation import Occupation
from actors.rollout.rollouts import Rollout
from museg.config.schema import Config
from museg.grpo.aggregation import StepTotals
from tests.actors.learner.conftest import Batch, Weights, largest_difference

pytestmark = pytest.mark.slow

Disturb = Callable[["LastingGang"], Awaitable[None]]
Told = tuple[list[GroupStats], StepStats]
BEFORE, MIDWAY = "before the first rollout", "between two rollouts"
NUM_STEPS = 4


class LastingGang:
    """A gang as a run has it: its ranks can be replaced."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.said: list[str] = []
        self.budget = RestartBudget(config.recovery, say=self.said.append)
        self.seats = [self._seat(rank) for rank in range(config.learner.ranks)]
        self.learner = LearnerGang(self.seats, config, Occupation(), self.budget)

    async def have(self, rank: int, what: Callable[[LearnerWorker], None]) -> None:
        await self.seats[rank].actor.__ray_call__.remote(what)

    async def weights(self) -> Weights:
        """As they are published: again when a rank dies over it."""
        while True:
            life = self.learner.life
            try:
                async with self.learner.weights_held():
                    return await self._exported()
            except RayError as fault:
                if not await self.learner.mend(fault, life):
                    raise

    async def stop(self) -> None:
        for seat in self.seats:
            ray.kill(seat.actor)

    async def _exported(self) -> Weights:
        buckets, *silent = [seat.actor.export_weights.options(num_returns="streaming").remote() for seat in self.seats]
        weights: Weights = {}
        async for reference in buckets:
            weights |= {name: value.numpy().copy() for name, value in (await reference).parameters()}
        for stream in silent:
            async for reference in stream:
                await reference
        return weights

    def _seat(self, rank: int) -> Seat:
        options = learner_options(self.config, rank, self.config.run.name)

        def start() -> ActorHandle:
            return as_actor(LearnerWorker).options(**options).remote(self.config, rank)

        async def ready(actor: ActorHandle) -> None:
            await actor.whereabouts.remote()

        return Seat(f"learner-{rank}", start, ready, self.budget, start_timeout_s=120)


async def train(gang: LastingGang, batch: Batch, disturbances: Mapping[tuple[int, str], Disturb]) -> list[Told]:
    """Some steps on the same groups, disturbed at given places."""

    async def disturb(step: int, when: str) -> None:
        if (step, when) in disturbances:
            await disturbances[step, when](gang)

    told = []
    for step in range(1, NUM_STEPS + 1):
        await disturb(step, BEFORE)
        learning = await gang.learner.begin_step(StepTotals.of(batch.groups))
        for place, (group, clip) in enumerate(zip(batch.groups, batch.clips, strict=True)):
            if place == 3:
                await disturb(step, MIDWAY)
            learning.add(Rollout(group=group, clip=ray.put(clip), num_prompt_tokens=64))
        told.append(without_times(await learning.finish()))
    return told


def without_times(told: Told) -> Told:
    groups, stats = told
    return groups, replace(stats, seconds=0.0, busy_s=())


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def die_when_it_steps(worker: LearnerWorker) -> None:
    worker.engine.step = die


def die_in_a_micro_batch(worker: LearnerWorker) -> None:
    worker.accumulator.backward = die  # type: ignore[method-assign]


def find_no_memory(worker: LearnerWorker) -> None:
    worker.accumulator.backward = lambda _: torch.empty(1 << 60)  # type: ignore[method-assign]


def die_when_it_exports(_: LearnerWorker) -> None:
    exporter.gathered = die


def stop_in_a_micro_batch(worker: LearnerWorker) -> None:
    worker.accumulator.backward = stop  # type: ignore[method-assign]


def having(rank: int, what: Callable[[LearnerWorker], None]) -> Disturb:
    async def disturb(gang: LastingGang) -> None:
        await gang.have(rank, what)

    return disturb


async def kill_first(gang: LastingGang) -> None:
    assert gang.seats[0].where is not None
    os.kill(gang.seats[0].where.pid, signal.SIGKILL)


async def stop_first(gang: LastingGang) -> None:
    """In its next micro-batch, with a deadline that the step has by now."""
    await gang.have(0, stop_in_a_micro_batch)
    gang.learner.timeout_s = gang.config.learner.timeout_s


async def set_short_deadline(gang: LastingGang) -> None:
    gang.learner.timeout_s = 4


def exporting(rank: int) -> Disturb:
    async def disturb(gang: LastingGang) -> None:
        await gang.have(rank, die_when_it_exports)
        await gang.weights()

    return disturb


CASES: dict[str, tuple[int, int, int, dict[tuple[int, str], Disturb]]] = {
    "1-rank-zero-0": (
        1,
        0,
        3,
        {
            (1, BEFORE): kill_first,
            (2, MIDWAY): having(0, find_no_memory),
            (4, MIDWAY): having(0, die_when_it_steps),
        },
    ),
    "2-ranks-zero-2": (
        2,
        2,
        2,
        {
            (2, BEFORE): having(1, die_in_a_micro_batch),
            (4, BEFORE): set_short_deadline,
            (4, MIDWAY): stop_first,
        },
    ),
    "2-ranks-zero-3": (2, 3, 2, {(3, MIDWAY): exporting(1), (4, MIDWAY): having(0, die_when_it_steps)}),
}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.thorough) if case == "2-ranks-zero-2" else case for case in CASES]
)
def test_ranks_that_are_killed_or_stopped_leave_weights_and_statistics_as_they_would_have_been(
    local_ray: None, make_config: Callable[..., Config], batch: Batch, tmp_path: Path, case: str
) -> None:
    ranks, zero_stage, restarts, disturbances = CASES[case]
    config = make_config(ranks=ranks, zero_stage=zero_stage)
    config.learner.micro_batch_tokens, config.recovery.snapshot_steps = 1, 2

    async def whole() -> None:
        gang = LastingGang(config)
        await gang.learner.connect()
        await gang.learner.save(tmp_path)
        undisturbed, expected = await train(gang, batch, {}), await gang.weights()
        await gang.learner.load(tmp_path)
        told, weights = await train(gang, batch, disturbances), await gang.weights()
        await gang.stop()
        assert gang.budget.count == restarts
        assert not [line for line in gang.said if "warning" in line]
        assert told == undisturbed
        assert largest_difference(weights, expected) == 0.0

    asyncio.run(whole())

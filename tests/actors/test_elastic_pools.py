"""Pools on a cluster of several raylets whose nodes come and go, with and without notice."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray._raylet import GcsClient
from ray.actor import ActorHandle
from ray.cluster_utils import Cluster
from ray.exceptions import RayActorError

from actors.draining import draining_nodes, living_nodes
from actors.faults.budget import RestartBudget
from actors.faults.seat import Seat, evict
from actors.faults.watched import as_actor
from actors.generation import INTAKE
from actors.generation.pool import GeneratorPool
from actors.reward.pool import RewardPool
from actors.reward.worker import SCORING, RewardWorker
from museg.config.schema import GenerationConfig, RecoveryConfig
from tests.actors.generation.light_worker import LightWorker
from tests.actors.generation.test_workload import asked
from tests.actors.material import run_config
from tests.actors.reward.test_pool import BUDGET, sample_about
from tests.museg.video.footage import write_video

pytestmark = pytest.mark.slow

PLACE = {"place": 1}
"""A node that has it holds one worker."""
PREEMPTION = 2
_WAIT_S = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The head has one place."""
    soon = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500}
    head = {"num_cpus": 1, "resources": PLACE, "include_dashboard": False, "_system_config": soon}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@dataclass
class Stage:
    """Seats for a pool of one worker that another one may join, and what the user is told."""

    cluster: Cluster
    said: list[str] = field(default_factory=list)
    version: int = 3
    brought: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.budget = RestartBudget(RecoveryConfig(max_restarts=3), say=self.said.append)

    def seats(self, kind: str, start: Callable[[], ActorHandle]) -> list[Seat]:
        async def ready(actor: ActorHandle) -> None:
            await actor.whereabouts.remote()

        first = Seat(f"{kind}-0", start, ready, self.budget, start_timeout_s=_WAIT_S)
        asyncio.run(first.filled())
        # Its deadline would be over long before there is a place.
        return [first, Seat(f"{kind}-1", start, ready, self.budget, start_timeout_s=0.2, vacant=True)]

    async def bring_weights(self, seat: Seat) -> None:
        self.brought.append(seat.name)
        await seat.actor.update.remote(self.version)

    async def publish(self, pool: GeneratorPool) -> None:
        async with pool.updating():
            self.version += 1
            await asyncio.gather(
                *(pool.seats[rank].actor.update.remote(self.version) for rank in pool.attendance.present)
            )

    def add_node(self) -> Any:
        return self.cluster.add_node(num_cpus=1, resources=PLACE)

    async def joined(self, pool: GeneratorPool | RewardPool) -> Any:
        """A new node, whose worker has joined."""
        pool.attendance.welcome()
        node = self.add_node()
        await until(lambda: len(pool.attendance.present) == 2)
        return node

    def play(self, scene: Callable[[GeneratorPool], Awaitable[None]]) -> None:
        """With a pool of generators that begins with one."""
        start = as_actor(LightWorker, INTAKE).options(num_cpus=0, resources=PLACE).remote
        pool = GeneratorPool(self.seats("generation", start), GenerationConfig(max_sequences=2, timeout_s=_WAIT_S))
        pool.bring_weights = self.bring_weights

        async def run() -> None:
            await pool.seats[0].actor.update.remote(self.version)
            await scene(pool)
            pool.close()

        try:
            asyncio.run(run())
        finally:
            end(pool)


def end(pool: GeneratorPool | RewardPool) -> None:
    """Have the next pool find its places free."""
    for seat in pool.seats:
        evict(seat.actor, seat.where)


@pytest.fixture
def stage(cluster: Cluster) -> Iterator[Stage]:
    yield Stage(cluster)
    for node in list(cluster.worker_nodes):
        cluster.remove_node(node, allow_graceful=False)
    asyncio.run(until(lambda: len(living_nodes()) == 1))


def node_of(seat: Seat) -> str:
    assert seat.where is not None
    return seat.where.node_id


def pid_of(seat: Seat) -> int:
    assert seat.where is not None
    return seat.where.pid


async def version_of(seat: Seat) -> int:
    """Of the weights that its worker holds."""
    return int(await seat.actor.__ray_call__.remote(lambda worker: worker.version))


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(_WAIT_S):
        while not happened():
            await asyncio.sleep(0.02)


async def sampled(
    pool: GeneratorPool, num_requests: int, disturb: Callable[[], Awaitable[None]], *, at: int = 2
) -> tuple[int, set[int]]:
    """The number of answers, each of which came once, and their weights; `disturb` is done when `at` workers answer.

    No more is waited for once another one has answered then.
    """
    answers: dict[int, tuple[int, int]] = {}
    processes = set[int]()
    requests = [asked(key, prompt="sleep 0.05") for key in range(num_requests)]
    async with asyncio.timeout(_WAIT_S), aclosing(pool.sample(requests)) as groups:
        async for group in groups:
            assert group.key not in answers
            [completion] = group.completions
            answers[group.key] = (completion.token_ids[0], completion.weights_version)
            if len(processes) < at and len(processes | {completion.token_ids[0]}) == at:
                await disturb()
            processes.add(completion.token_ids[0])
            if len(processes) > at:
                break
    assert len(processes) >= 2
    return len(answers), {version for _, version in answers.values()}


def drain(node_id: str) -> None:
    deadline_ms = int((time.time() + 600) * 1000)
    GcsClient(address=ray.get_runtime_context().gcs_address).drain_node(node_id, PREEMPTION, "taken away", deadline_ms)
    assert node_id in draining_nodes()


def test_a_generator_joins_in_mid_sampling_with_the_present_weights_and_is_not_waited_for_before(
    stage: Stage,
) -> None:
    async def run(pool: GeneratorPool) -> None:
        pool.attendance.welcome()
        async with asyncio.timeout(5):
            await stage.publish(pool)

        async def add_node() -> None:
            stage.add_node()

        _, versions = await sampled(pool, 1000, add_node, at=1)
        assert versions == {stage.version}
        assert stage.brought == ["generation-1"]
        await stage.publish(pool)
        assert [await version_of(seat) for seat in pool.seats] == [stage.version, stage.version]
        assert stage.said == ["generation-1 joins: 2 generation workers"]

    stage.play(run)


def test_nothing_is_lost_or_counted_when_a_node_goes_and_another_may_come(stage: Stage) -> None:
    async def run(pool: GeneratorPool) -> None:
        node = await stage.joined(pool)

        async def lose_node() -> None:
            stage.cluster.remove_node(node, allow_graceful=False)

        assert await sampled(pool, 40, lose_node) == (40, {stage.version})
        await until(lambda: stage.said[-1] == "generation-1 leaves, its node is gone: 1 generation workers")
        async with asyncio.timeout(5):
            await stage.publish(pool)
        await stage.joined(pool)
        assert await version_of(pool.seats[1]) == stage.version
        assert stage.budget.count == 0

    stage.play(run)


def test_a_drained_node_is_left_in_time_unless_its_worker_is_needed(stage: Stage) -> None:
    async def run(pool: GeneratorPool) -> None:
        node = await stage.joined(pool)
        first, second = [node_of(seat) for seat in pool.seats]

        async def take_away() -> None:
            drain(second)
            await asyncio.sleep(1.0)  # until the raylets know
            await pool.release({second})
            await pool.release({first})

        assert await sampled(pool, 40, take_away) == (40, {stage.version})
        assert (pool.attendance.present, pool.seats[0].life) == ([0], 0)
        assert stage.said[1:] == ["generation-1 leaves, its node is drained: 1 generation workers"]
        # Nobody is placed on a node that is about to go.
        await asyncio.sleep(2.0)
        assert pool.seats[1].where is None
        stage.cluster.remove_node(node, allow_graceful=False)
        await stage.joined(pool)
        assert stage.budget.count == 0

    stage.play(run)


def test_a_death_on_a_node_that_stays_is_counted_and_does_not_hold_up_an_update(stage: Stage) -> None:
    async def run(pool: GeneratorPool) -> None:
        await stage.joined(pool)

        async def kill() -> None:
            os.kill(pid_of(pool.seats[1]), signal.SIGKILL)

        assert await sampled(pool, 40, kill) == (40, {stage.version})
        async with asyncio.timeout(4):
            await stage.publish(pool)
        await until(lambda: pool.attendance.settled)
        assert (stage.budget.count, await version_of(pool.seats[1])) == (1, stage.version)

    stage.play(run)


def test_who_waited_for_a_place_is_enough_when_the_needed_one_dies_in_an_update(stage: Stage) -> None:
    """The place of the one that died is taken by the one that waited for it."""

    async def run(pool: GeneratorPool) -> None:
        pool.attendance.welcome()
        async with pool.updating():
            os.kill(pid_of(pool.seats[0]), signal.SIGKILL)
            await until(lambda: pool.seats[1].where is not None)
            async with asyncio.timeout(_WAIT_S):
                assert await pool.mend(RayActorError())
            assert (pool.attendance.present, stage.brought) == ([1], [])
        async with asyncio.timeout(5):
            await stage.publish(pool)

    stage.play(run)


def test_when_a_reward_worker_leaves_its_work_is_done_by_another_and_its_clips_stay(
    stage: Stage, tmp_path: Path
) -> None:
    config = run_config(tmp_path)
    config.data.video_root = str(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, num_frames=50, fps=Fraction(25), height=96, width=128)
    config.reward.functions = ["tests.actors.reward.patient_reward:patient"]
    start = as_actor(RewardWorker, SCORING).options(num_cpus=0, resources=PLACE)
    pool = RewardPool(stage.seats("reward", lambda: start.remote(config, 0)), timeout_s=_WAIT_S)
    folders = [tmp_path / name for name in ("one", "two")]

    async def run() -> None:
        node = await stage.joined(pool)
        decoded = await asyncio.gather(*(pool.decode(name, BUDGET) for name in ("a.mp4", "b.mp4")))
        assert {outcome.node_id for outcome, _ in decoded} == {node_of(seat) for seat in pool.seats}
        for folder in folders:
            folder.mkdir()
        scoring = [asyncio.create_task(pool.score(sample_about(folder), ["text"], None, 0)) for folder in folders]
        await until(lambda: all((folder / "begun").exists() for folder in folders))
        assert {(folder / "begun").read_text() for folder in folders} == {str(pid_of(seat)) for seat in pool.seats}
        await pool.release({node_of(pool.seats[1])})
        for folder in folders:
            (folder / "go").touch()
        assert [[reward.total for reward in await one] for one in scoring] == [[2.0], [2.0]]
        assert {(folder / "begun").read_text() for folder in folders} == {str(pid_of(pool.seats[0]))}
        assert stage.said[1] == "reward-1 leaves, its node is drained: 1 reward workers"
        assert stage.budget.count == 0
        stage.cluster.remove_node(node, allow_graceful=False)
        await until(lambda: len(living_nodes()) == 1)
        first, second = [await clip for _, clip in decoded]
        np.testing.assert_array_equal(first.frames, second.frames)
        pool.close()

    try:
        asyncio.run(run())
    finally:
        end(pool)

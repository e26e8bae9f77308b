"""Real actors under watch: one that works, one that is stopped, and a process whose number was another's."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest
import ray
from ray.exceptions import RayActorError

from actors.faults.budget import RestartBudget
from actors.faults.heartbeat import watched_for_hangs
from actors.faults.seat import Seat, kill_process
from actors.faults.watched import Watched, Whereabouts, as_actor
from actors.waiting import within
from museg.config.schema import RecoveryConfig

HEARTBEAT_S = 1.5


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class Worker(Watched):
    def work(self, seconds: float) -> str:
        time.sleep(seconds)
        return "done"


async def worker_seat(name: str) -> Seat:
    async def ready(actor: ray.actor.ActorHandle) -> None:
        await actor.whereabouts.remote()

    start = as_actor(Worker).options(num_cpus=0).remote
    seat = Seat(name, start, ready, RestartBudget(RecoveryConfig(max_restarts=1)))
    await seat.filled()
    return seat


def test_a_worker_that_hangs_is_killed_and_one_that_is_busy_for_longer_is_not() -> None:
    async def scenario() -> list[str]:
        busy, stopped = await worker_seat("busy-0"), await worker_seat("stopped-0")
        said: list[str] = []
        async with watched_for_hangs([busy, stopped], HEARTBEAT_S, said.append):
            answer = busy.actor.work.remote(4 * HEARTBEAT_S)
            assert stopped.where is not None
            os.kill(stopped.where.pid, signal.SIGSTOP)
            with pytest.raises(RayActorError):
                await within(10 * HEARTBEAT_S, "the death", stopped.actor.work.remote(0.0))
            assert await answer == "done"
        return said

    assert asyncio.run(scenario()) == [
        f"stopped-0 hangs: no answer for {HEARTBEAT_S:g} s (recovery.heartbeat_s); killed"
    ]


def test_a_process_that_only_has_the_number_of_one_that_ended_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        where = Whereabouts(pid=process.pid, started_s=psutil.Process(process.pid).create_time(), node_id="")
        kill_process(replace(where, started_s=where.started_s - 1))
        assert process.poll() is None
        kill_process(where)
        assert process.wait(timeout=10) == -signal.SIGKILL

"""The roster against real actors: who is where, also after one was replaced."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError

from actors.faults.budget import RestartBudget
from actors.faults.roster import Roster
from actors.faults.seat import Seat
from actors.faults.watched import Watched, as_actor


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class Idler(Watched):
    """Only there."""


def seat() -> Seat:
    async def ready(actor: ActorHandle) -> None:
        await actor.whereabouts.remote()

    return Seat("idler-0", lambda: as_actor(Idler).options(num_cpus=0).remote(), ready, RestartBudget())


def test_the_roster_names_the_process_in_each_seat_and_follows_it_and_goes_with_the_run(tmp_path: Path) -> None:
    async def scenario() -> None:
        idler, file = seat(), tmp_path / "workers.json"
        roster = Roster(file)
        await roster.follow([idler])
        first = json.loads(file.read_text())
        assert first["driver"]["pid"] == os.getpid()
        assert first["idler-0"] == {
            "pid": (await idler.actor.whereabouts.remote()).pid,
            "node_id": first["driver"]["node_id"],
            "life": 0,
        }
        await idler.refill(RayActorError(), idler.life)
        second = json.loads(file.read_text())
        assert second["idler-0"]["life"] == 1
        assert second["idler-0"]["pid"] == (await idler.actor.whereabouts.remote()).pid != first["idler-0"]["pid"]
        roster.close()
        assert not file.exists()

    asyncio.run(scenario())

"""Seats with real actors that die while they start."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from ray.experimental.internal_kv import _internal_kv_list

from actors import waiting
from actors.faults.budget import RestartBudget
from actors.faults.seat import Seat
from actors.faults.watched import Watched, as_actor
from actors.waiting import DeadlineError
from museg.config.schema import RecoveryConfig
from museg.errors import FaultError


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class Frail(Watched):
    """Dies while it starts, as often as the file's number says."""

    def __init__(self, deaths: Path) -> None:
        left = int(deaths.read_text())
        deaths.write_text(str(left - 1))
        if left > 0:
            os._exit(1)


def frail_seat(file: Path, *, deaths: int = 0, max_restarts: int) -> Seat:
    async def ready(actor: ActorHandle) -> None:
        await actor.whereabouts.remote()

    file.write_text(str(deaths))
    budget = RestartBudget(RecoveryConfig(max_restarts=max_restarts))
    return Seat("frail-0", lambda: as_actor(Frail).options(num_cpus=0).remote(file), ready, budget)


def test_a_newcomer_that_dies_while_it_starts_is_replaced_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        seat = frail_seat(tmp_path / "deaths", max_restarts=3)
        await seat.filled()
        (tmp_path / "deaths").write_text("2")
        await asyncio.gather(*(seat.refill(RayActorError(), 0) for _ in range(3)))
        assert seat.life == 3
        assert await seat.responds()

    asyncio.run(scenario())


def test_who_is_replaced_leaves_nothing_more_of_its_class_with_the_gcs(tmp_path: Path) -> None:
    async def scenario() -> None:
        seat = frail_seat(tmp_path / "deaths", max_restarts=1)
        await seat.filled()
        exported = _internal_kv_list(b"", namespace=b"fun")
        assert any(key.startswith(b"ActorClass:") for key in exported)
        await seat.refill(RayActorError(), 0)
        assert _internal_kv_list(b"", namespace=b"fun") == exported

    asyncio.run(scenario())


def test_one_that_dies_while_the_run_starts_is_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        seat = frail_seat(tmp_path / "deaths", deaths=2, max_restarts=2)
        await seat.first_filled()
        assert seat.life == 2
        assert await seat.responds()

    asyncio.run(scenario())


def test_one_that_never_starts_ends_in_the_first_cause_when_the_budget_is_spent(tmp_path: Path) -> None:
    async def scenario() -> None:
        seat = frail_seat(tmp_path / "deaths", max_restarts=2)
        await seat.filled()
        (tmp_path / "deaths").write_text("9")
        with pytest.raises(FaultError, match=r"recovery\.max_restarts=2 .*first frail-0: it was struck"):
            await seat.refill(RayActorError(error_msg="it was struck"), 0)

    asyncio.run(scenario())


def test_one_that_may_come_is_tried_again_without_being_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        seat = frail_seat(tmp_path / "deaths", max_restarts=0)
        await seat.filled()
        (tmp_path / "deaths").write_text("2")
        await seat.arrived(anew=True)
        assert seat.life == 3
        assert await seat.responds()

    monkeypatch.setattr("actors.faults.seat._FIRST_PAUSE_S", 0.1)
    asyncio.run(scenario())


def test_one_that_the_cluster_has_no_room_for_is_told_of_while_it_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ready(actor: ActorHandle) -> None:
        await actor.whereabouts.remote()

    monkeypatch.setattr(waiting, "_TOLD_EVERY_S", 0.4)
    said: list[str] = []
    large = as_actor(Watched).options(num_cpus=64)
    budget = RestartBudget(RecoveryConfig(), say=said.append)
    seat = Seat("large-0", large.remote, ready, budget, start_timeout_s=1.0)
    with pytest.raises(DeadlineError, match="the start of large-0 took longer than 1 s"):
        asyncio.run(seat.filled())
    assert [line.split(" of at most")[0] for line in said] == [
        "large-0 is still missing after 0.4 s",
        "large-0 is still missing after 0.8 s",
    ]

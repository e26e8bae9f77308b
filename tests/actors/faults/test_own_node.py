"""A local Ray that ends under a driver."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psutil
import pytest
import ray

from actors.faults.own_node import while_node_lives
from actors.local_ray import start_local_ray
from museg.errors import StateLostError


@pytest.fixture(autouse=True)
def _ray() -> Iterator[None]:
    start_local_ray(num_cpus=1)
    yield
    ray.shutdown()


def agents() -> list[psutil.Process]:
    """Ray's own processes without which its raylet ends."""
    family = psutil.Process().children(recursive=True)
    return [one for one in family if one.cmdline() and one.cmdline()[0].startswith("ray::RuntimeEnvAgent")]


async def wait_for_ever() -> None:
    async with while_node_lives():
        await asyncio.Event().wait()


def test_a_wait_ends_with_its_node() -> None:
    async def scenario() -> None:
        waiting = asyncio.create_task(wait_for_ever())
        await asyncio.sleep(3.0)
        assert not waiting.done()
        (agent,) = agents()
        agent.kill()
        async with asyncio.timeout(60):
            await waiting

    with pytest.raises(StateLostError, match="Ray has ended on this machine"):
        asyncio.run(scenario())


def test_whatever_else_ends_it_is_passed_on() -> None:
    async def scenario() -> None:
        async with while_node_lives(), asyncio.timeout(0.1):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(scenario())

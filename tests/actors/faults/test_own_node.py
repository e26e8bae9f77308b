"""A local Ray that ends under a driver."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psutil
import pytest
import ray
from ray.exceptions import RayActorError

from actors.faults.own_node import while_node_lives
from actors.local_ray import LocalRay, start_local_ray
from museg.errors import StateLostError


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    start_local_ray(num_cpus=1)
    yield
    ray.shutdown()


def of_ray(name: str) -> psutil.Process:
    """The process of that name or title in this one's Ray."""
    family = psutil.Process().children(recursive=True)
    (found,) = [one for one in family if name in (one.name(), " ".join(one.cmdline()).strip())]
    return found


async def wait_for_ever() -> None:
    async with while_node_lives():
        await asyncio.Event().wait()


def test_what_ends_it_otherwise_is_passed_on() -> None:
    async def scenario() -> None:
        async with while_node_lives(), asyncio.timeout(0.1):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(scenario())


def test_a_wait_ends_with_its_ray_and_another_can_be_started() -> None:
    async def scenario() -> None:
        waiting = asyncio.create_task(wait_for_ever())
        await asyncio.sleep(3.0)
        assert not waiting.done()
        of_ray("ray::RuntimeEnvAgent").kill()
        async with asyncio.timeout(30):
            await waiting

    with pytest.raises(StateLostError, match="Ray has ended on this machine"):
        asyncio.run(scenario())
    ray.shutdown()
    start_local_ray(num_cpus=1)
    assert LocalRay().lives


def test_what_fails_because_its_ray_has_ended_says_so() -> None:
    async def scenario() -> None:
        async with while_node_lives():
            of_ray("raylet").kill()
            raise RayActorError

    with pytest.raises(StateLostError):
        asyncio.run(scenario())
    assert not LocalRay().lives

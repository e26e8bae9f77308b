"""Ray that isn't up within its 30 s, by its own code and processes; only its look for the node and clock are ours."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from types import SimpleNamespace

import psutil
import pytest
import ray
from ray._private import node, services

from actors.local_ray import start_local_ray
from museg.errors import FaultError


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`late(n)`: the first n times Ray isn't there when its time, which passes quickly, is over."""
    clock = itertools.count(step=20)
    fast = SimpleNamespace(time=time.time, sleep=lambda _: None, monotonic=lambda: float(next(clock)))
    looked_up = services.get_node

    def first(times: int) -> None:
        given_up = set[str]()

        def look(gcs_address: str, node_id: str) -> object:
            if gcs_address in given_up or len(given_up) < times:
                given_up.add(gcs_address)
                raise RuntimeError("not yet")
            return looked_up(gcs_address, node_id)

        monkeypatch.setattr(node, "time", fast)
        monkeypatch.setattr(services, "get_node", look)

    return first


@pytest.mark.slow
def test_ray_that_comes_up_too_late_is_ended_and_started_anew(late: Callable[[int], None]) -> None:
    late(1)
    start_local_ray(num_cpus=1)
    try:
        assert ray.cluster_resources()["CPU"] == 1
        assert [process.name() for process in psutil.Process().children()].count("raylet") == 1
        _assert_one_arena()
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_ray_that_never_comes_up_is_a_fault_and_leaves_no_process(late: Callable[[int], None]) -> None:
    late(100)
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(FaultError, match=r"Ray didn't come up on this machine within 30 s, 3 times"):
        start_local_ray(num_cpus=1)
    assert not ray.is_initialized()
    assert set(psutil.Process().children(recursive=True)) <= before


def _assert_one_arena() -> None:
    """What Ray's own processes have freed is given back, by the allocator that they really use."""
    own = [child for child in psutil.Process().children() if child.name() in ("gcs_server", "raylet")]
    assert len(own) == 2
    for process in own:
        assert "narenas:1" in process.environ()["MALLOC_CONF"].split(",")
        assert any("jemalloc" in mapped.path for mapped in process.memory_maps())

"""What a soak counts as in use, on a real Ray."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray

from tests.chaos.usage import FULLEST, object_store_mib, used

_OBJECT_MIB = 24


@pytest.mark.slow
def test_what_the_store_has_let_go_is_no_longer_in_use_though_it_stays_touched(tmp_path: Path) -> None:
    def look() -> dict[str, float]:
        return used(psutil.Process().children(), {}, tmp_path, stored_mib=object_store_mib())

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        before = look()
        held = ray.put(np.ones(_OBJECT_MIB << 20, dtype=np.uint8))
        _until(lambda: object_store_mib() > before["object store, MiB"] + _OBJECT_MIB - 1)
        during = look()
        del held
        _until(lambda: object_store_mib() < before["object store, MiB"] + 1)
        after = look()
    finally:
        ray.shutdown()
    assert during["/dev/shm in use, MiB"] - before["/dev/shm in use, MiB"] == pytest.approx(_OBJECT_MIB, abs=2)
    assert after["/dev/shm in use, MiB"] == pytest.approx(before["/dev/shm in use, MiB"], abs=2)
    assert after[FULLEST] - before[FULLEST] == pytest.approx(_OBJECT_MIB, abs=2)


def _until(true: Callable[[], bool], timeout_s: float = 30) -> None:
    """Ray tells of what it holds a little later."""
    deadline_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)

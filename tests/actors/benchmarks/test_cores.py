import os
import threading
import time
from pathlib import Path

import pytest
import ray

from actors.benchmarks.cores import cpu_s, on_cores, pin
from museg.errors import ConfigError


class Busy:
    """An actor with a thread beside its own."""

    def __init__(self) -> None:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def test_cores_are_given_back() -> None:
    before = os.sched_getaffinity(0)
    with on_cores(1) as cores:
        assert os.sched_getaffinity(0) == set(cores) == {min(before)}
    assert os.sched_getaffinity(0) == before


def test_more_cores_than_there_are_are_refused() -> None:
    available = len(os.sched_getaffinity(0))
    with pytest.raises(ConfigError, match=f"needs {available + 1} cores, and this process may use {available}"):
        on_cores(available + 1).__enter__()


def test_all_threads_of_a_pinned_actor_stay_on_its_core(local_ray: None) -> None:
    core = max(os.sched_getaffinity(0))
    actor = ray.remote(Busy).options(num_cpus=0).remote()
    pid = pin(actor, core)
    assert pid != os.getpid()
    threads = [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
    assert len(threads) > 1
    assert all(os.sched_getaffinity(thread) == {core} for thread in threads)


def test_the_cpu_time_of_a_process_is_what_it_says_itself() -> None:
    while time.process_time() < 0.2:
        pass
    assert cpu_s(os.getpid()) == pytest.approx(time.process_time(), abs=0.1)

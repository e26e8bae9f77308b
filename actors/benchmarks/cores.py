"""Which cores processes run on, and how much of them they took. Linux alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray.actor import ActorHandle

from museg.errors import ConfigError

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@contextmanager
def on_cores(count: int) -> Iterator[list[int]]:
    """Keep this thread, and the processes that it starts, on so many cores; which ones.

    Raises:
        ConfigError: there are fewer.
    """
    before = os.sched_getaffinity(0)
    if len(before) < count:
        raise ConfigError(
            f"bench: needs {count} cores, and this process may use {len(before)}: run it on a larger machine"
        )
    cores = sorted(before)[:count]
    os.sched_setaffinity(0, cores)
    try:
        yield cores
    finally:
        os.sched_setaffinity(0, before)


def pin(actor: ActorHandle, core: int) -> int:
    """Keep all threads of a local actor on one core; its process id."""
    pid: int = ray.get(actor.__ray_call__.remote(_own_pid), timeout=60)
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
    return pid


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has taken, all its threads, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _own_pid(_: object) -> int:
    return os.getpid()

"""What the processes of a run use, and whether that grows."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray

MIB = 2**20
FULLEST = "object store at its fullest, MiB"
"""What it has ever needed at once: it gives nothing back, so this grows by chance, up to the store's size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """At one moment; seconds since the run's start."""

    at_s: float
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Of one figure: its median in the first and in the last third of the time after the warm-up."""

    name: str
    early: float
    late: float

    @property
    def share(self) -> float:
        """What was added, as a share of the early figure."""
        return (self.late - self.early) / self.early if self.early else float(self.late > 0)


def growths(samples: Sequence[Sample], warm_up_s: float) -> list[Growth]:
    """Of every figure that was there in both thirds."""
    warm = [sample for sample in samples if sample.at_s >= warm_up_s]
    third = len(warm) // 3
    early, late = (_medians(part) for part in (warm[:third], warm[-third:] if third else []))
    return [Growth(name=name, early=early[name], late=late[name]) for name in early if name in late]


def used(
    processes: Iterable[psutil.Process], workers: Mapping[str, int], temp: Path, *, stored_mib: float
) -> dict[str, float]:
    """Own memory (what no other process shares), open files and threads by role; shared memory and files of all.

    `stored_mib` is what the object store holds; of its part of the shared memory only that is in use.
    """
    names = {pid: name for name, pid in workers.items()}
    values: dict[str, float] = defaultdict(float)
    for process in processes:
        try:
            with process.oneshot():
                memory, files, threads = process.memory_info(), process.num_fds(), process.num_threads()
                role = names.get(process.pid) or process.name()
            if role == "raylet":
                values[FULLEST] = _touched_mib(process.pid)
        except (psutil.NoSuchProcess, psutil.ZombieProcess, FileNotFoundError):
            continue
        if role in (*names.values(), "raylet", "gcs_server"):
            values[f"{role}: own memory, MiB"] = (memory.rss - memory.shared) / MIB
            values[f"{role}: open files"] = files
            values[f"{role}: threads"] = threads
        values["processes"] += 1
    values["object store, MiB"] = stored_mib
    values["/dev/shm in use, MiB"] = psutil.disk_usage("/dev/shm").used / MIB - values[FULLEST] + stored_mib
    files = [path for path in temp.rglob("*") if "logs" not in path.parts]
    values["temporary files without Ray's logs"] = len(files)
    return dict(values)


def object_store_mib() -> float:
    """What the store of the cluster holds that this process has joined."""
    total, free = (
        resources.get("object_store_memory", 0.0) for resources in (ray.cluster_resources(), ray.available_resources())
    )
    return (total - free) / MIB


def _touched_mib(raylet: int) -> float:
    """Of the memory file that the raylet keeps the store in, which has no name any more."""
    arenas = []
    for link in Path("/proc", str(raylet), "fd").iterdir():
        # Others are closed meanwhile.
        with suppress(FileNotFoundError):
            if os.readlink(link).startswith("/dev/shm/plasma"):
                arenas.append(512 * link.stat().st_blocks)
    if not arenas:
        raise LookupError(f"raylet {raylet} has no object store in /dev/shm")
    return sum(arenas) / MIB


def _medians(samples: Sequence[Sample]) -> dict[str, float]:
    values: defaultdict[str, list[float]] = defaultdict(list)
    for sample in samples:
        for name, value in sample.values.items():
            values[name].append(value)
    return {name: statistics.median(some) for name, some in values.items()}

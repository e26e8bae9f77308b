"""Time ways of doing the same work side by side, so that their ratio survives a busy machine."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Repeats of one way."""

    seconds: tuple[float, ...]
    """Wall clock, one entry a repeat."""
    cpu_seconds: tuple[float, ...]
    """Of this process, all its threads."""

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)

    def figures(self, name: str) -> dict[str, float]:
        """`<name>_s` with its range and CPU time, for `bench --json`."""
        return {
            f"{name}_s": self.median_s,
            f"{name}_s_min": min(self.seconds),
            f"{name}_s_max": max(self.seconds),
            f"{name}_cpu_s": statistics.median(self.cpu_seconds),
        }


def side_by_side(ways: Mapping[str, Callable[[], object]], *, repeats: int, warmups: int = 2) -> dict[str, Timing]:
    """Run every way in turn, `repeats` times over after `warmups` rounds that don't count."""
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(warmups + repeats):
        for name, way in ways.items():
            gc.collect()
            started, cpu_started = time.perf_counter(), time.process_time()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_ >= warmups:
                wall[name].append(time.perf_counter() - started)
                cpu[name].append(time.process_time() - cpu_started)
    return {name: Timing(seconds=tuple(wall[name]), cpu_seconds=tuple(cpu[name])) for name in ways}


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Inside, torch computes with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ratio(slow: Timing, fast: Timing) -> float:
    """How many times as long the first way takes: the median over rounds, in which both met the same machine."""
    return statistics.median(a / b for a, b in zip(slow.seconds, fast.seconds, strict=True))


def machine(*packages: str) -> dict[str, object]:
    """Where figures come from: processor, cores, threads of torch, versions."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in ("torch", "transformers", *packages)},
    }


def _version(package: str) -> str:
    """Of a package or of its build for machines without a GPU, which may go by another name."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return importlib.metadata.version(f"{package}-cpu")


def _processor() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())

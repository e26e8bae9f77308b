"""Runs on a cluster of several nodes, of which some go."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable

from ray.cluster_utils import Cluster

from museg.runs.directory import RunDirectory
from tests.chaos.disturbed_run import launched
from tests.chaos.material import NUM_SAMPLES, Material
from tests.chaos.record import Record

SHARES = ("generation.cpus=2", "learner.cpus=3", "reward.cpus=1")
_WAIT_S = 300.0


def run_on(cluster: Cluster, material: Material, name: str, *more: str) -> tuple[RunDirectory, subprocess.Popen[str]]:
    """A run whose workers take whole CPUs, and its driver."""
    return material.run(name), launched(material.command(name, *SHARES, *more), RAY_ADDRESS=cluster.address)


def workers_on(node_id: str, run: RunDirectory) -> list[str]:
    workers = json.loads(run.workers_file.read_text())
    return [name for name, row in workers.items() if row["node_id"] == node_id]


def ended_well(driver: subprocess.Popen[str]) -> str:
    """What it said until its end."""
    said, _ = driver.communicate(timeout=_WAIT_S)
    assert driver.returncode == 0, said
    return said


def same_numbers(run: RunDirectory, undisturbed: Record) -> None:
    record = Record.of(run)
    assert list(record.differences(undisturbed)) == []
    assert list(record.misused_samples(NUM_SAMPLES)) == []


def until(driver: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    """Wait for it while the driver lives."""
    deadline = time.monotonic() + _WAIT_S
    while not happened():
        assert driver.poll() is None, driver.stdout and driver.stdout.read()
        assert time.monotonic() < deadline, f"not within {_WAIT_S:g} s"
        time.sleep(0.05)

"""A node of the cluster is lost with the generator on it, and another comes: two raylets of one machine."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from museg.runs.directory import RunDirectory
from tests.chaos.disturbed_run import launched
from tests.chaos.material import NUM_SAMPLES, Material, prepare
from tests.chaos.record import Record

SHARES = ["generation.cpus=2", "learner.cpus=3", "reward.cpus=1"]
HEAD_CPUS, OTHER_CPUS = 7, 2
"""Learner, reward workers and one generator fit the head; the other generator alone fits the other node."""
STEPS = 6
_MISSING_S = 5.0
_WAIT_S = 300.0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": HEAD_CPUS, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_goes_on_with_the_same_numbers_when_a_node_with_a_generator_is_lost_and_another_comes(
    cluster: Cluster, tmp_path: Path
) -> None:
    material = prepare(tmp_path)
    other = cluster.add_node(num_cpus=OTHER_CPUS)
    undisturbed, driver = run_on(cluster, material, "undisturbed")
    ended_well(driver)

    run, driver = run_on(cluster, material, "node-lost")
    until(driver, lambda: len(run.read_metrics()) >= 2)
    workers = json.loads(run.workers_file.read_text())
    assert [name for name, row in workers.items() if row["node_id"] == other.node_id and "generation" in name]
    cluster.remove_node(other, allow_graceful=False)
    time.sleep(_MISSING_S)
    newcomer = cluster.add_node(num_cpus=OTHER_CPUS)
    ended_well(driver)

    assert json.loads(run.summary_file.read_text())["restarts"] == 1
    assert newcomer.node_id != other.node_id
    record = Record.of(run)
    assert list(record.differences(Record.of(undisturbed))) == []
    assert list(record.misused_samples(NUM_SAMPLES)) == []


def run_on(cluster: Cluster, material: Material, name: str, *more: str) -> tuple[RunDirectory, subprocess.Popen[str]]:
    shape = [*SHARES, f"grpo.steps={STEPS}", *more]
    return material.run(name), launched(material.command(name, *shape), RAY_ADDRESS=cluster.address)


def ended_well(driver: subprocess.Popen[str]) -> None:
    said, _ = driver.communicate(timeout=_WAIT_S)
    assert driver.returncode == 0, said


def until(driver: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not happened():
        assert driver.poll() is None, driver.stdout and driver.stdout.read()
        assert time.monotonic() < deadline, f"not within {_WAIT_S:g} s"
        time.sleep(0.05)

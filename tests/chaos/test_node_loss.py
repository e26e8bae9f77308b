"""A node of the cluster is lost with the worker on it, and another comes: two raylets of one machine."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from ray.cluster_utils import Cluster

from museg.runs.directory import RunDirectory
from tests.chaos.disturbed_run import launched
from tests.chaos.material import NUM_SAMPLES, Material, prepare
from tests.chaos.record import Record

SHARES = ["generation.cpus=2", "learner.cpus=3", "reward.cpus=1"]
HEAD_CPUS, OTHER_CPUS = 7, 2
"""Learner, reward workers and one generator fit the head; the other generator alone fits the other node."""
LEARNERS = {"role": "learner"}
LEARNER_CPUS = 3
STEPS = 6
_MISSING_S = 5.0
_WAIT_S = 300.0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": HEAD_CPUS, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return prepare(tmp_path_factory.mktemp("node-loss"))


@pytest.fixture(scope="module")
def undisturbed(material: Material) -> Record:
    ended_well(launched(command(material, "undisturbed")))
    return Record.of(material.run("undisturbed"))


@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_goes_on_with_the_same_numbers_when_a_node_with_a_generator_is_lost_and_another_comes(
    cluster: Cluster, material: Material, undisturbed: Record
) -> None:
    other = cluster.add_node(num_cpus=OTHER_CPUS)
    run = material.run("generator-lost")
    driver = launched(command(material, "generator-lost"), RAY_ADDRESS=cluster.address)
    until(driver, lambda: len(run.read_metrics()) >= 2)
    assert [name for name in workers_on(other.node_id, run) if "generation" in name]
    cluster.remove_node(other, allow_graceful=False)
    time.sleep(_MISSING_S)
    newcomer = cluster.add_node(num_cpus=OTHER_CPUS)
    ended_well(driver)

    assert json.loads(run.summary_file.read_text())["restarts"] == 1
    assert newcomer.node_id != other.node_id
    same_numbers(run, undisturbed)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_whose_learner_is_lost_with_its_node_begins_again_by_itself(
    cluster: Cluster, material: Material, undisturbed: Record
) -> None:
    other = cluster.add_node(num_cpus=LEARNER_CPUS, labels=LEARNERS)
    run = material.run("learner-lost")
    labels = "learner.node_labels={role: learner}"
    driver = launched(
        command(material, "learner-lost", labels, "checkpoint.every_steps=2"), RAY_ADDRESS=cluster.address
    )
    until(driver, lambda: len(run.read_metrics()) >= 3)
    assert workers_on(other.node_id, run) == ["learner-0"]
    cluster.remove_node(other, allow_graceful=False)
    time.sleep(_MISSING_S)
    cluster.add_node(num_cpus=LEARNER_CPUS, labels=LEARNERS)
    said = ended_well(driver)

    assert "the copy of the learner's state in memory was lost with its node: the run begins again after" in said
    assert "going on after step 2 from" in said
    same_numbers(run, undisturbed)


def command(material: Material, name: str, *more: str) -> list[str]:
    return material.command(name, *SHARES, f"grpo.steps={STEPS}", *more)


def workers_on(node_id: str, run: RunDirectory) -> list[str]:
    workers = json.loads(run.workers_file.read_text())
    return [name for name, row in workers.items() if row["node_id"] == node_id]


def same_numbers(run: RunDirectory, undisturbed: Record) -> None:
    record = Record.of(run)
    assert list(record.differences(undisturbed)) == []
    assert list(record.misused_samples(NUM_SAMPLES)) == []


def ended_well(driver: subprocess.Popen[str]) -> str:
    said, _ = driver.communicate(timeout=_WAIT_S)
    assert driver.returncode == 0, said
    return said


def until(driver: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not happened():
        assert driver.poll() is None, driver.stdout and driver.stdout.read()
        assert time.monotonic() < deadline, f"not within {_WAIT_S:g} s"
        time.sleep(0.05)

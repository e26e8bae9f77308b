"""A node of the cluster is lost with the worker on it, and another comes: two raylets of one machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from ray.cluster_utils import Cluster

from tests.chaos.disturbed_run import launched
from tests.chaos.material import Material, prepare
from tests.chaos.nodes import SHARES, ended_well, run_on, same_numbers, until, workers_on
from tests.chaos.record import Record

HEAD_CPUS = 7
"""Reward workers and one generator fit it, and either the learner or the other generator."""
STEPS = "grpo.steps=6"
LEARNERS = {"role": "learner"}
_MISSING_S = 5.0


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
    ended_well(launched(material.command("undisturbed", *SHARES, STEPS)))
    return Record.of(material.run("undisturbed"))


@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_goes_on_with_the_same_numbers_when_a_node_with_a_generator_is_lost_and_another_comes(
    cluster: Cluster, material: Material, undisturbed: Record
) -> None:
    other = cluster.add_node(num_cpus=2)
    run, driver = run_on(cluster, material, "generator-lost", STEPS)
    until(driver, lambda: len(run.read_metrics()) >= 2)
    assert [name for name in workers_on(other.node_id, run) if "generation" in name]
    cluster.remove_node(other, allow_graceful=False)
    time.sleep(_MISSING_S)
    newcomer = cluster.add_node(num_cpus=2)
    ended_well(driver)

    assert json.loads(run.summary_file.read_text())["restarts"] == 1
    assert newcomer.node_id != other.node_id
    same_numbers(run, undisturbed)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_whose_learner_is_lost_with_its_node_begins_again_by_itself(
    cluster: Cluster, material: Material, undisturbed: Record
) -> None:
    other = cluster.add_node(num_cpus=3, labels=LEARNERS)
    settings = ("learner.node_labels={role: learner}", "checkpoint.every_steps=2")
    run, driver = run_on(cluster, material, "learner-lost", STEPS, *settings)
    until(driver, lambda: len(run.read_metrics()) >= 3)
    assert workers_on(other.node_id, run) == ["learner-0"]
    cluster.remove_node(other, allow_graceful=False)
    time.sleep(_MISSING_S)
    cluster.add_node(num_cpus=3, labels=LEARNERS)
    said = ended_well(driver)

    assert "the copy of the learner's state in memory was lost with its node: the run begins again after" in said
    assert "going on after step 2 from" in said
    same_numbers(run, undisturbed)

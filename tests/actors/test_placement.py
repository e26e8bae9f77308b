"""Each role finds the nodes that are labelled for it: a cluster of two raylets on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.exceptions import GetTimeoutError
from ray.util.placement_group import placement_group_table

from actors.actor_options import ActorOptions
from actors.generation import generation_options
from actors.reward.placement import reward_options
from actors.workers import learner_placement
from museg.config.schema import Config
from tests.actors.material import run_config

GENERATION, LEARNER = {"museg.io/generation": "host"}, {"museg.io/learner": "host"}


@ray.remote
class Inhabitant:
    def node(self) -> str:
        return ray.get_runtime_context().get_node_id()


@pytest.fixture(scope="module")
def node_of_role() -> Iterator[dict[str, str]]:
    """Label to the node that has it."""
    head = {"num_cpus": 4, "labels": GENERATION, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=4, labels=LEARNER)
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    yield {label: node["NodeID"] for node in ray.nodes() for label in node["Labels"] if label.startswith("museg.io/")}
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def config() -> Config:
    """Generators on one node, the learner and the reward workers on the other."""
    config = run_config(Path("unused"))
    config.learner.ranks = 2
    config.generation.node_labels = GENERATION
    config.learner.node_labels = config.reward.node_labels = LEARNER
    return config


def node_of(options: ActorOptions, *, within_s: float = 60) -> str:
    inhabitant = Inhabitant.options(**options).remote()
    node: str = ray.get(inhabitant.node.remote(), timeout=within_s)
    return node


@pytest.mark.slow
def test_each_role_lives_on_the_nodes_with_its_labels(node_of_role: dict[str, str], config: Config) -> None:
    generators = {node_of(generation_options(config, rank, "labelled")) for rank in range(2)}
    assert generators == {node_of_role["museg.io/generation"]}
    assert {node_of(reward_options(config, rank, "labelled")) for rank in range(2)} == {
        node_of_role["museg.io/learner"]
    }
    with learner_placement(config) as placement:
        ray.get(placement.ready(), timeout=60)
        assert set(placement_group_table(placement)["bundles_to_node_id"].values()) == {
            node_of_role["museg.io/learner"]
        }


@pytest.mark.slow
def test_without_labels_any_node_serves(node_of_role: dict[str, str], config: Config) -> None:
    config.reward.node_labels = {}
    config.learner.node_labels = {}
    config.learner.ranks = 6
    assert node_of(reward_options(config, 0, "anywhere")) in node_of_role.values()
    with learner_placement(config) as placement:
        ray.get(placement.ready(), timeout=60)
        assert len(set(placement_group_table(placement)["bundles_to_node_id"].values())) > 1, "six ranks of one CPU"


@pytest.mark.slow
def test_a_role_waits_for_nodes_with_its_labels(node_of_role: dict[str, str], config: Config) -> None:
    config.reward.node_labels = {"museg.io/generation": "guest"}
    with pytest.raises(GetTimeoutError):
        node_of(reward_options(config, 0, "waiting"), within_s=2)

"""Workers join a run on new nodes and leave it with them: the numbers are those of a run without."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster

from tests.chaos.material import prepare
from tests.chaos.nodes import ended_well, run_on, same_numbers, until
from tests.chaos.record import Record

HEAD_CPUS, OTHER_CPUS = 6, 3
"""Learner (3), a generator (2) and a reward worker (1) fit the head; one more of the latter two fit another node."""
MORE = [
    "generation.workers=1",
    "generation.max_workers=2",
    "reward.workers=1",
    "reward.max_workers=2",
    "grpo.steps=70",
    "checkpoint.every_steps=70",
    # A prompt at a time, so that there is always one to be taken up by who comes in the midst of a step.
    "generation.max_sequences=4",
]
PREEMPTION = 2


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": HEAD_CPUS, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


@pytest.mark.slow
@pytest.mark.thorough
def test_workers_that_join_and_leave_change_none_of_a_runs_numbers(cluster: Cluster, tmp_path: Path) -> None:
    material = prepare(tmp_path)
    undisturbed, driver = run_on(cluster, material, "undisturbed", *MORE)
    ended_well(driver)

    run, driver = run_on(cluster, material, "elastic", *MORE)
    joined_after = []
    for abruptly in (False, True):
        rows = len(run.read_metrics())
        until(driver, lambda rows=rows: len(run.read_metrics()) >= rows + 1)  # type: ignore[misc]
        node = cluster.add_node(num_cpus=OTHER_CPUS)
        until(driver, lambda: {"generation-1", "reward-1"} <= json.loads(run.workers_file.read_text()).keys())
        joined_after.append(len(run.read_metrics()))
        until(driver, lambda: len(run.read_metrics()) >= joined_after[-1] + 2)
        if not abruptly:
            deadline_ms = int((time.time() + 600) * 1000)
            GcsClient(address=cluster.address).drain_node(node.node_id, PREEMPTION, "taken away", deadline_ms)
            until(driver, lambda: "generation-1" not in json.loads(run.workers_file.read_text()))
        cluster.remove_node(node, allow_graceful=False)
    ended_well(driver)

    rows = run.read_metrics()
    for after in joined_after:
        # It has joined before or in the step after that one, and sampled in the one that followed.
        assert rows[after]["workers/generation"] == 2
        assert float(str(rows[after + 1]["idle/generation-1"])) < 1.0
    assert rows[-1]["workers/generation"] == 1
    assert json.loads(run.summary_file.read_text())["restarts"] == 0
    same_numbers(run, Record.of(undisturbed))

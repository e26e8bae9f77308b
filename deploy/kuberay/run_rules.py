"""Whether the run fits its cluster: a valid configuration, nodes for each role, and the time that a stop needs."""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.kuberay.cluster_rules import Found
from deploy.kuberay.pods import resources_of
from museg.config.loading import load_config
from museg.config.schema import Config
from museg.errors import UserError

GPU, CPU = "nvidia.com/gpu", "cpu"
_DRAIN = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
_STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What all workers of a role ask of the nodes with their labels."""

    role: str
    labels: Mapping[str, str]
    cpus: float
    gpus: float
    """Where the cluster has any."""


def demands(config: Config) -> list[Demand]:
    generation, learner, reward = config.generation, config.learner, config.reward
    return [
        Demand(
            role="generation",
            labels=generation.node_labels,
            cpus=generation.workers * generation.cpus,
            gpus=generation.workers * generation.tensor_parallel_size,
        ),
        Demand(
            role="learner", labels=learner.node_labels, cpus=learner.ranks * learner.cpus, gpus=float(learner.ranks)
        ),
        Demand(role="reward", labels=reward.node_labels, cpus=reward.workers * reward.cpus, gpus=0.0),
    ]


@functools.lru_cache(maxsize=64)
def read_run(text: str) -> Config:
    """The configuration in a manifest's ConfigMap.

    Raises:
        UserError: it can't be run.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.yaml"
        path.write_text(text)
        try:
            return load_config(path)
        except UserError as error:
            raise UserError(str(error).replace(str(path), "run.yaml")) from error


def run_problems(resource: Mapping[str, Any], config: Config) -> Found:
    job = resource["kind"] == "RayJob"
    spec = resource["spec"].get("rayClusterSpec") if job else resource["spec"]
    if spec is None:
        return
    head = spec["headGroupSpec"]
    if head.get("rayStartParams", {}).get("num-cpus") != "0":
        yield "headGroupSpec.rayStartParams", 'num-cpus must be "0": actors would land beside the driver'
    yield from ((f"run.yaml {role}", what) for role, what in _room(spec, config))
    yield from (("stopping", what) for what in _stopping(spec, resource["spec"] if job else None, config))


def _room(spec: Mapping[str, Any], config: Config) -> Iterator[tuple[str, str]]:
    groups = [group for group in spec.get("workerGroupSpecs", ()) if group["template"]["spec"].get("containers")]
    on_gpus = any(_offer(group, GPU) for group in groups)
    asked: dict[int, list[Demand]] = {}
    for demand in demands(config):
        fitting = [at for at, group in enumerate(groups) if demand.labels.items() <= group.get("labels", {}).items()]
        if not demand.labels or len(fitting) != 1:
            yield demand.role, f"node_labels {dict(demand.labels)} must lead to one group (they fit {len(fitting)})"
            continue
        asked.setdefault(fitting[0], []).append(demand)
    for at, those in asked.items():
        names = " and ".join(demand.role for demand in those)
        for what, resource, wanted in (
            ("CPUs", CPU, sum(demand.cpus for demand in those)),
            ("GPUs", GPU, sum(demand.gpus for demand in those) if on_gpus else 0.0),
        ):
            if wanted > (offered := _offer(groups[at], resource)):
                yield names, f"asks for {wanted:g} {what} and group {groups[at]['groupName']} has {offered:g} at most"


def _offer(group: Mapping[str, Any], resource: str) -> float:
    pods = float(group.get("maxReplicas", 0) * group.get("numOfHosts", 1))
    return pods * resources_of(group["template"]["spec"]["containers"][0], resource)


def _stopping(spec: Mapping[str, Any], job: Mapping[str, Any] | None, config: Config) -> Iterator[str]:
    """In order: the run's own grace, Ray's wait for the job, the pod's; and the workers outlast the run's."""
    head = spec["headGroupSpec"]["template"]["spec"]
    hook = _hook_wait_s(head)
    steps = [("recovery.grace_s", config.recovery.grace_s)]
    if job is not None:
        environment = (yaml.safe_load(job.get("runtimeEnvYAML", "{}")) or {}).get("env_vars", {})
        steps.append((_STOP_WAIT, float(environment.get(_STOP_WAIT, 3))))
    if hook is None:
        yield "the head has no preStop that waits for the run: suspend, retry and eviction would kill it"
    else:
        steps.append(("the head's preStop --wait-s", hook))
    steps.append(("the head's terminationGracePeriodSeconds", float(head.get("terminationGracePeriodSeconds", 30))))
    yield from _not_ascending(steps)
    for group in spec.get("workerGroupSpecs", ()):
        pod = group["template"]["spec"]
        drain = _environment(pod).get(_DRAIN) or "30"
        grace = float(pod.get("terminationGracePeriodSeconds", 30))
        name = group["groupName"]
        yield from _not_ascending(
            [steps[0], (f"{name}'s {_DRAIN}", float(drain)), (f"{name}'s terminationGracePeriodSeconds", grace)]
        )


def _not_ascending(steps: list[tuple[str, float]]) -> Iterator[str]:
    for (shorter, first_s), (longer, then_s) in itertools.pairwise(steps):
        if first_s >= then_s:
            yield f"{shorter} ({first_s:g} s) must be below {longer} ({then_s:g} s)"


def _hook_wait_s(head: Mapping[str, Any]) -> float | None:
    command = head["containers"][0].get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
    if not any("stop_driver.py" in word for word in command) or "--wait-s" not in command:
        return None
    return float(command[command.index("--wait-s") + 1])


def _environment(pod: Mapping[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in pod["containers"][0].get("env", ())}

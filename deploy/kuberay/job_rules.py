"""What the KubeRay operator refuses in a RayJob beyond the schema.

Restated from ValidateRayJobMetadata and ValidateRayJobSpec, ray-operator/controllers/ray/utils/validation.go of KubeRay
1.7, with its feature gates at their defaults.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from deploy.kuberay.cluster_rules import DNS_LABEL, Found, autoscales, cluster_problems

MAX_CLUSTER_NAME, MAX_JOB_NAME = 53, 47
_MODES = ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
_ORDER = ("DeleteWorkers", "DeleteCluster", "DeleteSelf")


def name_problems(name: str, longest: int) -> Found:
    if len(name) > longest:
        yield "metadata.name", f"should be no more than {longest} characters"
    if not DNS_LABEL.fullmatch(name):
        yield "metadata.name", f"should be a valid DNS1035 label (got {name!r})"


def job_problems(job: Mapping[str, Any]) -> Found:
    spec, annotations = job["spec"], job["metadata"].get("annotations", {})
    mode, retries = spec.get("submissionMode", "K8sJobMode"), spec.get("backoffLimit", 0)
    if mode not in _MODES:  # the schema has no enumeration
        yield "spec.submissionMode", f"{mode!r} is none of {', '.join(_MODES)}"
    if spec.get("suspend") and not spec.get("shutdownAfterJobFinishes"):
        yield "spec.suspend", "is not allowed with shutdownAfterJobFinishes set to false"
    yield from _deletion(spec)
    yield from _selected_cluster(spec, mode, retries)
    if mode == "InteractiveMode" and retries > 0:
        yield "spec.backoffLimit", "is incompatible with InteractiveMode"
    if mode == "SidecarMode":
        yield from _sidecar(spec)
    for field in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
        if spec.get(field, 1) <= 0:
            yield f"spec.{field}", "must be a positive integer"
    if retries < 0:
        yield "spec.backoffLimit", "must not be negative"
    yield from _runtime_env(spec)
    if "rayClusterSpec" in spec:
        cluster = spec["rayClusterSpec"]
        if cluster.get("authOptions", {}).get("enableK8sTokenAuth"):
            yield "spec.rayClusterSpec.authOptions", "Kubernetes' token authentication is not supported for RayJob"
        for field, what in cluster_problems(cluster, annotations):
            yield f"spec.rayClusterSpec.{field}", what


def _runtime_env(spec: Mapping[str, Any]) -> Found:
    try:
        environment = yaml.safe_load(spec.get("runtimeEnvYAML", "{}"))
    except yaml.YAMLError as error:
        yield "spec.runtimeEnvYAML", f"isn't YAML: {str(error).splitlines()[0]}"
        return
    if not isinstance(environment, dict):
        yield "spec.runtimeEnvYAML", "isn't a mapping"


def _selected_cluster(spec: Mapping[str, Any], mode: str, retries: int) -> Found:
    selector = spec.get("clusterSelector")
    if not selector:
        if "rayClusterSpec" not in spec:
            yield "spec", "one of rayClusterSpec or clusterSelector must be set"
        return
    if not selector.get("ray.io/cluster"):
        yield "spec.clusterSelector", "cluster name in clusterSelector should not be empty"
    if spec.get("suspend"):
        yield "spec.suspend", "the clusterSelector mode doesn't support the suspend operation"
    if mode == "SidecarMode":
        yield "spec.clusterSelector", "is not supported in SidecarMode"
    if retries > 0:
        yield "spec.backoffLimit", "is incompatible with clusterSelector mode"


def _sidecar(spec: Mapping[str, Any]) -> Found:
    for field in ("submitterPodTemplate", "submitterConfig"):
        if field in spec:
            yield f"spec.{field}", "is not supported by SidecarMode"
    head = spec.get("rayClusterSpec", {}).get("headGroupSpec", {}).get("template", {}).get("spec", {})
    if head.get("restartPolicy", "Never") != "Never":
        yield "spec.rayClusterSpec.headGroupSpec.template.spec.restartPolicy", "should be Never when using SidecarMode"


def _deletion(spec: Mapping[str, Any]) -> Found:
    shutdown, ttl_s = bool(spec.get("shutdownAfterJobFinishes")), spec.get("ttlSecondsAfterFinished", 0)
    if ttl_s < 0:
        yield "spec.ttlSecondsAfterFinished", "must be a non-negative integer"
    if ttl_s > 0 and not shutdown:
        yield "spec.ttlSecondsAfterFinished", "is not allowed with shutdownAfterJobFinishes set to false"
    strategy = spec.get("deletionStrategy")
    if strategy is None:
        return
    rules, by_outcome = strategy.get("deletionRules", []), "onSuccess" in strategy or "onFailure" in strategy
    if rules and shutdown:
        yield "spec.shutdownAfterJobFinishes", "and deletionStrategy.deletionRules are mutually exclusive"
    if rules and by_outcome:
        yield "spec.deletionStrategy", "cannot use both onSuccess/onFailure and deletionRules"
    elif by_outcome:
        yield from _by_outcome(strategy, spec, shutdown)
    elif not rules:
        yield "spec.deletionStrategy", "cannot be empty"
    else:
        yield from _rules(rules, spec)


def _by_outcome(strategy: Mapping[str, Any], spec: Mapping[str, Any], shutdown: bool) -> Found:
    policies = [strategy.get(outcome, {}).get("policy") for outcome in ("onSuccess", "onFailure")]
    if None in policies:
        yield "spec.deletionStrategy", "both onSuccess.policy and onFailure.policy must be set"
    yield from (("spec.deletionStrategy", what) for policy in policies for what in _unfit(policy, spec))
    if shutdown and "DeleteNone" in policies:
        yield "spec.deletionStrategy", "DeleteNone beside shutdownAfterJobFinishes"


def _unfit(policy: str | None, spec: Mapping[str, Any]) -> Iterator[str]:
    if spec.get("clusterSelector") and policy in ("DeleteCluster", "DeleteWorkers"):
        yield f"{policy} is not supported when clusterSelector is set"
    if policy == "DeleteWorkers" and autoscales(spec.get("rayClusterSpec", {})):
        yield "DeleteWorkers is not supported with autoscaling enabled"


def _rules(rules: list[dict[str, Any]], spec: Mapping[str, Any]) -> Found:
    ttls_s: dict[str, dict[str, int]] = {}
    for index, rule in enumerate(rules):
        where, condition, policy = f"spec.deletionStrategy.deletionRules.{index}", rule["condition"], rule["policy"]
        yield from ((where, what) for what in _unfit(policy, spec))
        state = condition.get("jobStatus") or condition.get("jobDeploymentStatus") or ""
        of_state = ttls_s.setdefault(state, {})
        if condition.get("ttlSeconds", 0) < 0:
            yield where, "ttlSeconds must be non-negative"
        if policy in of_state:
            yield where, f"duplicate rule for {policy} and {state}"
        of_state[policy] = condition.get("ttlSeconds", 0)
    for state, of_state in ttls_s.items():
        waits = [(of_state[policy], policy) for policy in _ORDER if policy in of_state]
        for (earlier_s, earlier), (later_s, later) in itertools.pairwise(waits):
            if later_s < earlier_s:
                yield (
                    "spec.deletionStrategy",
                    f"for {state}: {later} ({later_s} s) must not come before {earlier} ({earlier_s} s)",
                )

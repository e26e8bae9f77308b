"""Manifests broken on purpose, one field each: the check finds every one, for the reason that it is broken for."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.kuberay.check import Manifest, check
from deploy.kuberay.custom_resources import Definition
from tests.deploy.kuberay.conftest import Built

GONE = object()
CLUSTER = "spec rayClusterSpec"
HEAD = f"{CLUSTER} headGroupSpec"
HEAD_POD = f"{HEAD} template spec"
HEAD_RAY = f"{HEAD_POD} containers 0"
GROUP = f"{CLUSTER} workerGroupSpecs 0"
RAY = f"{GROUP} template spec containers 0"
MONITOR = "spec podMetricsEndpoints 0"

SEVEN = {"limits": {"cpu": "32", "memory": "800Gi", "nvidia.com/gpu": "7"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One field changed, taken away (GONE) or added."""

    folder: str = "job"
    kind: str = "RayJob"
    field: str
    value: Any
    found: str
    """What the check says, as a regular expression."""

    def of(self, manifests: list[Manifest]) -> list[Manifest]:
        changed = copy.deepcopy(manifests)
        holder: Any = next(manifest for manifest in changed if manifest["kind"] == self.kind)
        *path, last = (int(step) if step.isdigit() else step for step in self.field.split())
        for step in path:
            holder = holder.setdefault(step, {}) if isinstance(holder, dict) else holder[step]
        if self.value is GONE:
            del holder[last]
        elif last == "+":
            holder.append(self.value)
        else:
            holder[last] = self.value
        return changed


def rule(policy: str, status: str, ttl_s: int) -> dict[str, Any]:
    return {"policy": policy, "condition": {"jobStatus": status, "ttlSeconds": ttl_s}}


def job(field: str, value: Any, found: str) -> Mutant:
    return Mutant(field=field, value=value, found=found)


def cluster(field: str, value: Any, found: str) -> Mutant:
    return Mutant(folder="cluster", kind="RayCluster", field=field, value=value, found=found)


SCHEMA = [
    job("spec backofLimit", 3, "'backofLimit' was unexpected"),
    job("spec backoffLimit", "3", "spec.backoffLimit: '3' is not of type 'integer'"),
    job("spec suspend", "yes", "'yes' is not of type 'boolean'"),
    job(f"{CLUSTER} headGroupSpec", GONE, "'headGroupSpec' is a required property"),
    job(f"{CLUSTER} authOptions mode", "tokens", "'tokens' is not one of"),
    job(f"{GROUP} groupName", GONE, "'groupName' is a required property"),
    job(f"{GROUP} maxReplica", 2, "'maxReplica' was unexpected"),
    job(f"{HEAD_RAY} image", 7, "7 is not of type 'string'"),
    job(f"{HEAD_RAY} lifecycle prestop", {}, "'prestop' was unexpected"),
    job(f"{RAY} resources limits memory", [], r"\[\] is not of type 'integer', 'string'"),
    job(f"{HEAD_POD} volumes 0 configMaps", {}, "'configMaps' was unexpected"),
    cluster("spec autoscalerOptions version", "v3", "'v3' is not one of"),
    cluster("spec autoscalerOptions upscalingMode", "Fast", "'Fast' is not one of"),
    job("spec deletionStrategy deletionRules", [{"policy": "DeleteAll", "condition": {}}], "'DeleteAll' is not one of"),
]
EXPRESSIONS = [  # CEL
    job("spec managedBy", "somebody", "managedBy"),
    job("spec deletionStrategy", {"onSuccess": {"policy": "DeleteSelf"}}, "(?i)onsuccess"),
    job("spec deletionStrategy deletionRules", [{"policy": "DeleteSelf", "condition": {}}], "(?i)jobstatus"),
]
OPERATOR = [
    job("metadata name", "a" * 48, "no more than 47 characters"),
    job("metadata name", "8xa100", "valid DNS1035 label"),
    job("spec submissionMode", "K8SJobMode", "'K8SJobMode' is none of"),
    job("spec submissionMode", "SidecarMode", "submitterPodTemplate: is not supported by SidecarMode"),
    job("spec submissionMode", "InteractiveMode", "incompatible with InteractiveMode"),
    job("spec backoffLimit", -1, "must not be negative"),
    job("spec activeDeadlineSeconds", 0, "must be a positive integer"),
    job("spec preRunningDeadlineSeconds", -5, "less than the minimum of 1"),
    job("spec ttlSecondsAfterFinished", -1, "must be a non-negative integer"),
    job("spec shutdownAfterJobFinishes", False, "shutdownAfterJobFinishes set to false"),
    Mutant(
        folder="overlays/kueue", field="spec shutdownAfterJobFinishes", value=GONE, found="spec.suspend: is not allowed"
    ),
    job("spec rayClusterSpec", GONE, "one of rayClusterSpec or clusterSelector must be set"),
    job("spec clusterSelector", {"ray.io/cluster": "team"}, "incompatible with clusterSelector"),
    job("spec runtimeEnvYAML", "env_vars: [", "isn't YAML"),
    job("spec deletionStrategy deletionRules", [rule("DeleteSelf", "FAILED", 9)], "are mutually exclusive"),
    job(
        "spec deletionStrategy deletionRules",
        [rule("DeleteCluster", "FAILED", 60), rule("DeleteSelf", "FAILED", 9)],
        "must not come before",
    ),
    job("spec deletionStrategy deletionRules", [rule("DeleteSelf", "FAILED", 9)] * 2, "duplicate rule"),
    job(f"{CLUSTER} rayVersion", "2.51.0", "needs Ray 2.52.0 or later"),
    job(f"{CLUSTER} rayVersion", GONE, "needs Ray 2.52.0 or later"),
    job(f"{CLUSTER} authOptions enableK8sTokenAuth", True, "not supported for RayJob"),
    job(f"{CLUSTER} networkPolicy", {"mode": "DenyAll"}, "RayClusterNetworkPolicy feature gate"),
    job(f"{HEAD} resources", {"CPU": "0"}, "both rayStartParams and resources"),
    job(f"{HEAD} rayStartParams labels", "a=b", "use the group's labels field"),
    job(f"{GROUP} labels museg.io/generation", "not a label", "invalid label value"),
    job(f"{GROUP} minReplicas", 3, "minReplicas 3 is greater than maxReplicas 2"),
    job(f"{GROUP} idleTimeoutSeconds", 60, "autoscaler v2 is not enabled"),
    job(f"{GROUP} priority", 5, "autoscaler v2 is not enabled"),
    job(f"{HEAD_POD} containers", [], "should have at least one container"),
    job(f"{HEAD_RAY} env +", {"name": "RAY_REDIS_ADDRESS", "value": "r"}, "gcsFaultToleranceOptions is not"),
    job(f"{CLUSTER} gcsFaultToleranceOptions", {"backend": "rocksdb"}, "GCSFaultToleranceEmbeddedStorage"),
    cluster("spec headGroupSpec template spec restartPolicy", "Always", "Never or unset when using autoscaler v2"),
    cluster("spec workerGroupSpecs 2 suspend", True, "cannot be suspended with autoscaler enabled"),
    cluster("spec autoscalerOptions idleTimeoutSeconds", -1, "must be non-negative"),
    cluster("spec autoscalerOptions version", GONE, "autoscaler v2 is not enabled"),
]
KUBERNETES = [
    Mutant(kind="PersistentVolumeClaim", field="spec accessMode", value=[], found="accessMode"),
    Mutant(kind="NetworkPolicy", field="spec ingress 0 form", value=[], found="form"),
    Mutant(kind="NetworkPolicy", field="apiVersion", value="networking.k8s.io/v9", found="has no NetworkPolicy"),
    Mutant(kind="ServiceAccount", field="automountServiceAccountToken", value="no", found="'no' is not of type"),
    Mutant(kind="ConfigMap", field="data n", value=3, found="3 is not of type"),
]
PODS = [
    job(f"{HEAD_RAY} securityContext readOnlyRootFilesystem", False, "readOnlyRootFilesystem must be true"),
    job(f"{HEAD_RAY} securityContext capabilities", GONE, "must drop ALL"),
    job(f"{RAY} securityContext allowPrivilegeEscalation", GONE, "allowPrivilegeEscalation must be false"),
    job(f"{HEAD_POD} securityContext runAsNonRoot", False, "runs as root"),
    job("spec submitterPodTemplate spec securityContext", GONE, "runs as root"),
    job(f"{HEAD_POD} volumes 0", GONE, "mounts run, which is no volume"),
    job(f"{HEAD_POD} volumes 2 persistentVolumeClaim claimName", "clips", "needs the PersistentVolumeClaim clips"),
    job(f"{HEAD_POD} serviceAccountName", "root", "needs the ServiceAccount root"),
    job(f"{RAY} volumeMounts 0 readOnly", False, "videos is mounted writable"),
    job(f"{RAY} volumeMounts 4", GONE, "no writable /tmp"),
    job(f"{RAY} resources limits memory", "8Gi", "the request for memory"),
    job(f"{RAY} resources limits memory", "48GiB", "does not match"),
    job(f"{RAY} resources requests nvidia.com/gpu", "2", "the request for nvidia.com/gpu"),
    job(f"{GROUP} template spec volumes 5 emptyDir sizeLimit", "64Gi", "volumes in memory are larger"),
    job(f"{HEAD_POD} volumes 7 emptyDir sizeLimit", "4Gi", "object store .* doesn't fit into /dev/shm"),
    job(f"{CLUSTER} workerGroupSpecs 1 rayStartParams object-store-memory", "200000000000", "186.3 GiB. doesn't fit"),
    job(f"{GROUP} template spec volumes 5 emptyDir", {"medium": "Memory"}, "has no sizeLimit"),
    cluster("spec autoscalerOptions securityContext", {}, "autoscalerOptions: securityContext"),
    Mutant(
        folder="overlays/multi-node", kind="PodMonitor", field=f"{MONITOR} port", value="driver", found="no pod has"
    ),
    Mutant(folder="overlays/multi-node", kind="PodMonitor", field="spec selectors", value={}, found="unknown fields"),
]
RUN = [
    job(f"{HEAD} rayStartParams num-cpus", "8", "actors would land beside the driver"),
    job(f"{GROUP} labels museg.io/generation", "sampler", "must lead to one group"),
    job(f"{GROUP} maxReplicas", 1, "minReplicas 2 is greater"),
    job(
        f"{CLUSTER} workerGroupSpecs 1 template spec containers 0 resources limits",
        {"memory": "256Gi", "nvidia.com/gpu": "2"},
        "nvidia.com/gpu must be a limit, equal to the request",
    ),
    Mutant(
        kind="RayJob", folder="overlays/8xa100", field=f"{RAY} resources", value=SEVEN, found="asks for 8 GPUs .* has 7"
    ),
    job(f"{CLUSTER} workerGroupSpecs 2 template spec containers 0 resources requests cpu", "4", "asks for 16 CPUs"),
    job(f"{HEAD_RAY} lifecycle", GONE, "no preStop that waits"),
    job(f"{HEAD_POD} terminationGracePeriodSeconds", 60, "must be below the head's terminationGracePeriodSeconds"),
    job(
        f"{GROUP} template spec terminationGracePeriodSeconds",
        GONE,
        r"generation's terminationGracePeriodSeconds \(30 s",
    ),
    job(f"{RAY} env", [], r"generation's RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S \(30 s\)"),
    job("spec runtimeEnvYAML", GONE, r"RAY_JOB_STOP_WAIT_TIME_S \(3 s\)"),
    Mutant(kind="ConfigMap", field="metadata name", value="hooks", found="needs the ConfigMap museg-hooks"),
]


@pytest.mark.parametrize(
    "mutant",
    [*SCHEMA, *EXPRESSIONS, *OPERATOR, *KUBERNETES, *PODS, *RUN],
    ids=lambda mutant: f"{mutant.field.split()[-1]}-{mutant.kind}",
)
def test_the_check_finds_what_is_broken(built: Built, definitions: dict[str, Definition], mutant: Mutant) -> None:
    problems = [str(problem) for problem in check(mutant.of(built(mutant.folder)), definitions)]
    assert [problem for problem in problems if re.search(mutant.found, problem)], problems


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("learner: {ranks: 4, node_labels: {museg.io/learner: host}}", "run.yaml: "),  # no run.name
        ("run: {name: x", "isn't YAML"),
        ("learner: {rank: 4}", "unknown key 'learner.rank'"),
    ],
)
def test_a_configuration_that_cannot_be_run_is_found(
    built: Built, definitions: dict[str, Definition], line: str, found: str
) -> None:
    manifests = copy.deepcopy(built("job"))
    run = next(manifest for manifest in manifests if manifest["metadata"]["name"] == "museg-run")
    run["data"]["run.yaml"] = line
    assert [problem for problem in check(manifests, definitions) if found in problem.what]

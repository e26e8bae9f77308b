"""What the KubeRay operator refuses in a cluster's spec beyond the schema.

Restated from ValidateRayClusterSpec, ray-operator/controllers/ray/utils/validation.go of KubeRay 1.7, with its feature
gates at their defaults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Found = Iterator[tuple[str, str]]
"""Field and what is wrong with it."""

DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_RESOURCE_PARAMS = ("num-cpus", "num-gpus", "memory", "resources")
_V2 = "RAY_enable_autoscaler_v2"
_GATES = {
    "networkPolicy": "RayClusterNetworkPolicy",
    "tlsOptions": "RayClusterMTLS",
    "historyServerOptions": "RayClusterHistoryServer",
}


def version_of(text: str) -> tuple[int, ...] | None:
    match = re.fullmatch(r"v?(\d+)\.(\d+)(?:\.(\d+))?.*", text)
    return tuple(int(part or 0) for part in match.groups()) if match else None


def autoscales(spec: Mapping[str, Any]) -> bool:
    return bool(spec.get("enableInTreeAutoscaling"))


def autoscales_v2(spec: Mapping[str, Any]) -> bool:
    return bool(spec.get("autoscalerOptions", {}).get("version") == "v2")


def cluster_problems(spec: Mapping[str, Any], annotations: Mapping[str, str]) -> Found:
    head = spec["headGroupSpec"]
    if not head["template"]["spec"].get("containers"):
        yield "headGroupSpec", "headGroupSpec should have at least one container"
        return
    yield from _group("headGroupSpec", head)
    for index, group in enumerate(spec.get("workerGroupSpecs", ())):
        where = f"workerGroupSpecs.{index}"
        if not group["template"]["spec"].get("containers"):
            yield where, "workerGroupSpec should have at least one container"
            continue
        yield from _group(where, group)
        yield from _replicas(where, group, spec)
        yield from _autoscaled_group(where, group, spec)
    yield from _fault_tolerance(spec, annotations)
    yield from _autoscaler(spec)
    yield from _authentication(spec)
    for field, gate in _GATES.items():
        if field in spec:
            yield field, f"requires the {gate} feature gate, which is off by default"


def head_env(spec: Mapping[str, Any]) -> dict[str, str | None]:
    container = spec["headGroupSpec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: entry.get("value") for entry in container.get("env", ())}


def _group(where: str, group: Mapping[str, Any]) -> Found:
    params = group.get("rayStartParams", {})
    for name, value in params.items():
        if not isinstance(value, str):
            yield f"{where}.rayStartParams.{name}", f"must be a string, not {value!r}"
    if group.get("resources") and any(params.get(name) for name in _RESOURCE_PARAMS):
        yield f"{where}.resources", "resource fields should not be set in both rayStartParams and resources"
    if "labels" in params:
        yield f"{where}.rayStartParams.labels", "is not supported; use the group's labels field instead"
    for key, value in group.get("labels", {}).items():
        if not _LABEL_KEY.fullmatch(key):
            yield f"{where}.labels", f"invalid label key {key!r}"
        if len(value) > 63 or not _LABEL_VALUE.fullmatch(value):
            yield f"{where}.labels", f"invalid label value {value!r}"


def _replicas(where: str, group: Mapping[str, Any], spec: Mapping[str, Any]) -> Found:
    low, high = group.get("minReplicas"), group.get("maxReplicas")
    if not autoscales(spec) and (low is None or high is None):
        yield where, "must set both minReplicas and maxReplicas when autoscaling is disabled"
    for name, count in (("minReplicas", low), ("maxReplicas", high)):
        if count is not None and count < 0:
            yield f"{where}.{name}", f"is negative ({count})"
    if low is not None and high is not None and low > high:
        yield f"{where}.minReplicas", f"minReplicas {low} is greater than maxReplicas {high}"


def _autoscaled_group(where: str, group: Mapping[str, Any], spec: Mapping[str, Any]) -> Found:
    v2 = autoscales_v2(spec) or head_env(spec).get(_V2) in ("1", "true")
    idle_s = group.get("idleTimeoutSeconds")
    if idle_s is not None and idle_s < 0:
        yield f"{where}.idleTimeoutSeconds", f"must be non-negative, got {idle_s}"
    elif idle_s is not None and not v2:
        yield f"{where}.idleTimeoutSeconds", "is set, but autoscaler v2 is not enabled"
    if group.get("priority"):
        version = version_of(spec.get("rayVersion", ""))
        if version is None or version < (2, 56, 0):
            yield f"{where}.priority", "needs rayVersion 2.56.0 or later"
        elif not v2:
            yield f"{where}.priority", "is set, but autoscaler v2 is not enabled"
    if group.get("suspend") and autoscales(spec):
        yield f"{where}.suspend", "cannot be suspended with autoscaler enabled"


def _autoscaler(spec: Mapping[str, Any]) -> Found:
    options, environment = spec.get("autoscalerOptions", {}), head_env(spec)
    if not autoscales(spec) and environment.get(_V2) in ("1", "true"):
        yield "headGroupSpec", f"{_V2} cannot be set when enableInTreeAutoscaling is false"
    if autoscales(spec) and "version" in options and _V2 in environment:
        yield "autoscalerOptions.version", f"and head pod env var {_V2} are both set, use only the former"
    if autoscales(spec) and autoscales_v2(spec):
        groups = [("headGroupSpec", spec["headGroupSpec"])]
        groups += [(f"workerGroupSpecs.{index}", group) for index, group in enumerate(spec.get("workerGroupSpecs", ()))]
        for where, group in groups:
            if group["template"]["spec"].get("restartPolicy", "Never") != "Never":
                yield f"{where}.template.spec.restartPolicy", "should be Never or unset when using autoscaler v2"
    if options.get("idleTimeoutSeconds", 0) < 0:
        yield "autoscalerOptions.idleTimeoutSeconds", f"must be non-negative, got {options['idleTimeoutSeconds']}"
    if any(entry["name"] == "KUBERAY_GEN_AUTOSCALER_START_CMD" for entry in options.get("env", ())):
        yield "autoscalerOptions.env", "must not contain KUBERAY_GEN_AUTOSCALER_START_CMD: KubeRay sets it"


def _authentication(spec: Mapping[str, Any]) -> Found:
    options = spec.get("authOptions", {})
    by_kubernetes = bool(options.get("enableK8sTokenAuth"))
    if options.get("mode") != "token":
        if by_kubernetes:
            yield "authOptions.enableK8sTokenAuth", "is enabled but authOptions.mode is not 'token'"
        return
    version = version_of(spec.get("rayVersion", ""))
    if version is None or version < (2, 52, 0):
        yield "rayVersion", f"authOptions.mode 'token' needs Ray 2.52.0 or later (got {spec.get('rayVersion')!r})"
    elif by_kubernetes and version < (2, 55, 0):
        yield "rayVersion", "authOptions.enableK8sTokenAuth needs Ray 2.55.0 or later"
    if by_kubernetes and options.get("secretName"):
        yield "authOptions.secretName", "is set beside authOptions.enableK8sTokenAuth"


def _fault_tolerance(spec: Mapping[str, Any], annotations: Mapping[str, str]) -> Found:
    options, environment = spec.get("gcsFaultToleranceOptions"), head_env(spec)
    params = spec["headGroupSpec"].get("rayStartParams", {})
    enabled = annotations.get("ray.io/ft-enabled", "")
    if enabled and options is not None:
        yield "gcsFaultToleranceOptions", "and the ray.io/ft-enabled annotation are both set"
    if options is None and enabled.lower() != "true" and "RAY_REDIS_ADDRESS" in environment:
        yield "headGroupSpec", "RAY_REDIS_ADDRESS is set, but gcsFaultToleranceOptions is not"
    if options is not None:
        if params.get("redis-password") or {"REDIS_PASSWORD", "RAY_REDIS_ADDRESS"} & set(environment):
            yield "headGroupSpec", "Redis is configured beside gcsFaultToleranceOptions"
        if options.get("backend") == "rocksdb":
            yield (
                "gcsFaultToleranceOptions.backend",
                "'rocksdb' requires the GCSFaultToleranceEmbeddedStorage feature gate",
            )
        elif options.get("storage") is not None:
            yield "gcsFaultToleranceOptions.storage", "applies to the 'rocksdb' backend only"
    if params.get("redis-username") or "REDIS_USERNAME" in environment:
        yield "headGroupSpec", "Redis' user name belongs into gcsFaultToleranceOptions.redisUsername"

"""The pods that KubeRay will make of a manifest, and what Kubernetes or good order would refuse in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.kuberay.cluster_rules import Found

_SUFFIX = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_SUFFIX |= {f"{letter}i": 2.0 ** (10 * power) for power, letter in enumerate("KMGT", start=1)}
_READ_ONLY = ("videos", "models")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTemplate:
    """A pod template inside a custom resource."""

    field: str
    template: Mapping[str, Any]
    start_params: Mapping[str, str] | None
    """Of `ray start`; None: no Ray node lives in it."""

    @property
    def spec(self) -> Mapping[str, Any]:
        spec: Mapping[str, Any] = self.template["spec"]
        return spec

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """Of the pod's whole life; KubeRay takes the first for Ray."""
        return list(self.spec.get("containers", ()))

    def as_pod(self) -> dict[str, Any]:
        """A pod made of it, as Kubernetes will see it."""
        return {"apiVersion": "v1", "kind": "Pod", "metadata": self.template.get("metadata", {}), "spec": self.spec}


def pod_templates(resource: Mapping[str, Any]) -> list[PodTemplate]:
    """Of a RayJob or RayCluster: its head, its groups, its submitter."""
    spec, prefix = resource["spec"], "spec"
    found = []
    if resource["kind"] == "RayJob":
        if "submitterPodTemplate" in spec:
            submitter = spec["submitterPodTemplate"]
            found.append(PodTemplate(field="spec.submitterPodTemplate", template=submitter, start_params=None))
        spec, prefix = spec.get("rayClusterSpec"), "spec.rayClusterSpec"
    if spec is not None:
        groups = enumerate(spec.get("workerGroupSpecs", ()))
        nodes = [("headGroupSpec", spec["headGroupSpec"]), *((f"workerGroupSpecs.{at}", group) for at, group in groups)]
        found += [
            PodTemplate(
                field=f"{prefix}.{name}.template",
                template=node["template"],
                start_params=node.get("rayStartParams", {}),
            )
            for name, node in nodes
        ]
    return found


def quantity(text: str | int | float) -> float:
    """`500m`, `24Gi` or `8` as a number; the schema has seen to it that it is one."""
    digits = str(text).rstrip("".join(_SUFFIX))
    return float(digits) * _SUFFIX[str(text).removeprefix(digits)]


def resources_of(container: Mapping[str, Any], name: str) -> float:
    """What Ray will offer of it: the container's limit, else its request."""
    resources = container.get("resources", {})
    return quantity(resources.get("limits", {}).get(name) or resources.get("requests", {}).get(name) or 0)


def pod_problems(pod: PodTemplate, present: Mapping[str, set[str]]) -> Found:
    """`present`: kind to the names of the objects that the manifest brings."""
    volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", ())}
    for container in [*pod.spec.get("initContainers", ()), *pod.containers]:
        where = f"{pod.field} container {container['name']}"
        yield from ((where, what) for what in _mounts(container, set(volumes)))
        yield from ((where, what) for what in hardening_gaps(container.get("securityContext", {})))
        yield from ((where, what) for what in _quantities(container))
    if not pod.spec.get("securityContext", {}).get("runAsNonRoot"):
        yield pod.field, "runs as root: securityContext.runAsNonRoot must be true"
    for container in pod.containers:
        for mount in container.get("volumeMounts", ()):
            if mount["name"] in _READ_ONLY and not mount.get("readOnly"):
                yield pod.field, f"{mount['name']} is mounted writable: a run only reads it"
    yield from ((pod.field, what) for what in _absent(pod, list(volumes.values()), present))
    yield from ((pod.field, what) for what in _shared_memory(pod))


def _shared_memory(pod: PodTemplate) -> Iterator[str]:
    memory = sum(resources_of(container, "memory") for container in pod.containers)
    volumes = [v["emptyDir"] for v in pod.spec.get("volumes", ()) if v.get("emptyDir", {}).get("medium") == "Memory"]
    if any("sizeLimit" not in volume for volume in volumes):
        yield "a volume in memory has no sizeLimit"
        return
    shared = sum(quantity(volume["sizeLimit"]) for volume in volumes)
    if shared > memory:
        yield f"volumes in memory are larger than the pod's {memory / 2**30:g} GiB, which they count as"
    if pod.start_params is not None and (store := _object_store(pod.start_params, memory, shared)) > shared:
        yield f"Ray's object store ({store / 2**30:.1f} GiB) doesn't fit into /dev/shm and would lie on disk"


def _object_store(start_params: Mapping[str, str], memory: float, shared: float) -> float:
    """Bytes, as `ray start` decides (resolve_object_store_memory in ray/_private/utils.py)."""
    given = start_params.get("object-store-memory")
    return float(given) if given else min(0.3 * memory, 200e9, max(1e10, 0.95 * shared))


def _mounts(container: Mapping[str, Any], volumes: set[str]) -> Iterator[str]:
    paths = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
    for mount in container.get("volumeMounts", ()):
        if mount["name"] not in volumes:
            yield f"mounts {mount['name']}, which is no volume of the pod"
    if len(paths) != len(set(paths)):
        yield "mounts two volumes at one path"
    if not {"/tmp", "/home/museg"} <= set(paths):
        yield "has no writable /tmp and /home/museg, which a read-only root file system needs"


def hardening_gaps(security: Mapping[str, Any]) -> Iterator[str]:
    """What Kubernetes' `restricted` level asks of a container, and a root file system that can't be written."""
    if security.get("allowPrivilegeEscalation") is not False:
        yield "securityContext.allowPrivilegeEscalation must be false"
    if security.get("readOnlyRootFilesystem") is not True:
        yield "securityContext.readOnlyRootFilesystem must be true"
    if security.get("capabilities", {}).get("drop") != ["ALL"] or "add" in security.get("capabilities", {}):
        yield "securityContext.capabilities must drop ALL and add none"
    if security.get("privileged"):
        yield "securityContext.privileged must not be true"


def _quantities(container: Mapping[str, Any]) -> Iterator[str]:
    requests, limits = (container.get("resources", {}).get(part, {}) for part in ("requests", "limits"))
    for name in requests.keys() & limits.keys():
        if quantity(requests[name]) > quantity(limits[name]):
            yield f"resources: the request for {name} ({requests[name]}) is above its limit ({limits[name]})"
    if "nvidia.com/gpu" in requests and limits.get("nvidia.com/gpu") != requests["nvidia.com/gpu"]:
        yield "resources: nvidia.com/gpu must be a limit, equal to the request"
    if "memory" not in limits:
        yield "resources: memory has no limit, which Ray takes the node's memory from"


def _absent(pod: PodTemplate, volumes: Sequence[Mapping[str, Any]], present: Mapping[str, set[str]]) -> Iterator[str]:
    wanted = [("ServiceAccount", pod.spec.get("serviceAccountName"))]
    for volume in volumes:
        wanted.append(("ConfigMap", volume.get("configMap", {}).get("name")))
        wanted.append(("PersistentVolumeClaim", volume.get("persistentVolumeClaim", {}).get("claimName")))
    for kind, name in wanted:
        if name is not None and name not in present.get(kind, set()):
            yield f"needs the {kind} {name}, which the manifest doesn't bring"

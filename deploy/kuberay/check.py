"""Checks built manifests without a cluster.

    python -m deploy.kuberay.check --definitions DIR [FOLDER …]

DIR holds KubeRay's ray.io_rayjobs.yaml and ray.io_rayclusters.yaml (ray-operator/config/crd/bases of its release). Each
FOLDER (by default all that this project brings) is built by `kubectl kustomize`. Exit codes: 0 sound, 1 problems, one a
line, 2 the check itself can't run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy.kuberay.cluster_rules import cluster_problems
from deploy.kuberay.custom_resources import (
    FILES,
    GROUP,
    VERSION,
    Definition,
    read_definitions,
    schema_problems,
    with_defaults,
)
from deploy.kuberay.job_rules import MAX_CLUSTER_NAME, MAX_JOB_NAME, job_problems, name_problems
from deploy.kuberay.kubernetes_objects import object_problems
from deploy.kuberay.pods import hardening_gaps, pod_problems, pod_templates
from deploy.kuberay.problem import Problem
from deploy.kuberay.run_rules import read_run, run_problems
from museg.errors import UserError

Manifest = dict[str, Any]
HERE = Path(__file__).parent
RUN = ("museg-run", "run.yaml")
_UNDEFINED = ("monitoring.coreos.com/v1",)
"""API versions of other operators, whose definitions aren't at hand: fields beyond those in use are refused."""


def shipped() -> list[Path]:
    """Every folder of this project that can be applied."""
    return [HERE / "job", HERE / "cluster", *sorted(path for path in (HERE / "overlays").iterdir())]


def build(folder: Path) -> list[Manifest]:
    """What `kubectl kustomize` makes of a folder.

    Raises:
        UserError: kubectl is missing or refuses it.
    """
    try:
        done = subprocess.run(
            ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError as error:
        raise UserError(
            "kubectl isn't installed: it builds the manifests (Debian: apt install kubernetes-client)"
        ) from error
    if done.returncode != 0:
        raise UserError(f"kubectl kustomize {folder}: {' '.join(done.stderr.split())[:400]}")
    return list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))


def check(manifests: Sequence[Manifest], definitions: dict[str, Definition]) -> list[Problem]:
    """Everything that is wrong with what is applied together."""
    present: dict[str, set[str]] = {}
    for manifest in manifests:
        present.setdefault(manifest["kind"], set()).add(manifest["metadata"]["name"])
    found: list[Problem] = []
    for manifest in manifests:
        if manifest["apiVersion"] in _UNDEFINED:
            found += _monitor_problems(manifest, manifests)
        elif manifest["apiVersion"] == f"{GROUP}/{VERSION}" and manifest["kind"] in FILES:
            found += _ray_problems(manifest, manifests, definitions[manifest["kind"]], present)
        else:
            found += object_problems(manifest, f"{manifest['kind']}/{manifest['metadata']['name']}")
    return found


def _ray_problems(
    manifest: Manifest, manifests: Sequence[Manifest], definition: Definition, present: dict[str, set[str]]
) -> list[Problem]:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    where = f"{kind}/{name}"
    stored = with_defaults(manifest, definition.openapi)
    if by_schema := list(schema_problems(where, stored, definition)):
        return by_schema  # the rules below read what the schema promises
    found = list(name_problems(name, MAX_JOB_NAME if kind == "RayJob" else MAX_CLUSTER_NAME))
    if kind == "RayJob":
        found += job_problems(stored)
    else:
        annotations = manifest["metadata"].get("annotations", {})
        found += [(f"spec.{field}", what) for field, what in cluster_problems(stored["spec"], annotations)]
        if options := stored["spec"].get("autoscalerOptions"):
            gaps = hardening_gaps(options.get("securityContext", {}))
            found += [("spec.autoscalerOptions", what) for what in gaps]
    problems: list[Problem] = []
    for pod in pod_templates(stored):
        problems += object_problems(pod.as_pod(), f"{where} {pod.field}")
        found += pod_problems(pod, present)
    if not (problems or found):  # what the run needs is looked for in a sound cluster
        found += _of_the_run(stored, manifests)
    return [*problems, *(Problem(where=f"{where} {field}", what=what) for field, what in found)]


def _of_the_run(stored: Manifest, manifests: Sequence[Manifest]) -> list[tuple[str, str]]:
    config_map, key = RUN
    texts = [m["data"].get(key) for m in manifests if m["kind"] == "ConfigMap" and m["metadata"]["name"] == config_map]
    if texts == [] or texts[0] is None:
        return [(f"ConfigMap/{config_map}", f"has no {key}, which the job is made of")]
    try:
        return list(run_problems(stored, read_run(texts[0])))
    except UserError as error:
        return [(f"ConfigMap/{config_map}", str(error))]


def _monitor_problems(monitor: Manifest, manifests: Sequence[Manifest]) -> Iterator[Problem]:
    """A PodMonitor's definition isn't at hand; that it names ports which pods have can be known."""
    where = f"{monitor['kind']}/{monitor['metadata']['name']}"
    pods = [pod for manifest in manifests if manifest["kind"] in FILES for pod in pod_templates(manifest)]
    ports = {port["name"] for pod in pods for container in pod.containers for port in container.get("ports", ())}
    for endpoint in monitor["spec"]["podMetricsEndpoints"]:
        if endpoint["port"] not in ports:
            yield Problem(where=where, what=f"scrapes port {endpoint['port']}, which no pod has")
        if unknown := endpoint.keys() - {"port", "interval", "path", "relabelings", "scheme", "scrapeTimeout"}:
            yield Problem(where=where, what=f"unknown fields of an endpoint: {', '.join(sorted(unknown))}")
    if unknown := monitor["spec"].keys() - {"selector", "podMetricsEndpoints", "namespaceSelector", "jobLabel"}:
        yield Problem(where=where, what=f"unknown fields: {', '.join(sorted(unknown))}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check manifests for KubeRay without a cluster.")
    parser.add_argument("--definitions", type=Path, required=True, help="folder of KubeRay's ray.io_*.yaml")
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="default: all that this project brings")
    args = parser.parse_args(argv)
    try:
        definitions = read_definitions(args.definitions)
        found = {folder: check(build(folder), definitions) for folder in args.folders or shipped()}
    except FileNotFoundError as error:
        print(
            f"check: {error.filename} is missing: --definitions names the folder of KubeRay's definitions",
            file=sys.stderr,
        )
        return 2
    except UserError as error:
        print(f"check: {error}", file=sys.stderr)
        return 2
    for folder, problems in found.items():
        print(f"{folder}: {f'{len(problems)} problems' if problems else 'sound'}")
        for problem in problems:
            print(f"  {problem}")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

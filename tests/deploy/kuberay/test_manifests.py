"""What is shipped for Kubernetes is sound, and says what it should."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from deploy.kuberay.check import HERE, check, main, shipped
from deploy.kuberay.custom_resources import Definition
from deploy.kuberay.pods import pod_templates
from tests.deploy.kuberay.conftest import Built

FOLDERS = [str(path.relative_to(HERE)) for path in shipped()]
OVERLAYS = ("cpu-demo", "8xa100", "multi-node", "kueue", "volcano")


def the(kind: str, manifests: list[dict[str, Any]]) -> dict[str, Any]:
    (only,) = (manifest for manifest in manifests if manifest["kind"] == kind)
    return only


def test_every_folder_with_a_kustomization_is_checked_or_part_of_one_that_is() -> None:
    parts = {"base", "job/copied", "components/monitoring"}
    found = {str(path.parent.relative_to(HERE)) for path in HERE.rglob("kustomization.yaml")}
    assert found == {*FOLDERS, *parts}
    assert {f"overlays/{name}" for name in OVERLAYS} <= found


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_is_sound(built: Built, definitions: dict[str, Definition], folder: str) -> None:
    assert [str(problem) for problem in check(built(folder), definitions)] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_job_brings_no_cluster_and_a_cluster_no_job(built: Built, folder: str) -> None:
    kinds = {manifest["kind"] for manifest in built(folder)} & {"RayJob", "RayCluster"}
    assert kinds == ({"RayCluster"} if folder == "cluster" else {"RayJob"})


@pytest.mark.parametrize("folder", FOLDERS)
def test_all_pods_run_one_image(built: Built, folder: str) -> None:
    images = set()
    for manifest in built(folder):
        if manifest["kind"] in ("RayJob", "RayCluster"):
            for pod in pod_templates(manifest):
                containers = [*pod.spec.get("initContainers", ()), *pod.containers]
                images |= {container["image"] for container in containers}
    assert images == {"registry.example/museg:cpu" if folder == "overlays/cpu-demo" else "registry.example/museg:cuda"}


def test_kueue_finds_the_job_suspended_and_in_its_queue(built: Built) -> None:
    job = the("RayJob", built("overlays/kueue"))
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "museg"
    assert job["spec"]["suspend"] is True
    assert "enableInTreeAutoscaling" not in job["spec"]["rayClusterSpec"], "Kueue admits no autoscaling job"


def test_volcano_finds_the_job_in_its_queue(built: Built) -> None:
    assert the("RayJob", built("overlays/volcano"))["metadata"]["labels"]["volcano.sh/queue-name"] == "museg"


def test_the_team_cluster_scales_all_groups_but_the_learner(built: Built) -> None:
    spec = the("RayCluster", built("cluster"))["spec"]
    bounds = {group["groupName"]: (group["minReplicas"], group["maxReplicas"]) for group in spec["workerGroupSpecs"]}
    assert bounds == {"generation": (1, 16), "learner": (1, 1), "reward": (1, 8)}
    assert spec["autoscalerOptions"]["version"] == "v2"


def test_the_demo_needs_no_gpu(built: Built) -> None:
    pods = pod_templates(the("RayJob", built("overlays/cpu-demo")))
    resources = [c.get("resources", {}) for pod in pods for c in [*pod.containers, *pod.spec.get("initContainers", ())]]
    assert [r for r in resources if "nvidia.com/gpu" in {**r.get("requests", {}), **r.get("limits", {})}] == []


def test_the_check_names_what_it_misses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--definitions", str(tmp_path)]) == 2
    assert "ray.io_rayjobs.yaml is missing: --definitions names the folder" in capsys.readouterr().err


def test_the_check_says_why_a_folder_cannot_be_built(
    tmp_path: Path, definitions_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl isn't installed (Debian: kubernetes-client)")
    assert main(["--definitions", str(definitions_folder), str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"check: kubectl kustomize {tmp_path}: ")


def test_the_check_reports_by_folder(
    definitions_folder: Path, built: Built, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--definitions", str(definitions_folder), str(HERE / "overlays" / "kueue")]) == 0
    assert capsys.readouterr().out == f"{HERE / 'overlays' / 'kueue'}: sound\n"

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import yaml
from ray.job_submission import JobStatus, JobSubmissionClient

from deploy.kuberay.check import build
from tests.chromium import chromium
from tests.end_to_end.conftest import REPOSITORY, Workplace

pytestmark = pytest.mark.slow
T = TypeVar("T")
TOKEN = secrets.token_hex(32)
AUTHENTICATION = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
GCS_PORT, DASHBOARD_PORT, AGENT_PORT = 26379, 28265, 28365
DEPLOYED = REPOSITORY / "deploy" / "kuberay"
STOPPABLE = """
import asyncio, ray
from actors.stopping import StopSignal

async def main():
    ray.init(log_to_driver=False)
    stop = StopSignal(print, grace_s=30)
    stop.install()
    print("at work", flush=True)
    while not stop.requested:
        await asyncio.sleep(0.1)
    await asyncio.sleep(3)
    print("checkpoint written", flush=True)

asyncio.run(main())
raise SystemExit(130)
"""


@pytest.fixture(scope="module")
def in_the_pod(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like /museg in a pod of the overlay cpu-demo: its volumes are the workplace's folders."""
    folder = tmp_path_factory.mktemp("museg")
    for volume, source in {"videos": workplace.data, "models": workplace.model}.items():
        (folder / volume).mkdir()
        (folder / volume / "demo").symlink_to(source)
    workplace.runs.mkdir(exist_ok=True)
    (folder / "runs").symlink_to(workplace.runs)
    (folder / "job").mkdir()
    return folder


@pytest.fixture(scope="module")
def ray_head(in_the_pod: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Ray head of its own, blocking in a child process, so that stopping it stops no other.

    It has the labels of all three groups of workers, so that each role may live on it.
    """
    folder = Path("/tmp") / f"museg-ray-{tmp_path_factory.getbasetemp().name}"
    ray = str(Path(sys.executable).with_name("ray"))
    ports = [f"--port={GCS_PORT}", f"--dashboard-port={DASHBOARD_PORT}", f"--temp-dir={folder}"]
    ports.append(f"--dashboard-agent-listen-port={AGENT_PORT}")
    labels = ",".join(f"museg.io/{role}=host" for role in ("generation", "learner", "reward"))
    environment = {**os.environ, **AUTHENTICATION, "PYTHONPATH": str(REPOSITORY)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    command = [ray, "start", "--head", "--block", "--num-cpus=3", "--disable-usage-stats", f"--labels={labels}", *ports]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    head = subprocess.Popen(command, env=environment, cwd=in_the_pod, **quiet)
    yield f"http://127.0.0.1:{DASHBOARD_PORT}"
    head.terminate()
    head.wait(timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


def once_up(call: Callable[[], T]) -> T:
    """The head's processes come up one after the other, the node's agent last."""
    deadline = time.monotonic() + 90
    while True:
        try:
            return call()
        except (ConnectionError, urllib.error.URLError):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def connected(address: str) -> JobSubmissionClient:
    return once_up(lambda: JobSubmissionClient(address, headers={"Authorization": f"Bearer {TOKEN}"}))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/jobs/"),  # CVE-2023-48022: a job is any command
        ("GET", "/api/jobs/"),
        ("POST", "/api/jobs/x/stop"),
        ("DELETE", "/api/jobs/x"),  # CVE-2026-27482
        ("PUT", "/api/packages/gcs/x.zip"),
        ("DELETE", "/api/serve/applications/"),
        ("GET", "/logical/actors"),
        ("GET", "/api/v0/logs"),
    ],
)
def test_the_dashboard_refuses_whoever_has_no_token(ray_head: str, method: str, path: str) -> None:
    connected(ray_head)
    assert status(ray_head, method, path) == 401
    assert status(ray_head, method, path, Authorization=f"Bearer {secrets.token_hex(32)}") == 403


def test_the_dashboard_obeys_the_token_but_no_browser(ray_head: str) -> None:
    connected(ray_head)
    token = {"Authorization": f"Bearer {TOKEN}"}
    assert status(ray_head, "GET", "/api/jobs/", **token) == 200
    # CVE-2025-62593: a page that an operator opens reaches the dashboard through the operator's browser.
    for method, path in (("POST", "/api/jobs/"), ("DELETE", "/api/jobs/x")):
        assert status(ray_head, method, path, **token, **{"User-Agent": "Mozilla/5.0"}) == 405
        assert status(ray_head, method, path, **token, Origin="http://evil.example") == 405


def test_the_dashboard_is_on_loopback_alone(ray_head: str) -> None:
    connected(ray_head)
    sockets = "".join(Path(f"/proc/net/{table}").read_text() for table in ("tcp", "tcp6"))
    listening = [line.split()[1] for line in sockets.splitlines()]
    hosts = {place.partition(":")[0] for place in listening if place.endswith(f":{DASHBOARD_PORT:04X}")}
    assert "0100007F" in hosts, "127.0.0.1"
    assert not {"0" * 8, "0" * 32} & hosts, "every interface"


def status(address: str, method: str, path: str, **headers: str) -> int:
    body = json.dumps({"entrypoint": "true"}).encode() if method == "POST" else None
    request = urllib.request.Request(address + path, method=method, headers=headers, data=body)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def demo(ray_head: str, in_the_pod: Path) -> str:
    """The submission id of the overlay cpu-demo's job, which has ended."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which builds the manifests, isn't installed (Debian: kubernetes-client)")
    manifests = {(m["kind"], m["metadata"]["name"]): m for m in build(DEPLOYED / "overlays" / "cpu-demo")}
    (in_the_pod / "job" / "run.yaml").write_text(manifests["ConfigMap", "museg-run"]["data"]["run.yaml"])
    spec = manifests["RayJob", "museg"]["spec"]
    client = connected(ray_head)
    job: str = client.submit_job(
        entrypoint=spec["entrypoint"],
        runtime_env=yaml.safe_load(spec["runtimeEnvYAML"]),
        submission_id="demo-1",
        metadata={"job_name": "demo"},
    )
    deadline = time.monotonic() + 400
    while not client.get_job_status(job).is_terminal():
        assert time.monotonic() < deadline, client.get_job_logs(job)
        time.sleep(1)
    return job


def test_the_demo_for_kubernetes_succeeds_as_a_job_whose_entrypoint_is_the_manifests(
    ray_head: str, demo: str, workplace: Workplace
) -> None:
    client = connected(ray_head)
    logs = client.get_job_logs(demo)
    assert client.get_job_status(demo) == JobStatus.SUCCEEDED, logs
    assert all(f"[demo] step {step}/10" in logs for step in (1, 2, 10))
    assert workplace.summary("demo")["status"] == "completed"


def test_a_browser_with_the_token_sees_the_run_and_its_named_actors(ray_head: str, demo: str) -> None:
    with chromium() as browser:
        context = browser.new_context(base_url=ray_head, viewport={"width": 1400, "height": 900})
        token = {"Authorization": f"Bearer {TOKEN}", "User-Agent": "museg"}
        assert context.request.post("/api/authenticate", headers=token).ok
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto("/#/jobs")
        page.get_by_text(demo).first.wait_for()
        page.goto("/#/actors")
        for name in ("generation-0", "learner-0", "reward-0"):
            page.get_by_text(f"museg/demo/{name}").first.wait_for()
        stranger = browser.new_context(base_url=ray_head)
        assert stranger.request.get("/logical/actors").status == 401


def a_stoppable_job(client: JobSubmissionClient, folder: Path) -> str:
    """At work, with a driver that needs three seconds to end once it was told to."""
    (folder / "driver.py").write_text(STOPPABLE)
    waits = {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "30"}}
    job: str = client.submit_job(entrypoint=f"python {folder / 'driver.py'}", runtime_env=waits)
    deadline = time.monotonic() + 60
    while "at work" not in client.get_job_logs(job):
        assert time.monotonic() < deadline, client.get_job_logs(job)
        time.sleep(0.2)
    return job


def head_pod_ends(address: str) -> subprocess.CompletedProcess[str]:
    hook = [sys.executable, str(DEPLOYED / "base" / "stop_driver.py"), "--address", address, "--wait-s", "60"]
    return subprocess.run(hook, env={**os.environ, **AUTHENTICATION}, capture_output=True, text=True, timeout=90)


def test_the_end_of_the_head_pod_lets_the_driver_write_its_checkpoint_and_fail(ray_head: str, tmp_path: Path) -> None:
    """Failed: KubeRay's backoffLimit then brings a new cluster. A job stopped through Ray would count as complete."""
    client = connected(ray_head)
    job = a_stoppable_job(client, tmp_path)
    done = head_pod_ends(ray_head)
    assert done.returncode == 0, done.stderr
    assert "checkpoint written" in client.get_job_logs(job)
    assert client.get_job_status(job) == JobStatus.FAILED
    assert client.get_job_info(job).driver_exit_code == 130


def test_a_driver_that_was_told_to_stop_before_is_waited_for_and_not_told_again(ray_head: str, tmp_path: Path) -> None:
    """As when a RayJob is deleted: KubeRay stops its job, then deletes the pods."""
    client = connected(ray_head)
    job = a_stoppable_job(client, tmp_path)
    client.stop_job(job)
    time.sleep(1)
    done = head_pod_ends(ray_head)
    assert done.returncode == 0, done.stderr
    assert "checkpoint written" in client.get_job_logs(job)
    assert client.get_job_status(job) == JobStatus.STOPPED


def test_the_probes_of_the_pods_need_no_token(ray_head: str) -> None:
    connected(ray_head)
    agent = f"http://127.0.0.1:{AGENT_PORT}"
    assert once_up(lambda: status(agent, "GET", "/api/healthz")) == 200
    assert "path: /api/healthz" in (DEPLOYED / "base" / "nodes.yaml").read_text()

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
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.job_submission import JobStatus, JobSubmissionClient

from tests.end_to_end.conftest import QUICKSTART, REPOSITORY, Workplace

pytestmark = pytest.mark.slow
TOKEN = secrets.token_hex(32)
GCS_PORT, DASHBOARD_PORT = 26379, 28265


@pytest.fixture(scope="module")
def ray_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Ray head of its own, blocking in a child process, so that stopping it stops no other."""
    folder = Path("/tmp") / f"museg-ray-{tmp_path_factory.getbasetemp().name}"
    ray = str(Path(sys.executable).with_name("ray"))
    ports = [f"--port={GCS_PORT}", f"--dashboard-port={DASHBOARD_PORT}", f"--temp-dir={folder}"]
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    command = [ray, "start", "--head", "--block", "--num-cpus=2", "--disable-usage-stats", *ports]
    head = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    yield f"http://127.0.0.1:{DASHBOARD_PORT}"
    head.terminate()
    head.wait(timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


def connected(address: str) -> JobSubmissionClient:
    deadline = time.monotonic() + 90
    while True:
        try:
            return JobSubmissionClient(address, headers={"Authorization": f"Bearer {TOKEN}"})
        except ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


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


def test_the_shortened_quickstart_succeeds_as_a_submitted_job(ray_head: str, workplace: Workplace) -> None:
    client = connected(ray_head)
    arguments = [str(QUICKSTART), *workplace.overrides("job", "data.eval=null")]
    job = client.submit_job(
        entrypoint=" ".join([sys.executable, "-m", "museg", "train", *arguments]),
        runtime_env={"working_dir": str(REPOSITORY / "configs")},
    )
    deadline = time.monotonic() + 400
    while not (status := client.get_job_status(job)).is_terminal():
        assert time.monotonic() < deadline, client.get_job_logs(job)
        time.sleep(1)
    logs = client.get_job_logs(job)
    assert status == JobStatus.SUCCEEDED, logs
    assert all(f"[job] step {step}/3" in logs for step in (1, 2, 3))
    assert workplace.summary("job")["status"] == "completed"

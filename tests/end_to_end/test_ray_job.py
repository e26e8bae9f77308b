from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.job_submission import JobStatus, JobSubmissionClient

from tests.end_to_end.conftest import QUICKSTART, REPOSITORY, Workplace

pytestmark = pytest.mark.slow
TOKEN = secrets.token_hex(32)
GCS_PORT, DASHBOARD_PORT = 26379, 28265


@pytest.fixture
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

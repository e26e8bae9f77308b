"""preStop of the head pod: lets the run that is driven from here end in good order, and waits for it.

KubeRay stops a job when its RayJob is deleted, but not before it suspends it (Kueue), tries it again, or Kubernetes
evicts the pod. The driver is sent SIGTERM itself, since a job that is stopped through Ray counts as complete, while one
whose driver exits with 130 has failed, so that `backoffLimit` starts it again and the run goes on. A driver that no
longer catches SIGTERM was told before: a second one would end it at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from ray.job_submission import DriverInfo, JobStatus, JobSubmissionClient
from ray.util import get_node_ip_address

POLL_S = 1.0


def running_jobs(client: JobSubmissionClient) -> dict[str, DriverInfo | None]:
    """Job to its driver, which is known once it has joined the cluster."""
    jobs = [job for job in client.list_jobs() if job.status == JobStatus.RUNNING]
    return {job.submission_id: job.driver_info for job in jobs if job.submission_id is not None}


def catches_sigterm(pid: int) -> bool:
    """Whether this process handles SIGTERM; False where there is no such process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def main() -> int:
    parser = argparse.ArgumentParser(description="Send SIGTERM to the drivers of this pod's jobs; wait for their end.")
    parser.add_argument("--address", default="http://127.0.0.1:8265", help="of Ray's dashboard")
    parser.add_argument("--wait-s", type=float, required=True, help="longest wait, below the pod's grace period")
    args = parser.parse_args()
    deadline = time.monotonic() + args.wait_s
    client, here = JobSubmissionClient(args.address), get_node_ip_address()
    told: set[str] = set()
    while jobs := running_jobs(client):
        for job, driver in jobs.items():
            if driver is not None and job not in told:
                told.add(job)
                if driver.node_ip_address != here:  # submitted with --entrypoint-num-cpus
                    client.stop_job(job)
                elif catches_sigterm(int(driver.pid)):
                    os.kill(int(driver.pid), signal.SIGTERM)
        if time.monotonic() > deadline:
            print(f"still running after {args.wait_s:g} s: {', '.join(jobs)}", file=sys.stderr)
            return 1
        time.sleep(POLL_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())

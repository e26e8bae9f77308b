"""A Ray of this machine's own, for a run that no cluster was given."""

from __future__ import annotations

import os
from collections.abc import Mapping

import psutil
import ray

from museg.errors import FaultError

_TRIES = 3
_START_S = 30
"""What Ray gives its raylet to come up, and has no option for."""
_VITAL = ("gcs_server", "raylet")
_TIMED_OUT = "timed out during startup"
_SETTINGS: Mapping[str, int] = {
    # Nobody reads the history of calls, which is the dashboard's: it grows with every step, and a third of what a call
    # costs the driver goes into it.
    "task_events_report_interval_ms": 0,
    # Of each that dies Ray keeps its arguments and more: by default of 100,000 actors and of 1,000 processes.
    "maximum_gcs_destroyed_actor_cached_count": 16,
    "maximum_gcs_dead_worker_cached_count": 16,
}
"""Of Ray's own."""
_ENVIRONMENT: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # What workers print goes to their files alone. Ray would look into all of these ten times a second, those of the
    # dead too, for drivers that want to print it.
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
    "LOG_NAME_UPDATE_INTERVAL_S": "inf",
    # Processor and memory of all processes, for Prometheus, which asks as often.
    "REPORTER_UPDATE_INTERVAL_MS": "15000",
    # The allocator of Ray's own processes: by default what they use spreads over a few arenas for each processor, a
    # little more with each worker that dies. (Ray lets settings through for those alone that it is to profile.)
    "RAY_JEMALLOC_PROFILE": "gcs_server,raylet",
    "RAY_JEMALLOC_CONF": "narenas:1,dirty_decay_ms:1000,muzzy_decay_ms:0",
}
"""What Ray's own processes read."""


def start_local_ray(num_cpus: int) -> None:
    """Start it without a dashboard; `ray.shutdown()` ends it.

    A machine that is busy, for instance with what a killed run leaves behind, may need longer than Ray waits: what has
    come up by then is ended, and Ray started anew.

    Raises:
        FaultError: it never came up in time.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    before = set(psutil.Process().children(recursive=True))
    for _ in range(_TRIES):
        try:
            ray.init(
                address="local",
                num_cpus=num_cpus,
                include_dashboard=False,
                log_to_driver=False,
                namespace="museg",
                configure_logging=False,
                _system_config=_SETTINGS,
            )
            return
        except Exception as error:
            # Ray has no narrower class for it.
            if _TIMED_OUT not in str(error):
                raise
            _end(set(psutil.Process().children(recursive=True)) - before)
    raise FaultError(
        f"Ray didn't come up on this machine within {_START_S} s, {_TRIES} times: the machine is overloaded (see "
        "`uptime`), or /tmp/ray/session_latest/logs says why; the same command tries again"
    )


class LocalRay:
    """The processes without which a local Ray is none; a raylet ends with either of its agents.

    They are this process's children.
    """

    def __init__(self) -> None:
        self._vital = [child for child in psutil.Process().children() if _living_name(child) in _VITAL]

    @property
    def lives(self) -> bool:
        return set(_VITAL) <= set(map(_living_name, self._vital))


def _living_name(process: psutil.Process) -> str | None:
    """None: it has ended."""
    try:
        ended = not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        return None if ended else str(process.name())
    except psutil.NoSuchProcess:
        return None


def _end(processes: set[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=10)

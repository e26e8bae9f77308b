"""The Ray cluster of a run: the one it was submitted to, or a local one that lives as long as the run."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from actors.local_ray import start_local_ray
from museg.config.schema import Config
from museg.errors import ConfigError
from museg.interruption import uninterrupted
from museg.runs.directory import RunDirectory

_LISTENER_S = 10.0
_JOBS_FOLDER = "/working_dir_files/_ray_pkg_"
"""In the path of what `ray job submit --working-dir` unpacks."""


@contextmanager
def ray_session(config: Config) -> Iterator[None]:
    """The cluster of `RAY_ADDRESS` (which `ray job submit` sets), or a local Ray that is stopped at the end.

    The local one has no dashboard, and Ray, which listens on every interface, obeys only those who know its token: by
    default since 2.60, in ~/.ray/auth_token.

    Raises:
        ConfigError: no cluster that obeys answers at `RAY_ADDRESS`.
        FaultError: the local one doesn't come up.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        _join(config)
        # What has been imported stays. Without it, a collection is so rare and so slow that references to Ray's objects
        # in what a fault leaves behind would keep these for long; how rare follows from what the last one found.
        gc.freeze()
        gc.collect()
        yield
    except SystemExit as end:
        # SIGTERM within `ray.init`, which has put a handler of its own.
        if end.code != signal.SIGTERM:
            raise
        raise KeyboardInterrupt from end
    finally:
        with uninterrupted():
            ray.shutdown()
        signal.signal(signal.SIGTERM, on_sigterm)


def _join(config: Config) -> None:
    if address := os.environ.get("RAY_ADDRESS"):
        try:
            _require_listener(address)
            ray.init(log_to_driver=False, namespace="museg", configure_logging=False)
        except (ConnectionError, TimeoutError, socket.gaierror) as error:
            raise ConfigError(_why_not_joined(address, error)) from error
        return
    start_local_ray(num_cpus=max(os.cpu_count() or 1, int(required_cpus(config)) + 1))


def _require_listener(address: str) -> None:
    """Raises OSError where nobody listens: Ray would try for ten minutes and more."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_LISTENER_S).close()


def _why_not_joined(address: str, error: OSError) -> str:
    """One line, of Ray's long chain of causes."""
    cause = error.__context__ or error
    if "AuthToken" in str(cause):
        return f"RAY_ADDRESS={address}: it wants a token: set RAY_AUTH_MODE=token, with it in ~/.ray/auth_token"
    return f"RAY_ADDRESS={address}: no Ray cluster answers there: see `ray status`, or unset it for a local Ray"


def run_directory(config: Config) -> RunDirectory:
    """Where the run leaves everything.

    Raises:
        ConfigError: it would go with the folder that a submitted job works in.
    """
    root = Path(config.run.root)
    if not root.is_absolute() and _JOBS_FOLDER in Path.cwd().as_posix():
        raise ConfigError(
            f"run.root={root} would lie in the job's copy of its working directory, which Ray removes: give an "
            "absolute path, on a cluster of several nodes on storage that they share"
        )
    return RunDirectory(root.absolute() / config.run.name)


def required_cpus(config: Config) -> float:
    """CPUs that the run's actors reserve."""
    workers = ((config.generation.workers, config.generation.cpus), (config.reward.workers, config.reward.cpus))
    return sum(count * cpus for count, cpus in (*workers, (config.learner.ranks, config.learner.cpus)))


def has_gpus() -> bool:
    """Whether the cluster offers GPUs; without, every engine runs on CPU."""
    return float(ray.cluster_resources().get("GPU", 0)) > 0


def object_store_bytes() -> float:
    """Of all nodes together."""
    return float(ray.cluster_resources().get("object_store_memory", 0))


def reserved_and_offered(config: Config) -> str:
    """For messages: an autoscaling cluster may come to offer more, so too little is waited for, not refused."""
    offered = float(ray.cluster_resources().get("CPU", 0))
    return f"the run reserves {required_cpus(config):g} CPUs and the cluster offers {offered:g}"

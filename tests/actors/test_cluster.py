from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import ray

from actors.cluster import ray_session, run_directory
from museg.config.schema import Config, RunConfig
from museg.errors import ConfigError

JOIN = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False); print('joined')"


@pytest.mark.slow
def test_a_local_session_is_joined_only_by_those_who_know_its_token(tmp_path: Path) -> None:
    """Its ports are open on every interface; a stranger is somebody without the file of the token."""
    with ray_session(Config()):
        address = ray.get_runtime_context().gcs_address
        stranger = join(address, {**os.environ, "HOME": str(tmp_path), "RAY_AUTH_MODE": "disabled"})
        assert "joined" not in stranger.stdout
        assert "Authentication token is missing or incorrect" in stranger.stderr
        friend = join(address, dict(os.environ))
        assert "joined" in friend.stdout, friend.stderr


def test_an_address_where_nobody_listens_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with (
        pytest.raises(ConfigError, match=f"RAY_ADDRESS={address}: no Ray cluster answers there"),
        ray_session(Config()),
    ):
        raise AssertionError("joined")


def test_a_submitted_jobs_run_does_not_go_with_its_copy_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_0123456789abcdef"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match=r"run\.root=runs would lie in the job's copy of its working directory"):
        run_directory(Config(run=RunConfig(name="lost")))
    kept = run_directory(Config(run=RunConfig(name="kept", root=str(tmp_path))))
    assert kept.path == tmp_path / "kept"


def join(address: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", JOIN, address]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

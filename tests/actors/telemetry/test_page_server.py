from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from actors.telemetry.page_server import PageServer, announce, target, withdraw
from museg.errors import ConfigError


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("museg_step", "Last step", registry=registry).set(7)
    return registry


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_of_0_is_a_free_one_that_serves_the_registry(registry: CollectorRegistry) -> None:
    said: list[str] = []
    server = PageServer(registry, address="127.0.0.1", port=0, say=said.append)
    page = urllib.request.urlopen(f"http://{server.address('10.0.0.1')}/metrics", timeout=10).read().decode()
    assert "museg_step 7.0" in page
    assert not said
    server.close()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://{server.address('10.0.0.1')}/metrics", timeout=10)


def test_a_port_that_is_taken_is_told_of_and_another_one_serves(registry: CollectorRegistry, taken_port: int) -> None:
    said: list[str] = []
    server = PageServer(registry, address="127.0.0.1", port=taken_port, say=said.append)
    address = server.address("10.0.0.1")
    assert said == [f"port {taken_port} is taken (telemetry.port): the metrics are on port {address.split(':')[1]}"]
    assert b"museg_step 7.0" in urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read()
    server.close()


def test_an_address_of_another_machine_is_refused_in_one_line(registry: CollectorRegistry) -> None:
    with pytest.raises(ConfigError, match=r"^telemetry.address=192.0.2.77 and telemetry.port=0 can't be listened on"):
        PageServer(registry, address="192.0.2.77", port=0, say=print)


def test_all_interfaces_are_told_of_by_the_nodes_own_address(registry: CollectorRegistry) -> None:
    server = PageServer(registry, address="0.0.0.0", port=0, say=print)
    assert server.address("10.0.0.1").startswith("10.0.0.1:")
    assert server.address("fe80::1").startswith("[fe80::1]:")
    server.close()


def test_targets_are_in_every_file_until_they_are_withdrawn(tmp_path: Path) -> None:
    files = (tmp_path / "run" / "prometheus_targets.json", tmp_path / "prometheus" / "run.json")
    announce([target("127.0.0.1:9400", run="first")], files)
    for file in files:
        assert json.loads(file.read_text()) == [{"targets": ["127.0.0.1:9400"], "labels": {"run": "first"}}]
        assert [one.name for one in file.parent.iterdir()] == [file.name]
    withdraw(files)
    withdraw(files)
    assert not any(file.exists() for file in files)

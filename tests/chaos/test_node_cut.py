"""A node with a generator is cut off for 90 s: two network namespaces joined by a cable, which is pulled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.chaos.disturbed_run import launched
from tests.chaos.material import prepare
from tests.chaos.nodes import SHARES, ended_well, same_numbers, until
from tests.chaos.record import Record

HEAD_CPUS, OTHER_CPUS = 7, 2
"""Learner, reward workers and one generator fit the head; the other generator alone fits the other node."""
_CUT_S = 90.0
_HEAD, _OTHER = "10.77.0.1", "10.77.0.2"
_PORT = 6391
_ENDS_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.thorough, pytest.mark.timeout(1200)]


def test_a_run_goes_on_with_the_same_numbers_when_a_node_is_cut_off_and_comes_back(tmp_path: Path) -> None:
    material = prepare(tmp_path)
    with hosts() as (head, other), ExitStack() as started:
        started.enter_context(node(head, "--head", f"--port={_PORT}", f"--num-cpus={HEAD_CPUS}"))
        lost = started.enter_context(node(other, f"--address={_HEAD}:{_PORT}", f"--num-cpus={OTHER_CPUS}"))
        shape = [*SHARES, "grpo.steps=6"]
        within_head = ["ip", "netns", "exec", head]
        address = {"RAY_ADDRESS": f"{_HEAD}:{_PORT}", "RAY_AUTH_MODE": "token"}
        ended_well(launched(material.command("undisturbed", *shape), within=within_head, **address))

        driver = launched(material.command("cut", *shape), within=within_head, **address)
        run = material.run("cut")
        until(driver, lambda: len(run.read_metrics()) >= 2)
        nodes = {name: row["node_id"] for name, row in json.loads(run.workers_file.read_text()).items()}
        assert len({node_id for name, node_id in nodes.items() if name.startswith("generation-")}) == 2
        cable(head, "down")
        time.sleep(_CUT_S)
        cable(head, "up")
        # Ray has given it up by now, and a raylet that learns so ends.
        lost.wait(timeout=_ENDS_S)
        started.enter_context(node(other, f"--address={_HEAD}:{_PORT}", f"--num-cpus={OTHER_CPUS}"))
        ended_well(driver)

    assert json.loads(run.summary_file.read_text())["restarts"] >= 1
    same_numbers(run, Record.of(material.run("undisturbed")))


@contextmanager
def hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces, as it were two machines, joined by a cable."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    names = f"museg-head-{os.getpid()}", f"museg-other-{os.getpid()}"
    try:
        for name in names:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
        for name, address in zip(names, (_HEAD, _OTHER), strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            _ip("-n", name, "link", "set", "cable", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


@contextmanager
def node(host: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Ray node on that host, once it has had time to join; its processes end with it."""
    address = _HEAD if "head" in host else _OTHER
    command = ["ip", "netns", "exec", host, str(Path(sys.executable).with_name("ray")), "start", "--block"]
    command += [f"--node-ip-address={address}", "--disable-usage-stats", *options]
    environment = os.environ | {"RAY_AUTH_MODE": "token"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(15)
        assert process.poll() is None, f"{' '.join(command)} ended with {process.returncode}"
        try:
            yield process
        finally:
            process.terminate()


def cable(host: str, state: str) -> None:
    _ip("-n", host, "link", "set", "cable", state)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)

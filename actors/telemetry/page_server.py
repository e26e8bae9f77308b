"""The HTTP server of the driver's metrics, and the files by which Prometheus finds it."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from museg.errors import ConfigError
from museg.runs.durable import write_atomically

_ANY: Final = ("0.0.0.0", "::", "")
Target = Mapping[str, object]
"""One entry of a file of Prometheus' file_sd: `targets` and `labels`."""


class PageServer:
    """Serves a registry at /metrics from a thread, until `close`.

    server = PageServer(registry, address="127.0.0.1", port=9400, say=say)
    server.address                               # 127.0.0.1:9400
    """

    def __init__(self, registry: CollectorRegistry, *, address: str, port: int, say: Callable[[str], None]) -> None:
        """A port that is taken is told of, and another one found: a run doesn't wait for its metrics.

        Raises:
            ConfigError: the machine hasn't that address, or the port needs rights that the run lacks.
        """
        try:
            self._server = _started(registry, address, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(
                    f"telemetry.address={address} and telemetry.port={port} can't be listened on: "
                    f"{error.strerror or error}; choose an address of this machine and a port above 1023, or port=null"
                ) from error
            self._server = _started(registry, address, 0)
            say(f"port {port} is taken (telemetry.port): the metrics are on port {self._server.server_port}")
        self._host = address

    def address(self, node_ip: str) -> str:
        """Host and port that a Prometheus asks; the node's own where all interfaces are listened on."""
        host = node_ip if self._host in _ANY else self._host
        return f"[{host}]:{self._server.server_port}" if ":" in host else f"{host}:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def target(address: str, **labels: str) -> Target:
    return {"targets": [address], "labels": labels}


def announce(targets: Sequence[Target], files: Sequence[Path]) -> None:
    """Have Prometheus find the targets in each of the files, which it reads whole or as they were."""
    for file in files:
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, json.dumps(list(targets), indent=2) + "\n")


def withdraw(files: Sequence[Path]) -> None:
    """What isn't there any more isn't asked; a driver that was killed stays in the files, and is told of as down."""
    for file in files:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _started(registry: CollectorRegistry, address: str, port: int) -> WSGIServer:
    server: WSGIServer = start_http_server(port, addr=address, registry=registry)[0]
    return server

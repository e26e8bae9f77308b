"""The report live: a small server on this machine, which the page asks again and again whether steps have come."""

from __future__ import annotations

import ipaddress
import re
import threading
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from museg.errors import DataError, UserError
from museg.runs.directory import RunDirectory
from museg.runs.report.collecting import Collector
from museg.runs.report.content import Content, collected, fingerprint, packed
from museg.runs.report.pictures import Filmstrips, Strip
from museg.runs.report.record import read_record
from museg.runs.report.rendering import render_live_page, render_overview

_REQUEST_TIMEOUT_S = 30.0
_NUMBERED = re.compile(r"/(?:step|video)/([0-9]{1,9})")


class LiveReport:
    """A run's content, read anew when it is asked for. For several threads at once."""

    def __init__(self, run: RunDirectory, filmstrips: Filmstrips) -> None:
        """Raises DataError if the folder isn't a run directory, or one of its files is damaged."""
        self._run = run
        self._collector = Collector(run)
        self._filmstrips = filmstrips
        self._reading = threading.Lock()
        self._decoding = threading.Lock()
        self._stamp = self._now()
        self._content = collected(read_record(run), self._collector)
        self._state = self._packed()

    def page(self) -> bytes:
        return render_live_page(read_record(self._run)).encode()

    def state(self) -> tuple[str, bytes]:
        """All but the steps' completions, gzipped, and a name for it that changes when it does."""
        with self._reading:
            if (now := self._now()) != self._stamp:
                self._content = collected(read_record(self._run), self._collector)
                self._state = self._packed()
                self._stamp = now
            return self._state

    def step(self, step: int) -> bytes | None:
        """A step's completions, gzipped; None if the step isn't on record."""
        return next((pack.packed for pack in self._content.packs if pack.step == step), None)

    def strip(self, number: int) -> Strip | None:
        """Pictures of a video by its number; None where it can't be read."""
        content: Content = self._content
        if not 0 <= number < len(content.videos):
            return None
        with self._decoding:
            return self._filmstrips.of(content.videos[number])

    def _packed(self) -> tuple[str, bytes]:
        state = packed({"index": self._content.index(), "overview": render_overview(self._content.record)})
        return fingerprint(state), state

    def _now(self) -> list[tuple[int, int] | None]:
        """What tells whether the run has gone on, without reading anything."""
        run = self._run
        places = (run.config_file, run.metrics_file, run.summary_file, run.rollouts_file(1).parent)
        return [_stamp_of(place) for place in places]


def _stamp_of(place: Path) -> tuple[int, int] | None:
    try:
        status = place.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size


def serve_report(run: RunDirectory, *, host: str, port: int) -> ThreadingHTTPServer:
    """A server of the run's live report, bound and not yet running; port 0 picks a free one.

    Raises:
        DataError: the folder isn't a run directory, or one of its files is damaged.
        UserError: the address can't be bound.
    """
    filmstrips = Filmstrips(read_record(run).videos)
    try:
        return _Server((host, port), LiveReport(run, filmstrips), filmstrips)
    except OSError as error:
        raise UserError(
            f"the report can't be served on {host}:{port} ({error.strerror or error}): --port picks another, "
            "0 a free one"
        ) from error


class _Server(ThreadingHTTPServer):
    """Ends the decoding of pictures with it."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], report: LiveReport, filmstrips: Filmstrips) -> None:
        self._filmstrips = filmstrips
        super().__init__(address, partial(_Handler, report))

    def server_close(self) -> None:
        super().server_close()
        self._filmstrips.close()


class _Handler(BaseHTTPRequestHandler):
    """Answers `/`, `/state`, `/step/N` and `/video/N`."""

    timeout = _REQUEST_TIMEOUT_S

    def __init__(self, report: LiveReport, *args: object) -> None:
        self._report = report
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if not self._is_for_us():
            self.send_error(HTTPStatus.FORBIDDEN, "not the name of this server")
            return
        path = self.path.partition("?")[0]
        try:
            self._answer(path, int(asked[1]) if (asked := _NUMBERED.fullmatch(path)) else -1)
        except DataError as error:
            self._send(str(error).encode(), "text/plain; charset=utf-8", status=HTTPStatus.INTERNAL_SERVER_ERROR)

    def _answer(self, path: str, number: int) -> None:
        if path == "/":
            self._send(self._report.page(), "text/html; charset=utf-8")
        elif path == "/state":
            tag, state = self._report.state()
            if self.headers.get("If-None-Match") == tag:
                self._send(b"", "application/json", status=HTTPStatus.NOT_MODIFIED)
            else:
                self._send(state, "application/json", gzipped=True, tag=tag)
        elif path == f"/step/{number}" and (step := self._report.step(number)):
            self._send(step, "application/json", gzipped=True)
        elif path == f"/video/{number}":
            strip = self._report.strip(number)
            status = HTTPStatus.OK if strip else HTTPStatus.NO_CONTENT
            self._send(strip.jpeg if strip else b"", "image/jpeg", status=status)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send(
        self,
        content: bytes,
        kind: str,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        gzipped: bool = False,
        tag: str | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if gzipped:
            self.send_header("Content-Encoding", "gzip")
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(content)

    def _is_for_us(self) -> bool:
        """Whether it isn't a page of another site that asks, whose name was made to point here (DNS rebinding)."""
        if not ipaddress.ip_address(str(self.server.server_address[0])).is_loopback:  # type: ignore[index]
            return True
        name = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host") or ""
        if name == "localhost":
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def log_message(self, format: str, *args: object) -> None:
        """Requests aren't worth a line."""

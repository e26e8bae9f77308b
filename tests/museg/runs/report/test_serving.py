"""The live report: over HTTP, and in a real browser."""

from __future__ import annotations

import gzip
import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from museg.errors import DataError, UserError
from museg.runs.directory import RunDirectory, write_atomically
from museg.runs.report.serving import serve_report
from tests.chromium import chromium
from tests.museg.runs.report.conftest import MakeRow


@pytest.fixture
def server(finished_run: RunDirectory, real_clip_paths: dict[str, Path]) -> Iterator[ThreadingHTTPServer]:
    shutil.copy(real_clip_paths["bikes"], finished_run.path / "street.mp4")
    finished_run.create(f"run: {{name: tiny}}\ngrpo: {{steps: 5}}\ndata: {{video_root: {finished_run.path}}}\n")
    finished_run.summary_file.unlink()
    with serve_report(finished_run, host="127.0.0.1", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(
    server: ThreadingHTTPServer, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
    connection.request("GET", path, headers=dict(headers or {}))
    answer = connection.getresponse()
    status, told, content = answer.status, answer.headers, answer.read()
    connection.close()
    return status, dict(told.items()), gzip.decompress(content) if told["Content-Encoding"] == "gzip" else content


def test_state_steps_and_pictures_are_told(server: ThreadingHTTPServer) -> None:
    status, headers, content = asked(server, "/state")
    state = json.loads(content)
    assert status == 200
    assert [step["step"] for step in state["index"]["steps"]] == [1, 2, 3]
    assert "running" in state["overview"]
    assert asked(server, "/state", {"If-None-Match": headers["ETag"]})[0] == 304
    assert json.loads(asked(server, "/step/2")[2])["groups"][0]["y"][0] == [5.0, 10.0]
    assert asked(server, "/video/0")[2][:3] == b"\xff\xd8\xff"


def test_a_step_that_has_come_is_told_and_nothing_else_is_news(
    server: ThreadingHTTPServer, finished_run: RunDirectory, make_row: MakeRow
) -> None:
    tag = asked(server, "/state")[1]["ETag"]
    assert asked(server, "/state", {"If-None-Match": tag})[0] == 304
    finished_run.write_rollouts(4, [make_row(step=4, problem="A new one?")])
    finished_run.append_metrics({"step": 4, "reward/mean": 3.0})
    status, headers, content = asked(server, "/state", {"If-None-Match": tag})
    assert (status, json.loads(content)["index"]["numSteps"]) == (200, 4)
    assert headers["ETag"] != tag
    assert json.loads(asked(server, "/step/4")[2])["groups"][0]["r"] == [3.0]


@pytest.mark.parametrize(
    "path", ["/step/9", "/step/x", "/step/-1", "/step/", "/config.yaml", "/../config.yaml", "/state/../..", "/x"]
)
def test_nothing_else_is_answered(server: ThreadingHTTPServer, path: str) -> None:
    status, _, content = asked(server, path)
    assert (status, b"grpo" in content) == (404, False)


def test_a_video_that_isn_t_there_has_no_content(server: ThreadingHTTPServer) -> None:
    assert asked(server, "/video/7")[0] == 204


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:1", 200), ("localhost:8420", 200), ("localhost", 200), ("[::1]:80", 200), ("evil.example:8420", 403)],
)
def test_a_foreign_name_that_points_here_is_refused(server: ThreadingHTTPServer, host: str, status: int) -> None:
    assert asked(server, "/state", {"Host": host})[0] == status


def test_a_damaged_file_is_told_and_the_server_goes_on(server: ThreadingHTTPServer, finished_run: RunDirectory) -> None:
    good = finished_run.rollouts_file(2).read_text()
    write_atomically(finished_run.rollouts_file(2), "{}\n")
    status, _, content = asked(server, "/state")
    assert status == 500
    assert b"step-000002.jsonl, line 1: isn't a completion" in content
    write_atomically(finished_run.rollouts_file(2), good)
    assert asked(server, "/state")[0] == 200


def test_a_port_that_is_taken_and_a_folder_that_is_no_run_are_refused(new_run: RunDirectory, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"127\.0\.0\.1:{port} .*--port picks another"):
            serve_report(new_run, host="127.0.0.1", port=port)
    with pytest.raises(DataError, match="isn't a run directory"):
        serve_report(RunDirectory(tmp_path), host="127.0.0.1", port=0)


def test_the_command_says_where_it_serves_and_ends_well_by_ctrl_c(new_run: RunDirectory) -> None:
    command = [sys.executable, "-m", "museg", "report", str(new_run.path), "--serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        assert told.startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    assert not new_run.report_file.exists()


@pytest.mark.timeout(120)
def test_the_open_page_takes_up_a_step_that_comes(
    server: ThreadingHTTPServer, finished_run: RunDirectory, make_row: MakeRow
) -> None:
    with chromium() as browser:
        from playwright.sync_api import expect

        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        expect(page.locator("#step-now")).to_have_text("3 of 3")
        page.locator(".film").wait_for()
        finished_run.write_rollouts(4, [make_row(step=4, idx=7, problem="A new one?")])
        finished_run.append_metrics({"step": 4, "reward/mean": 3.0})
        expect(page.locator("#step-now")).to_have_text("4 of 4")
        expect(page.locator("#group h3")).to_have_text("A new one?")
        assert page.locator("#overview .figures").inner_text().split()[:5] == ["status", "running", "steps", "4", "of"]
        # Whoever looks into an older step is left there.
        page.locator("#step").fill("0")
        expect(page.locator("#step-now")).to_have_text("1 of 4")
        finished_run.write_rollouts(5, [make_row(step=5)])
        finished_run.append_metrics({"step": 5, "reward/mean": 3.0})
        expect(page.locator("#step-now")).to_have_text("1 of 5")
        assert complaints == []

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from museg.interruption import terminating_as_interrupted, uninterrupted
from museg.runs.directory import RunDirectory

ENDING_SLOWLY = """
import atexit, sys, time
from museg.__main__ import run

atexit.register(lambda: (print("ending", flush=True), time.sleep(1)))
sys.argv = ["museg", "status", sys.argv[1]]
run()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_process_ends_leaves_the_exit_code(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ENDING_SLOWLY, tmp_path / "none"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert any(b"ending" in line for line in process.stdout)
    process.send_signal(number)
    assert process.wait(timeout=60) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_short_is_not_interrupted_and_what_follows_is(number: signal.Signals) -> None:
    with terminating_as_interrupted():
        with uninterrupted():
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


def test_what_is_written_last_arrives(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "runs" / "first").create("")
    written = tmp_path / "status.json"
    with written.open("w") as file:
        command = [sys.executable, "-m", "museg", "status", "--json", tmp_path / "runs"]
        assert subprocess.run(command, stdout=file, timeout=60, check=False).returncode == 0
    assert [run["name"] for run in json.loads(written.read_text())] == ["first"]

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from museg.errors import ConfigError
from museg.runs.lock import RunLock, held_since_unix_s

HOLDER = """
import sys
from pathlib import Path
from museg.runs.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.take()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_directory_that_another_process_holds_is_refused_by_its_number_until_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with closing(RunLock(tmp_path)) as lock:
            with pytest.raises(ConfigError, match=f"{tmp_path} is being written by process {holder.pid} on"):
                lock.take()
            holder.kill()
            holder.wait(timeout=10)
            lock.take()
            with pytest.raises(ConfigError):
                RunLock(tmp_path).take()
    with closing(RunLock(tmp_path)) as after:
        after.take()


def test_a_directory_that_is_not_there_is_nobodys_and_stays_away(tmp_path: Path) -> None:
    with closing(RunLock(tmp_path / "new")) as lock:
        lock.take()
    assert not (tmp_path / "new").exists()


def test_who_only_looks_sees_since_when_it_is_held(tmp_path: Path) -> None:
    assert held_since_unix_s(tmp_path) is None
    before_s = time.time()
    with closing(RunLock(tmp_path)) as lock:
        lock.take()
        since_s = held_since_unix_s(tmp_path)
        assert since_s is not None
        assert before_s - 1 <= since_s <= time.time()
    assert held_since_unix_s(tmp_path) is None


def test_a_look_does_not_keep_a_driver_out(tmp_path: Path) -> None:
    with closing(RunLock(tmp_path)) as before:
        before.take()
    with (tmp_path / "driver.lock").open() as looked_at, closing(RunLock(tmp_path)) as lock:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        threading.Timer(0.2, fcntl.flock, (looked_at, fcntl.LOCK_UN)).start()
        lock.take()
        assert held_since_unix_s(tmp_path) is not None

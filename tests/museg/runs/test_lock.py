from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from museg.errors import ConfigError
from museg.runs.lock import RunLock

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

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

ENDING_SLOWLY = """
import atexit, sys, time
from museg.__main__ import run

atexit.register(lambda: (print("ending", flush=True), time.sleep(1)))
sys.argv = ["museg", "--version"]
run()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_python_ends_leaves_the_exit_code(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", ENDING_SLOWLY], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any("ending" in line for line in process.stdout)
    process.send_signal(number)
    assert process.wait(timeout=60) == 0

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from actors.stopping import DroppedError, StopSignal, until_interrupted
from museg.interruption import SIGNALS, terminating_as_interrupted


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Stopped:
    """Work of two seconds that gets a signal after a tenth of one."""

    def __init__(self, grace_s: float) -> None:
        self.said: list[str] = []
        self.stop = StopSignal(self.said.append, grace_s)
        self.finished = False

    async def work(self, then_s: float | None = None) -> float:
        """Seconds that it took."""
        self.stop.install()
        asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGTERM)
        started = time.monotonic()
        try:
            async with self.stop.droppable(then_s):
                await asyncio.sleep(2)
                self.finished = True
        except DroppedError:
            pass
        return time.monotonic() - started


def test_a_step_is_finished_where_the_grace_allows_for_it_and_a_checkpoint() -> None:
    stopped = Stopped(grace_s=30)
    stopped.stop.checkpoint_took(5.0)
    asyncio.run(stopped.work())
    assert stopped.finished
    assert stopped.stop.requested
    assert len(stopped.said) == 1
    assert "30 s (recovery.grace_s)" in stopped.said[0]


@pytest.mark.parametrize(("checkpoint_s", "step_end_s"), [(25.0, 0.0), (5.0, 20.0)])
def test_it_is_dropped_where_what_follows_needs_the_grace(checkpoint_s: float, step_end_s: float) -> None:
    stopped = Stopped(grace_s=30)
    stopped.stop.checkpoint_took(checkpoint_s)
    stopped.stop.step_end_s = step_end_s
    assert asyncio.run(stopped.work()) < 1.5
    assert not stopped.finished


def test_it_goes_on_until_the_rest_of_the_grace_is_needed() -> None:
    stopped = Stopped(grace_s=30)
    assert 0.5 < asyncio.run(stopped.work(then_s=23.3)) < 1.5
    assert not stopped.finished


def test_a_first_checkpoint_is_thought_to_take_half_the_grace() -> None:
    dropped, finished = Stopped(grace_s=12), Stopped(grace_s=20)
    asyncio.run(dropped.work())
    asyncio.run(finished.work())
    assert (dropped.finished, finished.finished) == (False, True)


def test_what_begins_after_the_signal_is_bounded_too_and_a_start_is_given_up_at_once() -> None:
    async def start() -> None:
        stop = StopSignal(lambda _: None, 30)
        stop.install()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.01)
        async with stop.droppable(then_s=math.inf):
            await asyncio.sleep(2)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        until_interrupted(start())
    assert time.monotonic() - started < 1


def test_a_time_limit_within_the_work_is_no_stop() -> None:
    async def work() -> None:
        async with StopSignal(lambda _: None, 30).droppable():
            async with asyncio.timeout(0.01):
                await asyncio.sleep(2)

    with pytest.raises(TimeoutError):
        asyncio.run(work())


def test_before_the_loop_sigterm_interrupts_as_ctrl_c_does() -> None:
    def terminate() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)

    # Not always the default: Ray leaves a handler of its own behind.
    before = signal.getsignal(signal.SIGTERM)
    with terminating_as_interrupted(), pytest.raises(KeyboardInterrupt):
        terminate()
    assert signal.getsignal(signal.SIGTERM) == before


STOPPED_FOR_LONG = """
import asyncio
from actors.stopping import StopSignal

async def run():
    StopSignal(lambda said: print(said, flush=True), grace_s=60).install()
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(run())
"""


@pytest.mark.parametrize("again", SIGNALS)
def test_a_second_signal_ends_at_once(again: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", STOPPED_FOR_LONG], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert "once more ends at once" in process.stdout.readline()
    assert process.poll() is None
    process.send_signal(again)
    assert process.wait(timeout=10) == -again

"""Deadlines: what a stop of the waiting process itself does to them, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import time

import pytest

from actors.awake import AwakeClock, awake_s
from actors.waiting import DeadlineError, before, within

ANSWERED_WHILE_STOPPED = """
import asyncio, time
from actors.waiting import DeadlineError, within

async def wait():
    print("ready", flush=True)
    await within(4, "an answer", asyncio.to_thread(time.sleep, 3))
    print("answered", flush=True)
    try:
        await within(0.5, "another", asyncio.sleep(60))
    except DeadlineError as error:
        print(error, flush=True)

asyncio.run(wait())
"""


def test_time_in_which_the_process_stood_still_counts_one_tick() -> None:
    now_s = 100.0
    clock = AwakeClock(lambda: now_s)
    began_s = clock.now_s()
    for gap_s in (1.0, 4.5, 60.0, 1.0):
        now_s += gap_s
        clock.now_s()
    assert clock.now_s() - began_s == pytest.approx(1.0 + 4.5 + 1.0 + 1.0)


def test_a_process_that_was_stopped_beyond_a_deadline_hears_the_answer_when_it_goes_on() -> None:
    with subprocess.Popen([sys.executable, "-c", ANSWERED_WHILE_STOPPED], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGSTOP)
        time.sleep(7)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "answered\n"
        assert process.stdout.readline() == "another took longer than 0.5 s\n"


def test_a_deadline_that_moves_on_is_waited_for() -> None:
    async def scenario() -> float:
        began_s = awake_s()
        deadlines_s = iter([began_s + 0.1])
        with pytest.raises(DeadlineError, match="told"):
            await before(lambda: next(deadlines_s, began_s + 0.3), "told", asyncio.sleep(60))
        return awake_s() - began_s

    assert 0.3 <= asyncio.run(scenario()) < 5


@pytest.mark.parametrize("fails", [True, False])
def test_what_was_waited_for_has_ended_and_nothing_is_left_in_a_circle(fails: bool) -> None:
    ended: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.sleep(0)
            if fails:
                raise ConnectionError
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    def ended_tasks() -> list[object]:
        return [one for one in gc.get_objects() if type(one) is asyncio.Task and one.done()]

    async def scenario() -> list[object]:
        gc.collect()
        held_by_others = ended_tasks()
        gc.disable()
        try:
            with pytest.raises(ConnectionError if fails else DeadlineError):
                await within(0.1, "work", work())
            assert ended
            await asyncio.sleep(0)
            return [one for one in ended_tasks() if one not in held_by_others]
        finally:
            gc.enable()

    assert asyncio.run(scenario()) == []

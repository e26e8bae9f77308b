"""How requests reach an engine that is at work."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet

import pytest

from actors.generation.inbox import Inbox
from tests.actors.generation.test_workload import asked


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def still_waits(call: Future[object]) -> bool:
    try:
        call.result(timeout=0.02)
    except NotYet:
        return True
    return False


def test_more_is_taken_only_when_the_engine_asked_and_there_was_none(threads: ThreadPoolExecutor) -> None:
    inbox = Inbox()
    first, second, third = asked(0), asked(1), asked(2)
    taking = threads.submit(inbox.take, 7, [])
    inbox.open(7, [first, second])
    at_hand = inbox.at_hand()
    assert [next(at_hand), next(at_hand)] == [first, second]
    assert still_waits(taking)
    assert next(at_hand) is None
    taking.result(timeout=5)
    taking = threads.submit(inbox.take, 7, [third])
    assert still_waits(taking)
    assert [next(at_hand), next(at_hand)] == [third, None]
    taking.result(timeout=5)


def test_an_idle_engine_sleeps_until_a_request_comes_or_the_sampling_is_closed(threads: ThreadPoolExecutor) -> None:
    inbox = Inbox()
    inbox.open(7, [])
    waiting = threads.submit(inbox.wait, 7)
    assert still_waits(waiting)
    taking = threads.submit(inbox.take, 7, [asked(0)])
    assert waiting.result(timeout=5)
    next(inbox.at_hand())
    waiting = threads.submit(inbox.wait, 7)
    inbox.close(7)
    assert not waiting.result(timeout=5)
    taking.result(timeout=5)


def test_closing_drops_what_was_not_started_and_a_sampling_closed_unopened_ends_at_once() -> None:
    inbox = Inbox()
    inbox.open(7, [asked(0)])
    inbox.close(8)
    assert next(inbox.at_hand()) is None
    inbox.open(8, [asked(0)])
    assert not inbox.wait(8)
    inbox.take(8, [asked(1)])
    inbox.open(9, [asked(2)])
    assert inbox.wait(9)
    inbox.take(8, [asked(3)])
    at_hand = inbox.at_hand()
    assert [next(at_hand), next(at_hand)] == [asked(2), None]

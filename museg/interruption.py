"""SIGTERM taken as Ctrl-C is, so that whatever is under way is given up in an orderly way."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""That ask for a stop."""


@contextmanager
def terminating_as_interrupted() -> Iterator[None]:
    """Inside, SIGTERM raises KeyboardInterrupt as SIGINT does: before and after a loop that handles both."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM do nothing: for what is short, and must not be left half done."""
    before = [(number, signal.signal(number, signal.SIG_IGN)) for number in SIGNALS]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def ignore_interruption() -> None:
    """For a process whose work is over: a signal while Python ends doesn't change its exit code any more."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)

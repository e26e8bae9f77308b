"""SIGTERM taken as Ctrl-C is, so that whatever is under way is given up in an orderly way."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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

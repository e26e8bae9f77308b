"""A clean stop: the first SIGINT or SIGTERM leaves the run a grace to end in, the second ends it at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from museg.interruption import SIGNALS

T = TypeVar("T")
_END_S = 6.0
"""For summary, report and Ray's end, once the last checkpoint is written."""
_UNKNOWN_SHARE = 0.5
"""Of the grace that a first checkpoint, not yet measured, is thought to take."""


class DroppedError(Exception):
    """What was at work when a stop was asked for couldn't have ended within the grace; it is done again at resume."""


def cancel_on_signal() -> None:
    """Have SIGINT and SIGTERM cancel the current task. Call after `ray.init()`, which sets handlers too."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in SIGNALS:
        loop.add_signal_handler(number, task.cancel)


class StopSignal:
    """Install after `ray.init()`, which sets handlers of its own.

    stop = StopSignal(say, grace_s=config.recovery.grace_s)
    stop.install()
    async with stop.droppable(): …        # DroppedError once there is too little of the grace left
    if stop.requested: …                  # between two steps
    """

    def __init__(self, say: Callable[[str], None], grace_s: float) -> None:
        """`grace_s` is `recovery.grace_s`."""
        self.requested = False
        self.step_end_s = 0.0
        """What a step takes from the moment on that it can't be dropped any more."""
        self._say = say
        self._grace_s = grace_s
        self._checkpoint_s = grace_s * _UNKNOWN_SHARE
        self._ends_at: float | None = None
        """By the loop's clock, once a stop was asked for."""
        self._at_work: tuple[asyncio.Timeout, float] | None = None

    def install(self) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal)

    def checkpoint_took(self, seconds: float) -> None:
        """Note how long a checkpoint takes."""
        self._checkpoint_s = seconds

    @asynccontextmanager
    async def droppable(self, then_s: float | None = None) -> AsyncIterator[None]:
        """Work that can be given up: it is, when a stop leaves no time for the rest of it and what follows.

        Args:
            then_s: seconds that are needed afterwards; by default, for the end of the step and a checkpoint.

        Raises:
            DroppedError: it was given up.
        """
        try:
            async with asyncio.timeout(None) as limit:
                self._at_work = limit, self.step_end_s + self._checkpoint_s if then_s is None else then_s
                self._tighten()
                yield
        except TimeoutError as error:
            if limit.expired():
                raise DroppedError from error
            raise
        finally:
            self._at_work = None

    def _tighten(self) -> None:
        if self._ends_at is not None and self._at_work is not None:
            limit, then_s = self._at_work
            limit.reschedule(max(self._ends_at - _END_S - then_s, asyncio.get_running_loop().time()))

    def _on_signal(self) -> None:
        loop = asyncio.get_running_loop()
        self.requested = True
        self._ends_at = loop.time() + self._grace_s
        self._tighten()
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            # The default action ends the process at once, and the processes of a local Ray end with it.
            signal.signal(number, signal.SIG_DFL)
        self._say(
            f"stopping within {self._grace_s:g} s (recovery.grace_s): the step is finished if there is time, and a "
            "checkpoint written; once more ends at once"
        )


def until_interrupted(run: Coroutine[Any, Any, T]) -> T:
    """Have a loop run it; KeyboardInterrupt if it is given up before there is anything to sum up."""
    try:
        return asyncio.run(run)
    except DroppedError as error:
        raise KeyboardInterrupt from error


@contextmanager
def unless_disk_is_full(say: Callable[[str], None]) -> Iterator[None]:
    """For what is told of a failure: where that can't be written, it doesn't hide the failure."""
    try:
        yield
    except OSError as error:
        say(f"warning: the end of the run couldn't be recorded: {error}")

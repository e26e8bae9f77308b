"""A clock that stands still while this process does.

A driver that was stopped for a minute (SIGSTOP, a frozen container, a machine that had no turn for it) has heard nobody
in that time. By this clock its deadlines haven't come nearer, so it takes nobody for dead when it goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache

_TICK_S = 1.0
_PAUSE_S = 5.0
"""Longest time between two ticks that passes for a busy machine's."""


def awake_s() -> float:
    """Seconds, from any beginning, in which this process wasn't stopped."""
    return _ticking().now_s()


class AwakeClock:
    """Counts the time between two looks, but of a gap that only a process that stood still can have, one tick."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_s = clock()
        self._stood_still_s = 0.0
        self._looking = threading.Lock()

    def now_s(self) -> float:
        """Has to be asked at least every five seconds, by whoever."""
        with self._looking:
            now_s = self._clock()
            gap_s, self._looked_s = now_s - self._looked_s, now_s
            if gap_s > _PAUSE_S:
                self._stood_still_s += gap_s - _TICK_S
            return now_s - self._stood_still_s


@cache
def _ticking() -> AwakeClock:
    clock = AwakeClock()

    def tick() -> None:
        while True:
            time.sleep(_TICK_S)
            clock.now_s()

    threading.Thread(target=tick, name="awake", daemon=True).start()
    return clock

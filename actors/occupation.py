"""How much of a step each actor had something to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Occupation:
    """Seconds in which an actor had at least one call outstanding, as the driver sees it.

        with occupation.of("generation-0"):
            await worker.generate.remote(…)
        idle = occupation.idle_fractions()

    A learner rank that waits for another in a collective counts as busy.
    """

    def __init__(self) -> None:
        self._outstanding: dict[str, int] = {}
        self._busy_s: dict[str, float] = {}
        self._busy_since_s: dict[str, float] = {}
        self._taken_at_s = time.perf_counter()

    @contextmanager
    def of(self, actor: str) -> Iterator[None]:
        """Count a call to an actor, from entering to leaving."""
        self.begin(actor)
        try:
            yield
        finally:
            self.end(actor)

    def begin(self, actor: str) -> None:
        """Count a call to an actor until its `end`."""
        if self._outstanding.setdefault(actor, 0) == 0:
            self._busy_since_s[actor] = time.perf_counter()
        self._outstanding[actor] += 1

    def end(self, actor: str) -> None:
        """A call that was begun is answered."""
        self._outstanding[actor] -= 1
        if self._outstanding[actor] == 0:
            self._add_busy(actor, time.perf_counter())

    def outstanding(self, actor: str) -> int:
        """Calls to an actor that haven't been answered yet."""
        return self._outstanding.get(actor, 0)

    def all_outstanding(self) -> dict[str, int]:
        """The same of every actor that was ever called."""
        return dict(self._outstanding)

    def idle_fractions(self) -> dict[str, float]:
        """`idle/<actor>` of the time since this was asked last, for every actor that was ever called."""
        now = time.perf_counter()
        for actor, outstanding in self._outstanding.items():
            if outstanding:
                self._add_busy(actor, now)
                self._busy_since_s[actor] = now
        elapsed = max(now - self._taken_at_s, 1e-9)
        idle = {
            f"idle/{actor}": max(0.0, 1.0 - self._busy_s.get(actor, 0.0) / elapsed)
            for actor in sorted(self._outstanding)
        }
        self._busy_s.clear()
        self._taken_at_s = now
        return idle

    def _add_busy(self, actor: str, now_s: float) -> None:
        self._busy_s[actor] = self._busy_s.get(actor, 0.0) + now_s - self._busy_since_s[actor]

"""Where requests wait in a worker that is at work: the engine's thread meets the threads that bring more."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from threading import Condition

from actors.generation.requests import GenerationRequest


class Inbox:
    """The requests of one sampling after the other, which have rising numbers.

        inbox.open(sampling, requests)                   # the engine's thread
        while inbox.wait(sampling):
            for group in engine.generate(inbox.at_hand()): ...

        inbox.take(sampling, [request])                  # another; returns when there is room for one more
        inbox.close(sampling)                            # a third

    Nobody polls: whoever has to wait sleeps.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._requests: deque[GenerationRequest] = deque()
        self._wanted = False
        """The engine had room and found nothing here."""
        self._open = 0
        self._closed = 0
        """No sampling up to this one goes on."""

    def open(self, sampling: int, requests: Sequence[GenerationRequest]) -> None:
        """Begin with these. What an earlier sampling left is dropped."""
        with self._changed:
            self._open, self._wanted = sampling, False
            self._requests = deque(requests)
            self._changed.notify_all()

    def wait(self, sampling: int) -> bool:
        """Sleep until there is a request; False: the sampling is closed."""
        with self._changed:
            if not self._requests:
                self._want()
            self._changed.wait_for(lambda: self._requests or self._closed >= sampling)
            return self._closed < sampling

    def at_hand(self) -> Iterator[GenerationRequest | None]:
        """The next request whenever it is asked for, None while there is none."""
        while True:
            with self._changed:
                if self._requests and self._closed < self._open:
                    request = self._requests.popleft()
                else:
                    request = None
                    self._want()
            yield request

    def take(self, sampling: int, requests: Sequence[GenerationRequest]) -> None:
        """Add requests; return once the engine has room for one more, or the sampling is closed."""
        with self._changed:
            if requests:
                self._requests.extend(requests if sampling == self._open else ())
                self._wanted = False
                self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._closed >= sampling or (self._open == sampling and self._wanted and not self._requests)
            )

    def close(self, sampling: int) -> None:
        """No more come, and those that the engine hasn't started are dropped. A sampling may be closed unopened."""
        with self._changed:
            self._closed = max(self._closed, sampling)
            self._changed.notify_all()

    def _want(self) -> None:
        self._wanted = True
        self._changed.notify_all()

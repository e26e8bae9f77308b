"""Runs a function in processes that are killed when an item takes too long, or brings its process down."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

START_TIMEOUT_S = 120.0
"""Longest wait for a process to begin its work."""

Item = TypeVar("Item")
Result = TypeVar("Result")

# One server imports the heavy modules once; a process forked from it starts at once and inherits none of our threads.
_processes = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Why an item has no result."""

    reason: str


def run_watched(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, timeout_s: float, preload: str
) -> Iterator[tuple[Item, Result | Lost]]:
    """Each item with `function(item)`, as they finish; `Lost` after `timeout_s` or if the process dies.

    Unlike a pool's, a stuck process is killed and replaced: native code that spins for ever heeds nothing else.
    `function` must be importable by name; `preload` names the module that takes long to import. Raises RuntimeError if
    the processes don't start.
    """
    waiting = deque(items)
    _processes.set_forkserver_preload([preload])
    crew = [_Worker(function) for _ in range(min(workers, len(waiting)))]
    try:
        while crew:
            for worker in _reporting(crew):
                outcome = worker.outcome(timeout_s)
                if worker.item is not None:
                    yield worker.item, outcome
                elif isinstance(outcome, Lost):
                    raise RuntimeError(f"starting a process {outcome.reason}")
                if not waiting:
                    worker.end()
                    crew.remove(worker)
                elif isinstance(outcome, Lost):
                    crew[crew.index(worker)] = _Worker(function)
                else:
                    worker.begin(waiting.popleft(), timeout_s)
    finally:
        for worker in crew:
            worker.end()


def _reporting(crew: list[_Worker[Item, Result]]) -> list[_Worker[Item, Result]]:
    """The workers that have something to say, or have said nothing for too long; waits for the first."""
    patience_s = min(worker.deadline for worker in crew) - time.monotonic()
    speaking = wait([worker.connection for worker in crew], timeout=max(0.0, patience_s))
    return [worker for worker in crew if worker.connection in speaking or worker.deadline <= time.monotonic()]


class _Worker(Generic[Item, Result]):
    """One process, and what it works on: first on starting (`item` is None), then on one item after the other."""

    def __init__(self, function: Callable[[Item], Result]) -> None:
        self.connection, theirs = _processes.Pipe()
        self.process = _processes.Process(target=_serve, args=(theirs, function), daemon=True)
        self.process.start()
        theirs.close()
        self.item: Item | None = None
        self.deadline = time.monotonic() + START_TIMEOUT_S

    def begin(self, item: Item, timeout_s: float) -> None:
        self.item = item
        self.deadline = time.monotonic() + timeout_s
        self.connection.send(item)

    def outcome(self, timeout_s: float) -> Result | Lost:
        """The result of the current item; afterwards the process of a lost one is gone."""
        if not self.connection.poll():
            self.end()
            return Lost(reason=f"took longer than {START_TIMEOUT_S if self.item is None else timeout_s:g} s")
        try:
            result: Result = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join(timeout=1.0)
            code = self.process.exitcode
            self.end()
            return Lost(reason=f"ended its process (exit code {code})")
        return result

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, function: Callable[[Item], Result]) -> None:
    # An interrupt is the parent's to handle: it kills this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The connection ends early where the parent was interrupted while this process was starting.
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(None)
        while True:
            connection.send(function(connection.recv()))

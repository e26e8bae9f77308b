"""A clean stop: the first SIGINT or SIGTERM lets the step finish, the second ends at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


class StopSignal:
    """Install after `ray.init()`, which sets handlers of its own."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.requested = False
        self._say = say

    def install(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        self.requested = True
        self._say("stopping: the step is finished and a checkpoint written; once more ends at once")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            # After the handler's removal SIGTERM's default action ends the process; SIGINT raises KeyboardInterrupt.
            signal.signal(number, signal.SIG_DFL)

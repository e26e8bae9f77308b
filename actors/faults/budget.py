"""How often workers may be replaced before a run gives up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from museg.config.schema import RecoveryConfig
from museg.errors import FaultError


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """One replacement, from the moment that the fault was noticed until the worker was ready again."""

    worker: str
    cause: str
    seconds: float


class RestartBudget:
    """Counts replacements, over the run and since the last finished step.

        with budget.recovery("generation-0", cause):
            ...                                         # replace it

    Faults of infrastructure alone: bad videos and numbers have budgets of their own.
    """

    def __init__(
        self, config: RecoveryConfig | None = None, *, already: int = 0, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """`already` were spent in the run's earlier lives; `say` tells the user of each."""
        self._config = config or RecoveryConfig()
        self.say = say
        self._this_step = 0
        self._first_cause: str | None = None
        self.count = already
        self.recoveries: list[Recovery] = []
        """Of this life of the run, in their order."""

    @contextmanager
    def recovery(self, worker: str, cause: BaseException) -> Iterator[None]:
        """Spend one replacement and note how long it takes.

        Raises:
            FaultError: none is left; the first fault that wasn't got over is named.
        """
        told = first_line(cause)
        self._first_cause = self._first_cause or f"{worker}: {told}"
        self.count += 1
        self._this_step += 1
        self._refuse_too_many()
        self.say(f"{worker} is replaced: {told}")
        started = time.perf_counter()
        yield
        self.recoveries.append(Recovery(worker=worker, cause=told, seconds=time.perf_counter() - started))
        self.say(f"{worker} is back after {self.recoveries[-1].seconds:.1f} s")

    def step_done(self) -> None:
        """A step was finished, so what failed before was got over."""
        self._this_step = 0
        self._first_cause = None

    def _refuse_too_many(self) -> None:
        for spent, key, allowed in (
            (self._this_step, "recovery.max_restarts_a_step", self._config.max_restarts_a_step),
            (self.count, "recovery.max_restarts", self._config.max_restarts),
        ):
            if spent > allowed:
                raise FaultError(
                    f"workers died or hung more often than {key}={allowed} allows; first {self._first_cause}; "
                    "mend the cause and submit again: the run goes on after its newest checkpoint"
                )


def first_line(cause: BaseException) -> str:
    """Of Ray's account of a death; the rest names ids and ways to find logs."""
    lines = [" ".join(line.split()) for line in str(cause).splitlines()]
    return next((line for line in lines if line), type(cause).__name__)

"""How often workers may be replaced before a run gives up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from museg.config.schema import RecoveryConfig
from museg.errors import FaultError

NONE_REPLACED: Final[Mapping[str, int]] = {"generation": 0, "reward": 0, "learner": 0}


def replaced_by_role(rows: Sequence[Mapping[str, object]]) -> dict[str, int]:
    """What the last row of metrics.jsonl has on record."""
    last = rows[-1] if rows else {}
    return {role: int(str(last.get(f"restarts/{role}", 0))) for role in NONE_REPLACED}


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
        self,
        config: RecoveryConfig | None = None,
        *,
        already: int = 0,
        by_role: Mapping[str, int] = NONE_REPLACED,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`already` were spent in the run's earlier lives, `by_role` those on record; `say` tells the user of each."""
        self._config = config or RecoveryConfig()
        self.say = say
        self._this_step = 0
        self._first_cause: str | None = None
        self.count = already
        self.by_role = Counter(by_role)
        """Workers replaced, over all lives; `learner` counts its ranks together."""
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
        self.by_role[worker.partition("-")[0]] += 1
        self._this_step += 1
        self._refuse_too_many()
        self.say(f"{worker} is replaced: {told}")
        started = time.perf_counter()
        yield
        self.recoveries.append(Recovery(worker=worker, cause=told, seconds=time.perf_counter() - started))
        self.say(f"{worker} is back after {self.recoveries[-1].seconds:.1f} s")

    def metrics(self) -> dict[str, float]:
        """`restarts/<role>` of the whole run."""
        return {f"restarts/{role}": count for role, count in self.by_role.items()}

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

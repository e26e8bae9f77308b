"""What takes the metrics of each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Row = Mapping[str, float]
"""One line of metrics.jsonl."""


class StepLog(Protocol):
    """A place that a run's rows go to, in the order of their steps.

    log.log(row)            # of each step, once it is on record in metrics.jsonl
    log.close("completed")
    """

    def log(self, row: Row) -> None:
        """Take one step's metrics."""

    def close(self, status: str) -> None:
        """No more come; `status` is that of summary.json, or `running` where the run ends without one."""

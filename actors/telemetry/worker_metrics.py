"""A worker's own numbers, through Ray: Prometheus finds them on each node's agent as `ray_museg_…`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ray.util.metrics import Counter, Gauge

if TYPE_CHECKING:
    from actors.learner.stats import StepStats

COUNTERS: Final = {
    "museg_worker_starts_total": "1; joins WorkerId, which is all that vLLM's own metrics have, with run and worker",
    "museg_videos_decoded_total": "Videos that a reward worker has decoded",
    "museg_videos_failed_total": "Videos that a reward worker couldn't decode",
    "museg_decode_seconds_total": "Spent on videos, whatever came of them",
    "museg_scored_completions_total": "Completions that a reward worker has scored",
    "museg_score_seconds_total": "Spent on scores",
    "museg_generated_groups_total": "Groups of completions that a generator has finished",
    "museg_generate_seconds_total": "In which a generator's engine was at work",
    "museg_weights_received_bytes_total": "New weights that a generator has taken",
    "museg_weights_load_seconds_total": "Spent on taking them",
    "museg_learner_micro_batches_total": "Forwards with their backwards of a learner rank",
    "museg_learner_tokens_total": "Tokens that these went over",
    "museg_learner_busy_seconds_total": "Spent on them, without waits for other ranks",
    "museg_optimizer_seconds_total": "Spent on optimizer steps, reductions between ranks included",
}
"""Name → description; a counter ends on `_total` as Ray gives it one anyway."""
GAUGES: Final = {
    "museg_worker_weights_version": "Weights that a generator samples with",
}
_TAGS: Final = ("run", "role", "worker")


class WorkerMetrics:
    """One worker's counters and gauges.

    metrics = WorkerMetrics("first", "generation", 0)
    metrics.add("museg_generated_groups_total")
    with metrics.seconds("museg_generate_seconds_total"): …
    """

    def __init__(self, run: str, role: str, rank: int) -> None:
        self._tags = {"run": run, "role": role, "worker": f"{role}-{rank}"}
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self.add("museg_worker_starts_total")

    def add(self, name: str, amount: float = 1.0) -> None:
        """Count on; a series begins with the first amount above 0."""
        if amount > 0:
            if name not in self._counters:
                self._counters[name] = Counter(name, COUNTERS[name], _TAGS).set_default_tags(self._tags)
            self._counters[name].inc(amount)

    def set(self, name: str, value: float) -> None:
        """Tell a value as it is now; Ray forgets it after the next report, so it is told again and again."""
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, GAUGES[name], _TAGS).set_default_tags(self._tags)
        self._gauges[name].set(value)

    def learned(self, update: StepStats) -> None:
        """Count a learner rank's own part of an update."""
        self.add("museg_learner_micro_batches_total", update.num_micro_batches)
        self.add("museg_learner_tokens_total", update.num_tokens)
        self.add("museg_learner_busy_seconds_total", sum(update.busy_s))
        self.add("museg_optimizer_seconds_total", update.seconds)

    @contextmanager
    def seconds(self, name: str) -> Iterator[None]:
        """Count the seconds inside."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - started)

"""summary.json: how a run ended, in one object."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from museg.runs.directory import RunDirectory

Status = Literal["completed", "interrupted", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    status: Status
    steps: int
    """Steps done, over all of the run's lives."""
    eval_before: Mapping[str, float]
    """Metric → value on the held-out samples; empty without `data.eval`."""
    eval_after: Mapping[str, float]
    reward_first: float | None
    """Mean reward of the first 10% of the steps."""
    reward_last: float | None
    """Mean reward of the last 10% of the steps."""
    wall_s: float
    restarts: int
    """Worker restarts."""
    videos_skipped: Mapping[str, str]
    """Video → why it was skipped."""
    metrics_address: str | None = None
    """Of the page for Prometheus while the run went; None where there was none."""
    error: str | None = None
    """The cause, where the status is `failed`."""

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def read_summary(run: RunDirectory) -> Summary | None:
    """The summary that a run left, None while it has left none."""
    if not run.summary_file.is_file():
        return None
    return Summary(**json.loads(run.summary_file.read_text(encoding="utf-8")))


def first_and_last_reward(metrics: Sequence[Mapping[str, object]]) -> tuple[float | None, float | None]:
    """Mean `reward/mean` over the first and the last tenth of the steps that have one (at least one step each)."""
    rewards = [float(str(row["reward/mean"])) for row in metrics if "reward/mean" in row]
    if not rewards:
        return None, None
    tenth = max(1, len(rewards) // 10)
    return statistics.fmean(rewards[:tenth]), statistics.fmean(rewards[-tenth:])

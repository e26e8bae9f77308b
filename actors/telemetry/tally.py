"""Sums over a run's steps: all of it follows from the rows of metrics.jsonl, so a resumed run's counters go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from actors.telemetry.step_log import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """`tally.after(row)` for every row, in order."""

    last: Row = field(default_factory=dict)
    """Every key's newest value: some, like scores, aren't in each row."""
    steps: int = 0
    phase_s: Mapping[str, float] = field(default_factory=dict)
    completions: int = 0
    completion_tokens: int = 0
    """Sampled; in a supervised run, of the targets."""
    learned_tokens: int = 0
    """That the learner's forwards went over: prompts, once each, and what follows them."""
    sync_bytes: int = 0
    reward_failures: int = 0
    zero_groups: int = 0

    def after(self, row: Row) -> Tally:
        """With one more step."""
        step_s = row["time/step_s"]
        return replace(
            self,
            last={**self.last, **row},
            steps=self.steps + 1,
            phase_s={phase: self.phase_s.get(phase, 0.0) + seconds for phase, seconds in _phases(row).items()},
            completions=self.completions + round(row.get("throughput/completions_per_s", 0.0) * step_s),
            completion_tokens=self.completion_tokens + round(row["throughput/tokens_per_s"] * step_s),
            learned_tokens=self.learned_tokens + round(row.get("learner/tokens", 0)),
            sync_bytes=self.sync_bytes + round(row.get("sync/bytes", 0)),
            reward_failures=self.reward_failures + round(row.get("reward/failures", 0)),
            zero_groups=self.zero_groups + round(row.get("advantage/zero_groups", 0)),
        )


def _phases(row: Row) -> dict[str, float]:
    """Phase → seconds of the step."""
    times = {key.removeprefix("time/").removesuffix("_s"): value for key, value in row.items() if key[:5] == "time/"}
    return {name: seconds for name, seconds in times.items() if name not in ("step", "unix")}

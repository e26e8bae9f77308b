"""What a run left behind that no fault may change, and how a disturbed run's differs from the undisturbed one's."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from museg.runs.directory import RunDirectory

PASSING = ("time/", "throughput/", "idle/", "restarts/", "workers/", "sync/gb_per_s", "video/cache_hit_rate")
"""Beginnings of the metrics that tell of the machine and of the moment, not of the training."""
PHASES = ("wait_video", "generate", "reward", "learn", "sync")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Of one finished run."""

    metrics: list[dict[str, object]]
    """Rows of metrics.jsonl without what passes."""
    rollouts: dict[int, str]
    """Step → SHA-256 of its completions' file: tokens, rewards, advantages, logprob gaps."""
    weights: dict[str, str]
    """File of the last checkpoint's `hf/*.safetensors` → SHA-256."""
    samples: list[list[int]]
    """Each step's samples."""

    @classmethod
    def of(cls, run: RunDirectory) -> Record:
        steps = run.rollout_steps()
        hf = run.checkpoint(run.checkpoint_steps()[-1]) / "hf"
        return cls(
            metrics=[
                {key: value for key, value in row.items() if not key.startswith(PASSING)} for row in run.read_metrics()
            ],
            rollouts={step: hashlib.sha256(run.rollouts_file(step).read_bytes()).hexdigest() for step in steps},
            weights={
                file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(hf.glob("*.safetensors"))
            },
            samples=[list({int(str(row["idx"])): None for row in run.read_rollouts(step)}) for step in steps],
        )

    def differences(self, other: Record) -> Iterator[str]:
        """One line a thing that isn't equal, to the last bit."""
        if len(self.metrics) != len(other.metrics):
            yield f"{len(self.metrics)} rows of metrics, not {len(other.metrics)}"
        for mine, its in zip(self.metrics, other.metrics, strict=False):
            for key in sorted(mine.keys() | its.keys()):
                if mine.get(key) != its.get(key):
                    yield f"step {its.get('step')}: {key} is {mine.get(key)}, not {its.get(key)}"
        for step in sorted(self.rollouts.keys() | other.rollouts.keys()):
            if self.rollouts.get(step) != other.rollouts.get(step):
                yield f"step {step}: other completions, rewards or logprobs"
        if not self.weights or self.weights != other.weights:
            yield "the last checkpoint's weights differ"

    def misused_samples(self, num_samples: int) -> Iterator[str]:
        """One line an epoch that didn't use each sample exactly once (the last may be short: none twice)."""
        drawn = [idx for step in self.samples for idx in step]
        for epoch, start in enumerate(range(0, len(drawn), num_samples), 1):
            counts = Counter(drawn[start : start + num_samples])
            repeated = sorted(idx for idx, count in counts.items() if count > 1)
            if repeated:
                yield f"epoch {epoch} uses samples {repeated} more than once"

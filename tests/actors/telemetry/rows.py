"""Rows of metrics.jsonl as a run writes them."""

from __future__ import annotations

from pathlib import Path

from museg.config.loading import read_config
from museg.config.schema import Config

REPOSITORY = Path(__file__).parents[3]


def config(*overrides: str) -> Config:
    return read_config(REPOSITORY / "configs" / "quickstart.yaml", ["run.name=first", *overrides])


def row(step: int, **more: float) -> dict[str, float]:
    return {
        "step": step,
        "weights_version": step - 1,
        "reward/mean": 0.5 + 0.125 * step,
        "reward/std": 0.25,
        "reward/format": 1.0,
        "reward/failures": 1,
        "advantage/zero_groups": 2,
        "completion/tokens_mean": 20.0,
        "completion/truncated_fraction": 0.0,
        "policy/kl": 0.001,
        "policy/entropy": 0.75,
        "policy/lr": 1e-4,
        "learner/tokens": 5000,
        "parity/logprob_gap_mean": 4.7e-7,
        "parity/logprob_gap_max": 2e-6,
        "time/wait_video_s": 0.125,
        "time/generate_s": 1.0,
        "time/reward_s": 0.0,
        "time/learn_s": 0.5,
        "time/sync_s": 0.125,
        "time/step_s": 1.75,
        "time/unix_s": 4_000_000_000.0 + step,
        "sync/bytes": 4_000_000,
        "sync/gb_per_s": 0.5,
        "throughput/completions_per_s": 64 / 1.75,
        "throughput/tokens_per_s": 1280 / 1.75,
        "staleness": 0,
        "video/cache_hit_rate": 1.0,
        "idle/generation-0": 0.25,
        "idle/learner-0": 0.5,
        "guards/bad_steps": 0,
        "guards/entropy_collapsed": 0.0,
        "restarts/generation": 0,
        "phase": 1,
        **more,
    }

"""The run directory, checkpoints, and what a run gets over."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING


@dataclass(kw_only=True)
class RunConfig:
    name: str = MISSING
    """Names the run directory `<root>/<name>` and the actors."""
    root: str = "runs"


@dataclass(kw_only=True)
class CheckpointConfig:
    every_steps: int = 100
    keep: int = 3
    """Newest checkpoints that stay; older ones are removed."""
    best: str | None = "eval/miou"
    """Key of metrics.jsonl whose highest value also keeps its checkpoint, where one is written at that step; null:
    none."""
    timeout_s: float = 1800.0
    """Longest time for one to be written; more is taken for storage that hangs."""


@dataclass(kw_only=True)
class RecoveryConfig:
    """What a run gets over, and how fast it must."""

    max_restarts: int = 100
    """Workers that may be replaced, over all of the run, after they died or hung."""
    max_restarts_a_step: int = 8
    """The same between two finished steps."""
    snapshot_steps: int = 5
    """Steps between two copies of the learner's state in memory: so many are redone at most when a rank dies."""
    heartbeat_s: float = 30.0
    """Workers are asked so often whether they live; one that doesn't answer for so long is killed and replaced."""
    start_timeout_s: float = 900.0
    """Longest wait for workers to start, for the cluster's resources too."""
    grace_s: float = 30.0
    """After SIGTERM or SIGINT the run has written a checkpoint and ended within this time."""


@dataclass(kw_only=True)
class GuardsConfig:
    """Numbers that go wrong."""

    max_bad_steps: int = 3
    """Steps in a row with a loss, gradient or reward that isn't finite: each is skipped and dumped, one more ends the
    run."""
    max_logprob_gap: float | None = 0.1
    """A step whose parity/logprob_gap_mean is above ends the run: generator and learner no longer compute the same
    policy. Not watched where `pipeline.staleness` is above 0; null: never."""
    min_entropy_fraction: float = 0.2
    """Below this share of the entropy of the first steps a warning tells of its collapse."""

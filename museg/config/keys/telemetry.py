"""Where a run's numbers go, beside metrics.jsonl."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class WandbConfig:
    """Weights & Biases; `WANDB_MODE=offline` and its other variables are obeyed."""

    enabled: bool = False
    """Needs `museg[wandb]`."""
    project: str = "museg"
    entity: str | None = None
    """Team or user whose project it is; null: the one that is logged in."""


@dataclass(kw_only=True)
class MlflowConfig:
    enabled: bool = False
    """Needs `museg[mlflow]`."""
    tracking_uri: str | None = None
    """Of the server or store; null: that of `MLFLOW_TRACKING_URI`."""
    experiment: str = "museg"


@dataclass(kw_only=True)
class TelemetryConfig:
    port: int | None = 9400
    """Of the driver's page for Prometheus, another one where it is taken; 0: any that is free; null: no page."""
    address: str = "127.0.0.1"
    """Interface that the page listens on; 0.0.0.0: all, for a Prometheus on another machine."""
    wandb: WandbConfig = field(default_factory=WandbConfig)
    mlflow: MlflowConfig = field(default_factory=MlflowConfig)

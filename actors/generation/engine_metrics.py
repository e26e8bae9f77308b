"""vLLM's own metrics through Ray, as the workers' own: `ray_vllm_…` on each node's agent."""

from __future__ import annotations

import ray
from ray.util import metrics as ray_metrics
from vllm.v1.metrics import ray_wrappers
from vllm.v1.metrics.loggers import StatLoggerFactory


def stat_loggers() -> list[StatLoggerFactory]:
    """What an engine tells its numbers to; nobody, outside of an actor."""
    if not ray.is_initialized():
        return []
    if ray_wrappers.ray_metrics is None:
        # It imports Ray Serve together with them, for the name of a replica; without Serve there is none.
        ray_wrappers.ray_metrics = ray_metrics
    return [ray_wrappers.RayPrometheusStatLogger]

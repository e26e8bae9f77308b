"""vLLM's own metrics through Ray, as the workers' own: `ray_vllm_…` on each node's agent."""

from __future__ import annotations

import ray
from ray.util import metrics as ray_metrics
from vllm.v1.metrics import ray_wrappers
from vllm.v1.metrics.loggers import StatLoggerFactory
from vllm.v1.metrics.stats import IterationStats, MultiModalCacheStats, SchedulerStats


class EngineMetrics(ray_wrappers.RayPrometheusStatLogger):
    """All of vLLM's but the time between two tokens, which is told for every token and takes most of the telling."""

    def record(
        self,
        scheduler_stats: SchedulerStats | None,
        iteration_stats: IterationStats | None,
        mm_cache_stats: MultiModalCacheStats | None = None,
        engine_idx: int = 0,
    ) -> None:
        """Tell of one step of the engine."""
        if iteration_stats is not None:
            iteration_stats.inter_token_latencies_iter.clear()
        super().record(scheduler_stats, iteration_stats, mm_cache_stats, engine_idx)


def stat_loggers() -> list[StatLoggerFactory]:
    """What an engine tells its numbers to; nobody, outside of an actor."""
    if not ray.is_initialized():
        return []
    if ray_wrappers.ray_metrics is None:
        # vLLM imports Ray Serve together with them, for the name of a replica; without Serve there is none.
        ray_wrappers.ray_metrics = ray_metrics
    return [EngineMetrics]

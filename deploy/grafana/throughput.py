"""The dashboard of where the time goes."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as dashboards

from deploy.grafana.panels import curves, empty_dashboard, stacked

RUN = '{run=~"$run"}'


def throughput() -> dashboards.Dashboard:
    dashboard = empty_dashboard(
        "MUSEG: throughput and time", "museg-throughput", "What a step waits for, and how busy each worker is."
    )
    for row in (_step, _queues, _generation, _workers):
        dashboard = row(dashboard)
    return dashboard


def per_second(name: str) -> str:
    return f"rate({name}{RUN}[$__rate_interval])"


def by_worker(name: str) -> str:
    """A counter of a worker's own, through Ray, a second."""
    return f"sum by (run, worker) ({per_second(f'ray_museg_{name}_total')})"


def of_engine(expression: str) -> str:
    """A metric of vLLM's own, which has no run and no worker but the id of Ray's process."""
    worker = f"on (WorkerId) group_left (run, worker) ray_museg_worker_starts_total{RUN}"
    return f"sum by (run, worker) ({expression} * {worker})"


def _step(dashboard: dashboards.Dashboard) -> dashboards.Dashboard:
    return (
        dashboard.with_row(dashboards.Row("Step"))
        .with_panel(curves("Step time", "Of the last step.", (f"museg_step_seconds{RUN}", "{{run}}"), unit="s"))
        .with_panel(
            stacked(
                "Time split",
                "Share of the time that the loop waits for videos, generation, rewards, learning, weights. What is "
                "missing to 1 is evaluation, records and checkpoints.",
                (f"sum by (phase) ({per_second('museg_phase_seconds_total')})", "{{phase}}"),
                unit="percentunit",
            )
        )
        .with_panel(
            curves(
                "Tokens",
                "Sampled; and gone over by the learner, prompts included.",
                (per_second("museg_tokens_total"), "{{run}} {{kind}}"),
                (f"museg_tokens_per_second{RUN}", "{{run}} in the last step"),
            )
        )
        .with_panel(
            curves(
                "Completions a second",
                "Sampled.",
                (per_second("museg_completions_total"), "{{run}}"),
                (f"museg_completions_per_second{RUN}", "{{run}} in the last step"),
            )
        )
        .with_panel(
            stacked("Idle", "Share of a step without work.", (f"museg_idle_ratio{RUN}", "{{worker}}")).min(0).max(1)
        )
        .with_panel(
            curves(
                "Weights to the generators",
                "Bytes a second while they are sent.",
                (f"museg_sync_bytes_per_second{RUN}", "{{run}}"),
                unit="Bps",
            )
        )
    )


def _queues(dashboard: dashboards.Dashboard) -> dashboards.Dashboard:
    return (
        dashboard.with_row(dashboards.Row("Queues"))
        .with_panel(
            curves(
                "Work that workers hold",
                "Prompts, videos, groups, micro-batches.",
                (f"museg_calls_outstanding{RUN}", "{{worker}}"),
            )
        )
        .with_panel(
            curves(
                "Work that waits",
                "Prompts that no generator has taken, and videos being decoded.",
                (f"museg_prompts_waiting{RUN}", "{{run}} prompts"),
                (f"museg_videos_decoding{RUN}", "{{run}} videos"),
            )
        )
        .with_panel(
            curves(
                "Video cache",
                "Share of clips that were decoded already.",
                (f"museg_video_cache_hit_ratio{RUN}", "{{run}}"),
                unit="percentunit",
            )
        )
        .with_panel(
            curves("Clips in memory", "Kept for later.", (f"museg_video_cache_bytes{RUN}", "{{run}}"), unit="bytes")
        )
    )


def _generation(dashboard: dashboards.Dashboard) -> dashboards.Dashboard:
    prefix_hits = (
        "rate(ray_vllm_prefix_cache_hits_total[$__rate_interval]) "
        "/ on (WorkerId) (rate(ray_vllm_prefix_cache_queries_total[$__rate_interval]) > 0)"
    )
    return (
        dashboard.with_row(dashboards.Row("Generators (vLLM)"))
        .with_panel(
            curves(
                "KV cache in use",
                "Near 1 sequences wait for room: lower generation.max_sequences or raise its memory.",
                (of_engine("ray_vllm_kv_cache_usage_perc"), "{{worker}}"),
                unit="percentunit",
            )
        )
        .with_panel(
            curves(
                "Sequences",
                "Growing, and waiting inside the engines.",
                (of_engine("ray_vllm_num_requests_running"), "{{worker}} running"),
                (of_engine("ray_vllm_num_requests_waiting"), "{{worker}} waiting"),
            )
        )
        .with_panel(
            curves(
                "Tokens a second",
                "That each engine samples.",
                (of_engine("rate(ray_vllm_generation_tokens_total[$__rate_interval])"), "{{worker}}"),
            )
        )
        .with_panel(
            curves("Prefix cache", "Prompt tokens that needn't be computed.", (of_engine(prefix_hits), "{{worker}}"))
        )
        .with_panel(
            curves(
                "At work",
                "Share of the time in which an engine samples or takes weights.",
                (by_worker("generate_seconds"), "{{worker}} samples"),
                (by_worker("weights_load_seconds"), "{{worker}} takes weights"),
                unit="percentunit",
            )
        )
        .with_panel(
            curves(
                "Weights version",
                "All the same between two steps.",
                (f"ray_museg_worker_weights_version{RUN}", "{{worker}}"),
            )
        )
    )


def _workers(dashboard: dashboards.Dashboard) -> dashboards.Dashboard:
    seconds_per_video = f"{by_worker('decode_seconds')} / ({by_worker('videos_decoded')} > 0)"
    return (
        dashboard.with_row(dashboards.Row("Reward workers and learner"))
        .with_panel(curves("Videos a second", "Decoded.", (by_worker("videos_decoded"), "{{worker}}")))
        .with_panel(curves("Seconds a video", "Decoding one.", (seconds_per_video, "{{worker}}"), unit="s"))
        .with_panel(curves("Scores a second", "Completions.", (by_worker("scored_completions"), "{{worker}}")))
        .with_panel(curves("Tokens a second", "Each rank's forwards.", (by_worker("learner_tokens"), "{{worker}}")))
        .with_panel(
            curves(
                "At work",
                "Share of the time in micro-batches and in optimizer steps.",
                (by_worker("learner_busy_seconds"), "{{worker}} micro-batches"),
                (by_worker("optimizer_seconds"), "{{worker}} optimizer"),
                unit="percentunit",
            )
        )
        .with_panel(
            curves("Micro-batches a second", "Of each rank.", (by_worker("learner_micro_batches"), "{{worker}}"))
        )
    )

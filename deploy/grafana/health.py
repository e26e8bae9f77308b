"""The dashboard of what may need somebody."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as dashboards

from deploy.grafana.panels import curves, empty_dashboard, figure, stacked

RUN = '{run=~"$run"}'


def health() -> dashboards.Dashboard:
    dashboard = empty_dashboard("MUSEG: health", "museg-health", "How far runs are, and what goes wrong.")
    for row in (_now, _faults, _numbers):
        dashboard = row(dashboard)
    return dashboard


def _now(dashboard: dashboards.Dashboard) -> dashboards.Dashboard:
    left = f"(museg_planned_steps{RUN} - on (run) museg_step{RUN}) * on (run) museg_step_seconds{RUN}"
    return (
        dashboard.with_row(dashboards.Row("Now"))
        .with_panel(
            figure(
                "Progress",
                "Steps done, of all.",
                (f"museg_step{RUN} / on (run) museg_planned_steps{RUN}", "{{run}}"),
                unit="percentunit",
            )
        )
        .with_panel(figure("Time left", "At the last step's pace, without evaluations.", (left, "{{run}}"), unit="s"))
        .with_panel(
            figure(
                "Last step",
                "Age; MusegRunStalled tells when it is too old.",
                (f"time() - museg_last_step_timestamp_seconds{RUN}", "{{run}}"),
                unit="s",
                bad_from=900,
            )
        )
        .with_panel(
            figure(
                "Alerts",
                "Firing, of all runs.",
                ('count(ALERTS{alertname=~"Museg.*", alertstate="firing"}) or vector(0)', "alerts"),
                bad_from=1,
            )
        )
        .with_panel(figure("Drivers", "That answer.", ('sum(up{job="museg", run=~"$run"})', "drivers")))
        .with_panel(
            figure("Checkpoint", "What the last one took.", (f"museg_checkpoint_seconds{RUN}", "{{run}}"), unit="s")
        )
        .with_panel(
            stacked(
                "What is waited for",
                "The phase that the loop is in.",
                (f"museg_phase_now{RUN}", "{{run}} {{phase}}"),
                width=24,
            )
        )
    )


def _faults(dashboard: dashboards.Dashboard) -> dashboards.Dashboard:
    return (
        dashboard.with_row(dashboards.Row("Faults"))
        .with_panel(
            curves("Replaced workers", "Over the run.", (f"museg_actor_restarts_total{RUN}", "{{run}} {{role}}"))
        )
        .with_panel(
            curves(
                "Samples skipped",
                "Their videos couldn't be used.",
                (f"museg_samples_skipped_total{RUN}", "{{run}} {{reason}}"),
            )
        )
        .with_panel(
            curves(
                "Skipped steps, failed rewards",
                "Steps whose numbers weren't finite; rewards that count as 0 (reward.on_error).",
                (f"museg_bad_steps_total{RUN}", "{{run}} steps"),
                (f"museg_reward_failures_total{RUN}", "{{run}} rewards"),
            )
        )
    )


def _numbers(dashboard: dashboards.Dashboard) -> dashboards.Dashboard:
    return (
        dashboard.with_row(dashboards.Row("Numbers"))
        .with_panel(
            curves(
                "Parity, of its bound",
                "At 1, generator and learner no longer compute the same policy.",
                (f"museg_logprob_gap_mean{RUN} / on (run) museg_logprob_gap_bound{RUN}", "{{run}}"),
                logarithmic=True,
            )
        )
        .with_panel(
            curves(
                "Marks",
                "1: entropy collapsed; answers that earn as much with the videos swapped.",
                (f"museg_entropy_collapsed{RUN}", "{{run}} entropy collapsed"),
                (f"museg_ungrounded{RUN}", "{{run}} ungrounded"),
            )
        )
        .with_panel(
            curves(
                "Staleness beyond its bound",
                "Above 0 samples are older than pipeline.staleness asks for.",
                (f"museg_staleness_steps{RUN} - on (run) museg_staleness_bound_steps{RUN}", "{{run}}"),
            )
        )
    )

"""The dashboard of what is learned."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as dashboards

from deploy.grafana.panels import curves, empty_dashboard, figure

RUN = '{run=~"$run"}'


def learning() -> dashboards.Dashboard:
    dashboard = empty_dashboard("MUSEG: learning", "museg-learning", "Rewards, held-out scores and the policy.")
    for row in (_rewards, _evaluation, _policy, _parity):
        dashboard = row(dashboard)
    return dashboard


def _rewards(dashboard: dashboards.Dashboard) -> dashboards.Dashboard:
    total, parts = 'museg_reward_mean{run=~"$run", reward="total"}', 'museg_reward_mean{run=~"$run", reward!="total"}'
    flat = (
        f"rate(museg_zero_advantage_groups_total{RUN}[$__rate_interval]) "
        f"/ on (run) (rate(museg_samples_total{RUN}[$__rate_interval]) > 0)"
    )
    return (
        dashboard.with_row(dashboards.Row("Rewards"))
        .with_panel(curves("Reward", "What GRPO maximises: the weighted sum, mean of a step.", (total, "{{run}}")))
        .with_panel(curves("Reward by part", "Mean of each reward, unweighted.", (parts, "{{run}} {{reward}}")))
        .with_panel(
            curves(
                "Spread and flat groups",
                "Deviation of a step's rewards, and the share of groups whose rewards are all equal: these teach "
                "nothing.",
                (f"museg_reward_std{RUN}", "{{run}} deviation"),
                (flat, "{{run}} flat groups"),
            )
        )
    )


def _evaluation(dashboard: dashboards.Dashboard) -> dashboards.Dashboard:
    seeing, blind = (f'museg_eval_score{{run=~"$run", metric="miou", blind="{word}"}}' for word in ("false", "true"))
    return (
        dashboard.with_row(dashboards.Row("Held-out evaluation"))
        .with_panel(
            curves(
                "mIoU, and blind",
                "Greedy answers to held-out questions; blind: the same with the videos swapped.",
                (seeing, "{{run}}"),
                (blind, "{{run}} blind"),
                unit="percentunit",
            )
        )
        .with_panel(
            curves(
                "mIoU above blind",
                "Only this comes from watching the video.",
                (f"{seeing} - ignoring (blind) {blind}", "{{run}}"),
                unit="percentunit",
            )
        )
        .with_panel(
            curves(
                "Other scores",
                "Held-out, with the right videos.",
                ('museg_eval_score{run=~"$run", metric!="miou", blind="false"}', "{{run}} {{metric}}"),
            )
        )
    )


def _policy(dashboard: dashboards.Dashboard) -> dashboards.Dashboard:
    panels = (
        curves("Entropy", "Nats a token. Near 0 every question gets one answer.", (f"museg_entropy{RUN}", "{{run}}")),
        curves("KL", "Divergence from the reference, nats a token.", (f"museg_kl{RUN}", "{{run}}")),
        curves(
            "Loss", "Of the step; of a supervised run, too.", (f"museg_loss{RUN} or museg_sft_loss{RUN}", "{{run}}")
        ),
        curves("Gradient", "Norm before clipping.", (f"museg_grad_norm{RUN}", "{{run}}")),
        curves("Learning rate", "Of the step.", (f"museg_learning_rate{RUN}", "{{run}}"), unit="sci"),
        curves(
            "Completions",
            "Mean length in tokens, and the share that generation.max_tokens cuts off.",
            (f"museg_completion_tokens_mean{RUN}", "{{run}} tokens"),
            (f"museg_completion_truncated_ratio{RUN}", "{{run}} cut off"),
        ),
    )
    dashboard = dashboard.with_row(dashboards.Row("Policy"))
    for panel in panels:
        dashboard = dashboard.with_panel(panel)
    return dashboard


def _parity(dashboard: dashboards.Dashboard) -> dashboards.Dashboard:
    return (
        dashboard.with_row(dashboards.Row("On-policy"))
        .with_panel(
            curves(
                "Parity",
                "Difference of learner and generator on the same tokens, nats; the bound is what the mean stays below.",
                (f"museg_logprob_gap_mean{RUN}", "{{run}} mean"),
                (f"museg_logprob_gap_max{RUN}", "{{run}} largest"),
                (f"museg_logprob_gap_bound{RUN}", "{{run}} bound"),
                unit="sci",
                width=12,
                logarithmic=True,
            )
        )
        .with_panel(
            curves(
                "Staleness",
                "Steps that the sampled weights were behind, and how many pipeline.staleness allows.",
                (f"museg_staleness_steps{RUN}", "{{run}}"),
                (f"museg_staleness_bound_steps{RUN}", "{{run}} allowed"),
            )
        )
        .with_panel(figure("Step", "Last one that was concluded.", (f"museg_step{RUN}", "{{run}}")))
    )
